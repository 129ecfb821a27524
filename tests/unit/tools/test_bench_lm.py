"""`scripts/bench`: choosing parts, ratios, verdicts, missing tools, and the measuring protocol on a fake engine."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from noctule.core.errors import InputError
from tools.bench import bandwidth, lm, lm_child, lm_models, lm_report, lm_shape

SCRIPTS = Path(__file__).resolve().parents[3] / "scripts"


def bench_script() -> ModuleType:
    loader = importlib.machinery.SourceFileLoader("bench_script", str(SCRIPTS / "bench"))
    spec = importlib.util.spec_from_loader("bench_script", loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


def sample(engine: str, repeat: int, ms: float, *, threads: int = 1, loaded: bool = False) -> dict[str, Any]:
    return {
        "engine": engine, "threads": threads, "loaded": loaded, "repeat": repeat, "greedy": [1, 2],
        "decode": {"ms": ms}, "deep": {"ms": 2 * ms}, "first": {"ms": 30 * ms}, "memory": {"resident": 200.0},
    }  # fmt: skip


def row(rows: Sequence[lm_report.Row], what: str, threads: int = 1) -> lm_report.Row:
    (found,) = [r for r in rows if r.what == what and r.threads == threads]
    return found


# ---- the verdicts ---------------------------------------------------------------------------------------------


def test_a_ratio_is_the_median_of_the_repeats_ratios() -> None:
    # The machine slowed down threefold in the second repeat: ratios 2, 2, 1.2; a ratio of medians would say 1.25.
    times = [(10.0, 20.0), (30.0, 60.0), (16.0, 19.2)]
    samples = [sample("int8", i, ours) for i, (ours, _) in enumerate(times)]
    samples += [sample("Q8_0", i, theirs) for i, (_, theirs) in enumerate(times)]
    found = row(lm_report.rows(samples, {}, {}), "decode, short context, int8 / Q8_0")
    assert found.ratio == pytest.approx(2.0)
    assert found.met is True
    assert found.ours == pytest.approx(1000 / 16.0)
    assert found.theirs == pytest.approx(1000 / 20.0)


@pytest.mark.parametrize(("theirs", "met"), [(12.9, False), (13.1, True)])
def test_the_short_context_target_is_one_point_three(theirs: float, met: bool) -> None:
    rows = lm_report.rows([sample("int8", 0, 10.0), sample("Q8_0", 0, theirs)], {}, {})
    assert row(rows, "decode, short context, int8 / Q8_0").met is met
    assert row(rows, "decode, 440 tokens, int8 / Q8_0").met is False
    assert row(rows, "first token of 128, int8 / Q8_0").met is True


def test_runs_beside_other_work_are_compared_among_themselves() -> None:
    samples = [sample("int8", 0, 10.0), sample("Q8_0", 0, 10.0)]
    samples += [sample("int8", 0, 20.0, loaded=True), sample("Q8_0", 0, 50.0, loaded=True)]
    rows = lm_report.rows(samples, {}, {})
    assert row(rows, "decode, cores busy, int8 / Q8_0").ratio == pytest.approx(2.5)
    assert row(rows, "decode, short context, int8 / Q8_0").ratio == pytest.approx(1.0)


def test_repeats_in_which_one_engine_is_missing_do_not_count() -> None:
    samples = [sample("int8", 0, 10.0), sample("int8", 1, 10.0), sample("Q8_0", 1, 15.0)]
    rows = lm_report.rows(samples, {}, {})
    assert row(rows, "decode, short context, int8 / Q8_0").ratio == pytest.approx(1.5)
    assert not [r for r in rows if "int4" in r.what]


def test_share_of_bandwidth_is_bytes_over_time_over_bandwidth() -> None:
    rows = lm_report.rows([sample("int8", 0, 10.0)], {"int8": 140_000_000}, {1: [20.0]})
    found = row(rows, "share of read bandwidth, int8")
    assert found.ours == pytest.approx(70.0)
    assert found.met is True
    assert row(rows, "resident memory, int8").met is True


def test_the_table_marks_what_was_missed() -> None:
    rows = lm_report.rows([sample("int8", 0, 10.0), sample("Q8_0", 0, 12.0)], {}, {})
    text = lm_report.table(rows)
    assert "| decode, short context, int8 / Q8_0 | 1 | 100.0 tokens/s | 83.3 | 1.20 | >= 1.3 x | **no** |" in text
    assert json.loads(json.dumps(lm_report.as_json(rows)))[0]["ratio"] == pytest.approx(1.2)


def test_bytes_a_token_follow_from_the_shape() -> None:
    sizes = lm_shape.token_bytes()
    assert sizes["int8"] == 134_479_872  # SmolLM-135M's matrices
    assert sizes["Q4_0"] == sizes["int4"] < sizes["int8"] < sizes["Q8_0"]


# ---- the protocol ---------------------------------------------------------------------------------------------


class Counter:
    """An engine that always prefers the token after the last, and counts its positions."""

    def __init__(self) -> None:
        self.position = 0
        self.deepest = 0

    def prefill(self, tokens: Sequence[int]) -> None:
        self.position += len(tokens)

    def decode(self, token: int) -> np.ndarray:
        self.position += 1
        self.deepest = max(self.deepest, self.position)
        logits = np.zeros(1000, np.float32)
        logits[(token + 1) % 1000] = 1.0
        return logits

    def reset(self) -> None:
        self.position = 0


def test_the_protocol_measures_what_the_plan_asks(capsys: pytest.CaptureFixture[str]) -> None:
    engine = Counter()
    lm_child.run({"parts": ["identify", "decode", "deep", "first"], "tokens": 5, "budget": 60.0}, lambda: engine)
    (line,) = [ln for ln in capsys.readouterr().out.splitlines() if ln.startswith(lm_child.MARK)]
    result = json.loads(line.removeprefix(lm_child.MARK))
    assert result["greedy"] == [316, 317, 318, 319]
    assert result["decode"]["steps"] == result["deep"]["steps"] == 5
    assert engine.deepest == 440 + 5 + 3
    assert result["first"]["prompt"] == 128.0
    assert result["memory"]["resident"] > 1.0


def test_a_measurement_ends_with_its_budget(capsys: pytest.CaptureFixture[str]) -> None:
    lm_child.run({"parts": ["decode"], "tokens": 10_000_000, "budget": 0.0}, Counter)
    result = json.loads(capsys.readouterr().out.removeprefix(lm_child.MARK))
    assert result["decode"]["steps"] == 1
    assert "first" not in result


# ---- errors a user meets --------------------------------------------------------------------------------------


def test_missing_tools_are_named_with_what_to_install(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(InputError, match="needs surely-absent, which") as caught:
        lm_models.require(sys.executable, ("json", "surely-absent"), "the test", "--llama-python")
    assert "pip install surely-absent" in caught.value.explain()
    assert lm.main(["--llama-python", str(tmp_path / "absent"), "--cache", str(tmp_path)]) == InputError.exit_code
    assert "--llama-python" in capsys.readouterr().err


@pytest.mark.parametrize("threads", ["", "0", "one", "1,-2"])
def test_thread_counts_are_checked(threads: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert lm.main([f"--threads={threads}"]) == InputError.exit_code
    assert "is not a list of thread counts" in capsys.readouterr().err


def test_a_child_that_fails_is_reported_by_its_last_words(tmp_path: Path) -> None:
    script = tmp_path / "broken.py"
    script.write_text("import sys\nprint('noise', file=sys.stderr)\nsys.exit('no such graph')\n")
    with pytest.raises(InputError, match=r"broken\.py model failed: no such graph"):
        lm.child([sys.executable, str(script), "model"])


def test_nothing_is_built_when_everything_is_there(tmp_path: Path) -> None:
    files = lm_models.files_of(tmp_path)
    for path in (*files.packages.values(), *files.ggufs.values()):
        path.touch()
    absent = str(tmp_path / "absent")
    assert lm_models.build(tmp_path, lm_models.Pythons(absent, absent, absent), lambda _: None) == files


def test_the_same_words_prove_the_same_weights() -> None:
    samples = [sample("int8", 0, 1.0), sample("Q8_0", 0, 1.0)]
    assert lm.same_model(samples)
    assert not lm.same_model([samples[0], {**samples[1], "greedy": [7]}])


def test_bandwidth_is_measured_without_a_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bandwidth.shutil, "which", lambda _: None)
    monkeypatch.setattr(bandwidth, "_ELEMENTS", 1 << 16)
    answer = bandwidth.read_bandwidth(1)
    assert answer is not None
    assert answer[0] > 0
    assert answer[1] == "numpy"
    assert bandwidth.read_bandwidth(2) is None


def test_the_command_knows_its_parts(capsys: pytest.CaptureFixture[str]) -> None:
    script = bench_script()
    assert script.main([]) == 64
    assert script.main(["--help"]) == 0
    assert script.main(["disco"]) == 64
    assert "there is no part 'disco'" in capsys.readouterr().err


def test_the_busy_loops_end_with_the_block_and_with_their_parent() -> None:
    with lm.busy_cores():
        pass
    orphan = subprocess.run([sys.executable, "-c", lm._BUSY, "0"], timeout=60)  # 0 is no parent of ours
    assert orphan.returncode == 0
