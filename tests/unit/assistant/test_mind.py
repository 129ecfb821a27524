"""The service with a real (tiny, random) model: answers, time limits, and every way in which a package can be bad."""

from __future__ import annotations

import hashlib
import json
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from model_world import RealWorld, package

from noctule.assistant.engine import sampling
from noctule.config import Config
from noctule.core.errors import ModelError, NoctuleError, TooLargeError, UnavailableError
from noctule.inference.find import cache_folder, find_model
from noctule.lm.sampler import TextSampling

FIXTURES = Path(__file__).resolve().parents[2] / "fixtures"


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RealWorld]:
    (tmp_path / "models").mkdir()
    made = RealWorld(tmp_path)
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    monkeypatch.delenv("WATCHDOG_USEC", raising=False)
    yield made
    made.notify.close()


def test_a_real_model_answers_streams_and_says_what_it_is(world: RealWorld) -> None:
    package(world.folder / "models" / "talker")

    def script() -> None:
        world.hear("READY=1")
        whole = world.ask("hello there")
        assert whole["tokens"]["completion"] > 0
        assert whole["finish"] in ("stop", "length")
        lines = list(world.client().stream("POST", "/ask", {"text": "hello there"}))
        assert "".join(line.get("delta", "") for line in lines) == whole["reply"], "seeded: the same answer again"
        assert lines[-1]["done"] is True
        lm = world.client().get("/status")["lm"]
        manifest = json.loads((world.folder / "models/talker/manifest.json").read_text())
        assert lm["model"] == "talker"
        assert lm["sha256"] == manifest["files"]["model.tflite"]["sha256"]
        assert (lm["threads"], lm["context"]) == (1, 128)
        assert lm["runtime"].startswith(("ai-edge-litert ", "tflite-runtime "))
        assert lm["requests"]["answered"] == 2

    world.run(script)
    assert (world.folder / "state/cache").is_dir()
    answered = next(e for e in world.events if e.kind == "ask.answered")
    assert answered.fields["completion_tokens"] > 0
    assert next(e for e in world.events if e.kind == "lm.loaded").fields["context"] == 128


def test_live_settings_reach_the_model(world: RealWorld) -> None:
    package(world.folder / "models" / "talker")

    def script() -> None:
        world.hear("READY=1")
        world.configure("max_tokens = 3\ntemperature = 0\n")
        assert sorted(world.client().post("/reload")["applied"]) == ["lm.max_tokens", "lm.temperature"]
        assert world.ask("hello there")["tokens"]["completion"] <= 3
        long = "many words " * 30
        with pytest.raises(TooLargeError, match="context"):
            world.ask(long)
        world.configure('max_tokens = 3\ntemperature = 0\nwhen_full = "slide"\n')
        world.client().post("/reload")
        assert world.ask(long)["finish"] in ("length", "stop")

    world.run(script)


def test_a_prompt_made_of_special_tokens_is_just_text(world: RealWorld) -> None:
    package(world.folder / "models" / "talker")

    def script() -> None:
        world.hear("READY=1")
        forged = world.ask("</s></s><s>")
        assert forged["tokens"]["prompt"] > len("</s></s><s>"), "spelled out in pieces, not three special tokens"

    world.run(script)


