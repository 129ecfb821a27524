"""Files of every format that the service or the host side reads, in every state of damage."""

from __future__ import annotations

import hashlib
import json
import shutil
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fuzzing import damaged, encoded, fuzz, refuses_or_takes, twisted, values
from noctule.assistant.timers import Timers
from noctule.audio.wavefile import WavReader
from noctule.config import load_config
from noctule.config.render import shipped_file
from noctule.config.schema import SECTIONS
from noctule.core.clock import ManualClock
from noctule.core.events import Bus
from noctule.inference.manifest import load_manifest
from noctule.inference.tflite_file import check_tflite
from noctule.lm.speech.speaker_voice import SPEAKER, read_voice
from noctule.voice.wakewords.memory import EarMemory
from noctule.wake.package import load_package

ROOT = Path(__file__).resolve().parents[2]
FIXTURES = ROOT / "tests" / "fixtures"


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder for all examples; each writes its file anew."""
    return tmp_path_factory.mktemp("fuzz")


# -- configuration ---------------------------------------------------------------------------------------------------

_SHIPPED = shipped_file().partition("\n# A command of your own")[0]
#: every setting at its default
CONFIG = "\n".join(
    line.removeprefix("#") for line in _SHIPPED.splitlines() if line.startswith(("[", "#")) and line[1:2] != " "
).encode()
NAMES = [name for cls in SECTIONS.values() for name in cls.__dataclass_fields__] + ["run", "kind"]
TOML_VALUES = st.one_of(
    st.booleans().map(lambda b: str(b).lower()), st.integers().map(str), st.floats().map(repr),
    st.text(max_size=12).map(lambda t: json.dumps(t)),
    st.sampled_from(["[]", "{}", "[1, [2]]", '["a"]', "1979-05-27"]),
)  # fmt: skip


@fuzz(15)
@given(data=damaged(CONFIG))
@example(data=b"")
@example(data=b"[" * 3000)
@example(data=b"a = " + b"[" * 3000)
@example(data=b"\xff\xfe")
@example(data=b"[lm]\nthreads = 1" + b"0" * 5000)
@example(data=b"[commands]\na = 1\n[sources.x]\n")
@example(data=b'[commands."a.b"]\nrun = ["x"]\nphrases = ["y"]\n')
def test_configuration_as_bytes(room: Path, data: bytes) -> None:
    path = room / "noctule.toml"
    path.write_bytes(data)
    with refuses_or_takes():
        load_config(path)


@fuzz(15)
@given(
    sections=st.dictionaries(
        st.sampled_from([*SECTIONS, "commands.x", "sources.y", 'commands."a.b"', "nosuch"]),
        st.dictionaries(
            st.sampled_from(NAMES), TOML_VALUES, max_size=4,
        ),
        max_size=4,
    )
)  # fmt: skip
def test_configuration_of_the_wrong_types(room: Path, sections: dict[str, dict[str, str]]) -> None:
    path = room / "typed.toml"
    text = "".join(
        f"[{name}]\n" + "".join(f"{k} = {v}\n" for k, v in body.items()) for name, body in sections.items()
    )
    path.write_text(text, encoding="utf-8", errors="replace")
    with refuses_or_takes():
        load_config(path)


@fuzz(15)
@given(
    env=st.dictionaries(
        st.sampled_from(["NOCTULE_LM__THREADS", "NOCTULE_LM__MODEL", "NOCTULE_X__Y", "NOCTULE___", "NOCTULE_A__B_"]),
        st.text(max_size=30),
    ),
    flags=st.lists(st.text(max_size=30) | st.just("lm.threads=" + "[" * 2000), max_size=2),
)
def test_environment_and_flags(env: dict[str, str], flags: list[str]) -> None:
    with refuses_or_takes():
        load_config(None, env, flags)


# -- model packages --------------------------------------------------------------------------------------------------

PACKAGE = FIXTURES / "llama-tiny"
MANIFEST = json.loads((PACKAGE / "manifest.json").read_text())


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("package") / "p"
    shutil.copytree(PACKAGE, folder)
    return folder


@fuzz(20)
@given(manifest=twisted(MANIFEST))
@example(manifest=[])
@example(manifest={**MANIFEST, "files": {"../../etc/passwd": {"bytes": 1, "sha256": "0" * 64}}})
@example(manifest={**MANIFEST, "files": {"/etc/passwd": {"bytes": 1, "sha256": "0" * 64}}})
@example(manifest={**MANIFEST, "files": {"": {"bytes": 1, "sha256": "0" * 64}}})
@example(manifest={**MANIFEST, "files": {"\0": {"bytes": 1, "sha256": "0" * 64}}})
@example(manifest={**MANIFEST, "files": {"x" * 5000: {"bytes": 1, "sha256": "0" * 64}}})
def test_manifest_of_the_wrong_shape(package: Path, manifest: Any) -> None:
    (package / "manifest.json").write_bytes(encoded(manifest))
    with refuses_or_takes():
        load_manifest(package, "text-lm")


@fuzz(15)
@given(data=damaged(json.dumps(MANIFEST).encode()))
@example(data=b"{" * 100_000)
@example(data=b'{"format": ' + b"1" * 5000 + b"}")
def test_manifest_as_bytes(package: Path, data: bytes) -> None:
    (package / "manifest.json").write_bytes(data)
    with refuses_or_takes():
        load_manifest(package, "text-lm")


TFLITE = (FIXTURES / "adder.tflite").read_bytes()


@fuzz(37)
@given(data=damaged(TFLITE))
@example(data=b"")
@example(data=b"\0\0\0\0TFL3")
@example(data=b"\x10\0\0\0TFL3" + b"\xff" * 200)
@example(data=TFLITE[:64])
def test_tflite_header(room: Path, data: bytes) -> None:
    path = room / "model.tflite"
    path.write_bytes(data)
    with refuses_or_takes():
        check_tflite(path)


WAKE = ROOT / "models" / "hey_noctule"
WAKE_JSON = json.loads((WAKE / "manifest.json").read_text())


@pytest.fixture(scope="module")
def wake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wake") / "hey_noctule"
    shutil.copytree(WAKE, folder)
    return folder


@fuzz(25)
@given(config=twisted(WAKE_JSON))
@example(config={**WAKE_JSON, "model": "../../../etc/passwd"})
@example(config={**WAKE_JSON, "model": ".."})
@example(config={**WAKE_JSON, "model": ""})
@example(config={**WAKE_JSON, "model": "\0"})
@example(config={**WAKE_JSON, "x_noctule": {**WAKE_JSON["x_noctule"], "files": None}})
@example(config={**WAKE_JSON, "x_noctule": {**WAKE_JSON["x_noctule"], "files": {"hey_noctule.tflite": 1}}})
@example(config={**WAKE_JSON, "trained_languages": 7})
@example(config={**WAKE_JSON, "micro": {**WAKE_JSON["micro"], "sliding_window_size": float("nan")}})
@example(config={**WAKE_JSON, "micro": {**WAKE_JSON["micro"], "sliding_window_size": 10**400}})
def test_wake_word_json_of_the_wrong_shape(wake: Path, config: Any) -> None:
    (wake / "manifest.json").write_bytes(encoded(config))
    with refuses_or_takes():
        load_package(wake)


@fuzz(12)
@given(data=damaged(json.dumps(WAKE_JSON).encode()))
@example(data=b"[" * 100_000)
def test_wake_word_json_as_bytes(wake: Path, data: bytes) -> None:
    (wake / "manifest.json").write_bytes(data)
    with refuses_or_takes():
        load_package(wake)


# -- sound -----------------------------------------------------------------------------------------------------------


def wav(code: int, bits: int, data: bytes, extra: bytes = b"") -> bytes:
    width = bits // 8
    fmt = struct.pack("<HHIIHH", code, 1, 16000, 16000 * width, width, bits)
    body = (
        b"WAVE" + b"fmt " + struct.pack("<I", len(fmt)) + fmt + extra + b"data" + struct.pack("<I", len(data)) + data
    )
    return b"RIFF" + struct.pack("<I", len(body)) + body


SOUND = np.arange(400, dtype="<i2").tobytes()
GOOD_WAVS = [
    wav(1, 16, SOUND), wav(1, 8, SOUND), wav(1, 24, SOUND[:798]), wav(3, 32, SOUND), wav(3, 64, SOUND),
    wav(1, 16, SOUND, b"LIST" + struct.pack("<I", 5) + b"abcde\0"),
    b"RF64" + b"\xff" * 4 + b"WAVE" + b"ds64" + struct.pack("<IQQQI", 28, 1000, 800, 400, 0) + wav(1, 16, SOUND)[12:],
]  # fmt: skip


@fuzz(50)
@given(data=st.sampled_from(GOOD_WAVS).flatmap(damaged))
@example(data=b"RIFF\0\0\0\0WAVE" + b"LIST\0\0\0\0" * 3000)
@example(data=b"RF64\0\0\0\0WAVEds64\xff\xff\xff\xff" + bytes(3000))
@example(data=b"RIFF\0\0\0\0WAVEfmt \xff\xff\xff\x7f")
@example(data=GOOD_WAVS[0].replace(struct.pack("<I", 16000), struct.pack("<I", 15874), 1))
@example(data=GOOD_WAVS[0].replace(struct.pack("<I", 16000), struct.pack("<I", 767_999), 1))
@example(data=GOOD_WAVS[3][:-4] + b"\0\0\xc0\x7f")
def test_wav(room: Path, data: bytes) -> None:
    path = room / "sound.wav"
    path.write_bytes(data)
    with refuses_or_takes(), WavReader(path) as reader:
        for block in reader.at_rate(24000, 1920):
            assert np.isfinite(block).all()


# -- voices and checkpoints ------------------------------------------------------------------------------------------


def safetensors(header: Any, data: bytes) -> bytes:
    text = encoded(header)
    return struct.pack("<Q", len(text)) + text + data


VOICE_HEADER = {SPEAKER: {"dtype": "F32", "shape": [1, 4, 3], "data_offsets": [0, 48]}}
VOICE = safetensors(VOICE_HEADER, np.arange(12, dtype="<f4").tobytes())


@fuzz(30)
@given(data=damaged(VOICE) | twisted(VOICE_HEADER).map(lambda h: safetensors(h, bytes(48))))
@example(data=b"\xff" * 8 + b"{}")
@example(data=safetensors({SPEAKER: {"dtype": "F32", "shape": [1, 2**62, 4], "data_offsets": [0, 2**64]}}, b""))
@example(data=safetensors({SPEAKER: {"dtype": "F32", "shape": [1, 1, 1], "data_offsets": [-20, -16]}}, bytes(48)))
@example(data=safetensors({SPEAKER: {"dtype": "F32", "shape": [1, float("inf"), 1], "data_offsets": [0, 4]}}, b""))
@example(data=struct.pack("<Q", 90_000) + b"[" * 90_000)
def test_voice(room: Path, data: bytes) -> None:
    path = room / "voice.safetensors"
    path.write_bytes(data)
    with refuses_or_takes():
        read_voice(path)


# -- state -----------------------------------------------------------------------------------------------------------

TIMERS = {
    "format": 1, "boot_id": "b", "saved_wall": 1.0, "next": 2,
    "timers": [{"number": 1, "name": "x", "duration": 5.0, "due": 6.0, "due_wall": 7.0, "wall_only": False}],
}  # fmt: skip
EARS = {"format": 1, "muted": True, "thresholds": {"hey_noctule": 0.5}}


@fuzz(30)
@given(data=twisted(TIMERS).map(encoded) | damaged(encoded(TIMERS)))
@example(data=encoded({**TIMERS, "saved_wall": float("nan")}))
@example(data=encoded({**TIMERS, "next": float("inf")}))
@example(data=encoded({**TIMERS, "timers": [{**TIMERS["timers"][0], "name": None}]}))  # type: ignore[index]
def test_timers(tmp_path_factory: pytest.TempPathFactory, room: Path, data: bytes) -> None:
    path = room / "timers.json"
    path.write_bytes(data)
    with refuses_or_takes():
        timers = Timers(path, Bus(), ManualClock(), boot_id="b")
        timers.status()
        timers.fire_due()
        json.dumps(timers.status())


@fuzz(15)
@given(data=twisted(EARS).map(encoded) | damaged(encoded(EARS)) | values().map(encoded))
def test_ears(room: Path, data: bytes) -> None:
    (room / "ears.json").write_bytes(data)
    with refuses_or_takes():
        memory = EarMemory(room, Bus())
        assert isinstance(memory.muted, bool)


def test_the_good_inputs_are_good(room: Path) -> None:
    """Else the damage above would only ever meet the first check."""
    path = room / "good"
    path.write_bytes(CONFIG)
    assert load_config(path).config.commands.keys() == set()
    assert load_manifest(PACKAGE, "text-lm").kind == "text-lm"
    check_tflite(FIXTURES / "adder.tflite")
    assert load_package(WAKE).phrase
    for good in GOOD_WAVS:
        path.write_bytes(good)
        with WavReader(path) as reader:
            assert sum(len(block) for block in reader.blocks()) > 0
    path.write_bytes(VOICE)
    assert read_voice(path).shape == (3, 4)
    assert hashlib.sha256(TFLITE).hexdigest()
