"""Configuration: every mistake is named at once with its file and line, and layers override in order."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from noctule.config import Config, changes, load_config
from noctule.config.load import walk
from noctule.config.render import shipped_file, show
from noctule.config.scan import key_lines
from noctule.core.errors import ConfigError

ROOT = Path(__file__).resolve().parents[3]


def problems(path: Path, text: str | bytes, **layers: object) -> list[str]:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ConfigError) as caught:
        load_config(path, **layers)  # type: ignore[arg-type]
    assert caught.value.exit_code == 78
    return [line.replace(str(path), "FILE") for line in caught.value.problems]


def test_all_mistakes_are_reported_at_once_with_lines_and_suggestions(tmp_path: Path) -> None:
    text = """\
x = 1
[lm]
thread = 2
threads = 900
model = 7
top_k = true
temperature = nan
verbosity = "info"
[service]
verbosity = "loud"
models = "here"
[sevice]
[commands.a]
phrases = ["x"]
[commands]
b = 1
"""
    found = problems(
        tmp_path / "n.toml",
        text,
        env={"NOCTULE_LM__TOPK": "4", "NOCTULE_LM__TOP_P": "x", "NOCTULE_LM__SEED": "-2", "NOCTULE_CONFIG": "i"},
        flags=["lm.seed", "lm.queue=0"],
    )
    assert found == [
        "FILE:1: x: stands outside any section (put it below a section header such as [service])",
        "FILE:3: lm.thread: unknown key (did you mean threads?)",
        "FILE:4: lm.threads: must be at most 64, not 900",
        "FILE:5: lm.model: must be text in quotes, not 7",
        "FILE:6: lm.top_k: must be a whole number, not true",
        "FILE:7: lm.temperature: must be a finite number, not nan",
        "FILE:8: lm.verbosity: unknown key (did you mean service.verbosity?)",
        'FILE:10: service.verbosity: must be one of error, warning, notice, info, debug, not "loud"',
        'FILE:11: service.models: must be a list of text, such as ["a", "b"], not "here"',
        "FILE:12: [sevice]: unknown section (did you mean service?)",
        "FILE:16: commands.b: must be a section of its own, [commands.NAME]",
        "environment NOCTULE_LM__SEED: lm.seed: must be at least 0, not -2",
        "environment NOCTULE_LM__TOPK: lm.topk: unknown key (did you mean top_k?)",
        "environment NOCTULE_LM__TOP_P: lm.top_p: unknown key (did you mean top_k?)",
        "flag --set: lm.seed: must be section.key=value",
        "flag --set: lm.queue: must be at least 1, not 0",
        "FILE:14: commands.a.run: is missing",
    ]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (b"[lm\nthreads = 1\n", "FILE:1: not valid TOML: "),
        (b"[lm]\nthreads = = 1\n", "FILE:2: not valid TOML: "),
        (b"\xff\xfe\x00binary\x00", "FILE: is not a UTF-8 text file"),
        (b"[lm]\nthreads = 1\nthreads = 2\n", "FILE:3: not valid TOML: "),
        (b"a = " + b"[" * 100_000, "FILE: not valid TOML: too deeply nested"),
        (b"#" * (1 << 21), "FILE: larger than 1048576 bytes"),
    ],
)
def test_a_file_that_is_not_toml_is_one_sentence(tmp_path: Path, text: bytes, says: str) -> None:
    (only,) = problems(tmp_path / "n.toml", text)
    assert only.startswith(says)
    assert "Traceback" not in only


def test_missing_and_unreadable_files_are_named(tmp_path: Path) -> None:
    for path, why in [(tmp_path / "absent.toml", "No such file"), (tmp_path, "Is a directory")]:
        with pytest.raises(ConfigError, match=f"{path}: cannot be read: {why}"):
            load_config(path)


def test_layers_override_in_order_and_keep_their_origin(tmp_path: Path) -> None:
    main = tmp_path / "n.toml"
    main.write_text('[lm]\nthreads = 1\nqueue = 2\nseed = 3\ntimeout = 4\nmodel = "m"\n')
    (tmp_path / "conf.d").mkdir()
    (tmp_path / "conf.d" / "20.toml").write_text("[lm]\nseed = 33\n")
    (tmp_path / "conf.d" / "10.toml").write_text("[lm]\nqueue = 22\nseed = 30\n")
    loaded = load_config(main, {"NOCTULE_LM__TIMEOUT": "44", "NOCTULE_LM__MODEL": "5"}, ["lm.timeout=444"])
    lm = loaded.config.lm
    assert (lm.threads, lm.queue, lm.seed, lm.timeout, lm.model) == (1, 22, 33, 444.0, "5")
    assert loaded.config.lm.max_tokens == Config().lm.max_tokens
    origins = {key: str(loaded.origin("lm." + key)) for key in ("threads", "queue", "seed", "timeout", "top_k")}
    assert origins == {
        "threads": f"{main}:2",
        "queue": f"{tmp_path}/conf.d/10.toml:2",
        "seed": f"{tmp_path}/conf.d/20.toml:2",
        "timeout": "flag --set",
        "top_k": "default",
    }
    assert f"# {main}:2" in show(loaded, origin=True)


def test_relative_paths_are_taken_from_the_file_they_stand_in(tmp_path: Path) -> None:
    main = tmp_path / "n.toml"
    main.write_text('[service]\nmodels = ["../models", "/abs"]\nstate_dir = "state"\n')
    service = load_config(main).config.service
    assert service.models == [tmp_path / "../models", Path("/abs")]
    assert service.state_dir == tmp_path / "state"


def test_commands_are_named_sections(tmp_path: Path) -> None:
    main = tmp_path / "n.toml"
    main.write_text('[commands.lights]\nphrases = ["lights on"]\nrun = ["/bin/true"]\n')
    commands = load_config(main).config.commands
    assert commands["lights"].run == ["/bin/true"]
    assert commands["lights"].timeout == 10.0


def test_the_shipped_file_names_every_key_with_its_default(tmp_path: Path) -> None:
    shipped = (ROOT / "config" / "noctule.toml").read_text()
    assert shipped == shipped_file(), "run scripts/render_config"
    assert load_config(ROOT / "config" / "noctule.toml").config == Config()
    # Every commented default, uncommented, is a valid line that changes nothing.
    head = shipped.split("# A command of your own")[0]
    uncommented = [line[1:] if re.match(r"#\w+ = ", line) else line for line in head.splitlines()]
    active = tmp_path / "n.toml"
    active.write_text("\n".join(uncommented))
    loaded = load_config(active)
    assert loaded.config == Config()
    assert set(loaded.origins) == {name for name, _, _ in walk(Config())}


def test_the_demo_configuration_is_valid() -> None:
    assert load_config(ROOT / "config" / "demo.toml").config.commands["lights"].run == ["echo", "lamp relay closed"]


def test_what_show_prints_loads_back_to_the_same(tmp_path: Path) -> None:
    first = load_config(ROOT / "config" / "demo.toml", {}, ["lm.seed=9", 'api.group=a"b\\'])
    again = tmp_path / "again.toml"
    again.write_text(show(first))
    assert load_config(again).config == first.config


def test_changes_say_what_a_reload_can_apply(tmp_path: Path) -> None:
    old, new = Config(), load_config(None, {}, ["lm.enabled=false", "service.log_words=true"]).config
    assert changes(old, new) == [("service.log_words", True), ("lm.enabled", False)]
    assert changes(old, Config()) == []


def test_lines_are_found_past_multi_line_values() -> None:
    text = 'a = """\nb = 1\n"""\nc = [\n "d = 2",  # ] not the end\n]\n[x.y]\n"q r" = 1\ne = { f = "]" }\ng.h = 2\n'
    lines = key_lines(text)
    assert lines == {
        ("a",): 1,
        ("c",): 4,
        ("x", "y"): 7,
        ("x", "y", "q r"): 8,
        ("x", "y", "e"): 9,
        ("x", "y", "g", "h"): 10,
    }


@settings(max_examples=150, deadline=None)
@given(st.one_of(st.text(max_size=200), st.binary(max_size=200)))
def test_any_file_is_either_taken_or_refused_in_words(
    tmp_path_factory: pytest.TempPathFactory, text: str | bytes
) -> None:
    path = tmp_path_factory.mktemp("fuzz") / "n.toml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass"))
    try:
        load_config(path)
    except ConfigError as error:
        assert error.problems
        assert all(line.startswith(str(path)) for line in error.problems)


@settings(max_examples=150, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(["lm", "service", "api", "x", "commands"]),
        st.dictionaries(
            st.sampled_from(["threads", "models", "NAME", "socket"]),
            st.one_of(
                st.integers(), st.booleans(), st.text(max_size=5), st.floats(), st.lists(st.integers(), max_size=2)
            ),
            max_size=3,
        ),
        max_size=4,
    )
)
def test_any_values_are_either_taken_or_refused_in_words(
    tmp_path_factory: pytest.TempPathFactory, data: dict[str, dict[str, object]]
) -> None:
    def flag(value: object) -> str:
        return str(value).lower() if isinstance(value, bool) else repr(value)

    flags = [f"{section}.{name}={flag(value)}" for section, body in data.items() for name, value in body.items()]
    try:
        load_config(None, {}, flags)
    except ConfigError as error:
        assert all(line.startswith("flag --set: ") for line in error.problems)