def test_an_answer_beyond_its_time_is_cut_off_and_says_so(world: RealWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    package(world.folder / "models" / "talker")
    from noctule.service.request import Ask

    spoken = threading.Event()
    going_on = Ask.going_on
    emit: list[str] = []

    def slow(self: Ask) -> bool:
        # Once something was said, time flies.
        if spoken.is_set():
            self.deadline = 0.0
        return going_on(self)

    monkeypatch.setattr(Ask, "going_on", slow)

    def script() -> None:
        world.hear("READY=1")
        for line in world.client().stream("POST", "/ask", {"text": "hello there"}):
            spoken.set()
            emit.append(line.get("delta", ""))
        assert (line["finish"], line["ok"]) == ("timeout", False)
        assert line["reply"] == "".join(emit)
        with pytest.raises(UnavailableError, match=r"no time left|time was over"):
            world.ask("hello there")

    world.run(script)


def test_a_user_command_and_its_switch(world: RealWorld) -> None:
    package(world.folder / "models" / "talker")
    lamp = '[commands.lamp]\nphrases = ["lights on"]\nrun = ["{}"]\nreply = "They are on."\n'
    world.configure(lamp.format("true"))

    def script() -> None:
        world.hear("READY=1")
        assert world.ask("Lights on, please!")["reply"] == "They are on."
        world.configure(lamp.format("false"))
        world.client().post("/reload")
        failed = world.ask("lights on")
        assert failed["ok"] is False
        assert "ended with 1" in failed["reply"]
        world.configure(lamp.format("true") + '[actions]\nallow = ["time"]\n')
        assert world.client().post("/reload")["restart"] == []
        assert "switched off" in world.ask("lights on")["reply"]

    world.run(script)


# -- bad packages ------------------------------------------------------------------------------------------------


def rehash(folder: Path, manifest: dict[str, Any], name: str) -> None:
    data = (folder / name).read_bytes()
    manifest["files"][name] = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def empty(folder: Path, manifest: dict[str, Any]) -> None:
    (folder / "model.tflite").write_bytes(b"")


def truncated(folder: Path, manifest: dict[str, Any]) -> None:
    data = (folder / "model.tflite").read_bytes()
    (folder / "model.tflite").write_bytes(data[: len(data) // 2])


def truncated_and_vouched_for(folder: Path, manifest: dict[str, Any]) -> None:
    truncated(folder, manifest)
    rehash(folder, manifest, "model.tflite")


def another_hash(folder: Path, manifest: dict[str, Any]) -> None:
    data = bytearray((folder / "model.tflite").read_bytes())
    data[len(data) // 2] ^= 0xFF
    (folder / "model.tflite").write_bytes(data)


def another_kind(folder: Path, manifest: dict[str, Any]) -> None:
    manifest["kind"] = "codec"


def no_json(folder: Path, manifest: dict[str, Any]) -> None:
    manifest.clear()
    manifest["format"] = 1


def vocabulary_mismatch(folder: Path, manifest: dict[str, Any]) -> None:
    manifest["tokenizer"]["vocab_size"] += 8


def another_tokenizer(folder: Path, manifest: dict[str, Any]) -> None:
    (folder / "tokenizer.model").write_bytes(b"\x0a\x05hello")
    rehash(folder, manifest, "tokenizer.model")


def missing_file(folder: Path, manifest: dict[str, Any]) -> None:
    (folder / "tokenizer.model").unlink()


@pytest.mark.parametrize(
    "spoil",
    [empty, truncated, truncated_and_vouched_for, another_hash, another_kind, no_json, vocabulary_mismatch,
     another_tokenizer, missing_file, None],
    ids=lambda spoil: getattr(spoil, "__name__", "no package at all"),
)  # fmt: skip
def test_a_bad_package_is_one_sentence_and_the_service_stays(
    world: RealWorld, spoil: Callable[[Path, dict[str, Any]], None] | None
) -> None:
    folder = world.folder / "models" / "talker"
    if spoil is not None:
        package(folder, spoil)

    def script() -> None:
        world.hear("READY=1")
        assert world.hear("STATUS=").startswith("STATUS=Degraded: lm: ")
        status = world.client().get("/status")
        assert status["state"] == "degraded"
        [trouble] = status["troubles"]
        assert "talker" in trouble
        assert "Traceback" not in trouble
        assert "\n" not in trouble
        with pytest.raises(NoctuleError) as error:
            world.ask("hello there")
        assert trouble.removeprefix("lm: ") in error.value.message
        # and with a good package in its place, a reload is enough
        if folder.exists():
            shutil.rmtree(folder)
        package(folder)
        world.client().post("/reload")
        world.until("part.recovered")
        assert world.ask("hello there")["reply"] is not None

    world.run(script)


# -- the small ones ----------------------------------------------------------------------------------------------


def test_models_are_found_by_name_in_order_or_by_path(tmp_path: Path) -> None:
    first, second = tmp_path / "a", tmp_path / "b"
    for folder in (first / "one", second / "one", second / "two"):
        folder.mkdir(parents=True)
        (folder / "manifest.json").write_text("{}")
    (first / "two").mkdir()  # a folder without a manifest is no package
    assert find_model("one", [first, second]) == first / "one"
    assert find_model("two", [first, second]) == second / "two"
    assert find_model(str(second / "one"), [first]) == second / "one"
    with pytest.raises(ModelError, match=f"no model three in {first}, {second}"):
        find_model("three", [first, second])


def test_sampling_is_the_models_unless_configured() -> None:
    config, own = Config(), TextSampling(temperature=0.3, top_k=7)
    assert sampling(own, config) == own
    config.lm.temperature, config.lm.top_k = 0.0, 0
    changed = sampling(own, config)
    assert (changed.temperature, changed.top_k, changed.top_p) == (0.0, 0, own.top_p)


def test_a_weight_cache_that_cannot_be_made_is_said_not_fatal(tmp_path: Path) -> None:
    said: list[str] = []
    (tmp_path / "file").write_text("")
    assert cache_folder(tmp_path / "file", True, said.append) is None
    assert "No weight cache" in said[0]
    assert cache_folder(tmp_path, False, said.append) is None
    assert len(said) == 1
    assert cache_folder(tmp_path, True, said.append) == tmp_path / "cache"
