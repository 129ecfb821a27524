"""Front end, package loading and detector, with models written for the test and microWakeWord's own."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wakeword_models import bursts, noise, write_loud

from noctule.core.errors import InputError, ModelError
from noctule.wake import features
from noctule.wake.detector import Detector
from noctule.wake.model import WakeModel
from noctule.wake.package import load_package

PEER = importlib.util.find_spec("pymicro_wakeword")


@given(st.lists(st.integers(1, 3000), min_size=1, max_size=12))
@settings(max_examples=25, deadline=None)
def test_features_do_not_depend_on_how_the_stream_is_cut(sizes: list[int]) -> None:
    sound = noise(sum(sizes) / 16_000 + 0.2)
    whole = features.extract(sound)
    front, parts, at = features.FrontEnd(), [], 0
    for size in [*sizes, len(sound)]:
        parts.append(front.push(sound[at : at + size]))
        at += size
    assert np.array_equal(np.concatenate(parts), whole)


def test_first_frame_needs_30_ms_and_the_next_10() -> None:
    front = features.FrontEnd()
    assert front.push(noise(0.03)[:479]).shape == (0, 40)
    assert front.push(noise(0.03)[479:]).shape == (1, 40)
    assert front.push(noise(0.01)).shape == (1, 40)


def test_quantise_saturates_and_inverts_the_contract_scale() -> None:
    given_values = np.array([-1.0, 0.0, 13.0, 26.0, 99.0], np.float32)
    assert features.quantise(given_values).tolist() == [-128, -128, 0, 127, 127]


def test_reset_forgets_the_stream() -> None:
    front = features.FrontEnd()
    first = front.push(noise(0.5))
    front.push(noise(0.123))
    front.reset()
    assert np.array_equal(front.push(noise(0.5)), first)


def test_a_missing_front_end_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pymicro_features", None)
    with pytest.raises(ModelError, match="pymicro-features, is not installed"):
        features.FrontEnd()


def test_package_round_trip(tmp_path: Path) -> None:
    package = load_package(write_loud(tmp_path / "loud", threshold=0.62))
    assert (package.id, package.phrase, package.threshold, package.window) == ("loud", "Loud Noise", 0.62, 5)
    assert (package.warm_up, package.refractory, package.languages) == (2.1, 2.0, ("en",))
    assert load_package(tmp_path / "loud" / "manifest.json") == package


def test_an_empty_model_is_refused(tmp_path: Path) -> None:
    (write_loud(tmp_path) / "loud.tflite").write_bytes(b"")
    with pytest.raises(ModelError, match="empty"):
        load_package(tmp_path)


@pytest.mark.parametrize("keep", [7, 100, 2000, -1])
def test_a_truncated_model_is_refused(tmp_path: Path, keep: int) -> None:
    model = write_loud(tmp_path) / "loud.tflite"
    model.write_bytes(model.read_bytes()[:keep])
    with pytest.raises(ModelError):
        load_package(tmp_path)


def test_a_changed_model_is_refused(tmp_path: Path) -> None:
    model = write_loud(tmp_path) / "loud.tflite"
    data = bytearray(model.read_bytes())
    data[-20] ^= 1
    model.write_bytes(bytes(data))
    with pytest.raises(ModelError, match="SHA-256"):
        load_package(tmp_path)


@pytest.mark.parametrize(
    ("pin", "told"),
    [
        ({"name": "mfcc-13"}, "front end 'mfcc-13' is unknown"),
        ("pymicro-features", "front end 'pymicro-features' is unknown"),
        ({"name": "pymicro-features", "digest": "0" * 64, "version": "9"}, "computes other features"),
        (None, "front end None is unknown"),
    ],
)
def test_an_unknown_front_end_is_refused(tmp_path: Path, pin: object, told: str) -> None:
    with pytest.raises(ModelError, match=told):
        load_package(write_loud(tmp_path, front_end=pin))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"type": "openwakeword"}, "not a microWakeWord package"),
        ({"version": 1}, "is for version 1"),
        ({"model": "../loud.tflite"}, "must be the name of a file beside it"),
        ({"model": 3}, "must be the name of a file beside it"),
        ({"x_noctule": []}, "must be a table"),
        ({"x_noctule": {"files": {}}}, "does not list this file"),
        ({"model": "other.tflite"}, "there is no such model file"),
        ({"micro": {"probability_cutoff": 2, "sliding_window_size": 5}}, "'probability_cutoff' must be a number"),
        ({"micro": {"probability_cutoff": 0.5, "sliding_window_size": 0}}, "'sliding_window_size' must be"),
        (
            {"micro": {"probability_cutoff": 0.5, "sliding_window_size": 5, "feature_step_size": 20}},
            "20 ms is unknown",
        ),
    ],
)
def test_a_wrong_description_is_refused(tmp_path: Path, change: dict[str, object], told: str) -> None:
    path = write_loud(tmp_path) / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(ModelError, match=told):
        load_package(path)


def test_missing_and_unreadable_descriptions_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no wake-word JSON"):
        load_package(tmp_path)
    with pytest.raises(ModelError, match="there is no such wake-word package"):
        load_package(tmp_path / "none.json")
    (tmp_path / "bad.json").write_text("{")
    with pytest.raises(ModelError, match="not a readable JSON file"):
        load_package(tmp_path / "bad.json")
    (tmp_path / "keyless.json").write_text('{"type": "micro", "version": 2, "micro": {}}')
    with pytest.raises(ModelError, match="'model' is missing"):
        load_package(tmp_path / "keyless.json")


def test_a_folder_of_two_packages_must_be_narrowed(tmp_path: Path) -> None:
    for name in ("one", "two"):
        write_loud(tmp_path, name)
        (tmp_path / "manifest.json").rename(tmp_path / f"{name}.json")
    with pytest.raises(ModelError, match="2 wake-word JSONs"):
        load_package(tmp_path)
    assert load_package(tmp_path / "two.json").id == "two"


def test_other_graphs_are_refused() -> None:
    adder = Path(__file__).resolve().parents[2] / "fixtures" / "adder.tflite"
    with pytest.raises(ModelError, match=r"wake model|microWakeWord v2"):
        WakeModel(adder)


def test_a_loud_burst_is_heard_once(tmp_path: Path) -> None:
    detector = Detector([load_package(write_loud(tmp_path))])
    heard = detector.push(bursts(8.0, (4.0,)))
    assert [item.word for item in heard] == ["loud"]
    assert 4.0 < heard[0].time < 4.7
    assert heard[0].score > heard[0].threshold == 0.5
    assert heard[0].phrase == "Loud Noise"
    detector.close()


def test_warm_up_suppresses_the_first_seconds_after_every_reset(tmp_path: Path) -> None:
    detector = Detector([load_package(write_loud(tmp_path))])
    early, late = bursts(3.5, (1.0,)), bursts(3.5, (2.4,))
    assert detector.push(early) == []
    detector.reset()
    assert len(detector.push(late)) == 1
    detector.reset()
    assert detector.push(early) == []


def test_a_hole_in_the_sound_makes_it_deaf_for_a_while_and_costs_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    detector = Detector([load_package(write_loud(tmp_path))])
    assert detector.push(bursts(3.0, ())) == []
    monkeypatch.setattr(WakeModel, "reset", lambda model: pytest.fail("a busy board has no time to load it again"))
    detector.hole()
    heard = detector.push(bursts(6.0, (1.0, 3.0)))
    assert [round(item.time, 0) for item in heard] == [6.0], (
        "not the burst a second after the hole, but the later one"
    )


def test_refractory_time_joins_bursts(tmp_path: Path) -> None:
    close = Detector([load_package(write_loud(tmp_path / "a"))]).push(bursts(10.0, (4.0, 4.9, 8.0)))
    assert [round(item.time) for item in close] == [4, 8]
    eager = load_package(write_loud(tmp_path / "b", refractory_ms=0))
    assert len(Detector([eager]).push(bursts(10.0, (4.0, 4.9, 8.0)))) > 3


def test_reset_gives_the_same_scores_again(tmp_path: Path) -> None:
    traced: list[tuple[str, float, float]] = []
    detector = Detector([load_package(write_loud(tmp_path))], trace=lambda *row: traced.append(row))
    for _ in range(2):
        detector.push(bursts(3.0, (0.5, 2.2)))
        detector.reset()
    half = len(traced) // 2
    assert traced[:half] == traced[half:]
    assert half == 99


def test_chunking_does_not_change_what_is_heard(tmp_path: Path) -> None:
    sound = bursts(9.0, (3.0, 7.0))
    package = load_package(write_loud(tmp_path))
    whole = Detector([package]).push(sound)
    pieces = Detector([package])
    assert [hit for at in range(0, len(sound), 1000) for hit in pieces.push(sound[at : at + 1000])] == whole
    assert len(whole) == 2


def test_several_words_have_their_own_thresholds(tmp_path: Path) -> None:
    one, two = load_package(write_loud(tmp_path / "1")), load_package(write_loud(tmp_path / "2", "other", 0.999))
    detector = Detector([one, two])
    assert detector.words == {"loud": 0.5, "other": 0.999}
    detector.set_threshold("other", 0.3)
    assert {item.word for item in detector.push(bursts(5.0, (3.0,)))} == {"loud", "other"}
    detector.set_threshold("other", None)
    assert detector.words["other"] == 0.999


def test_wrong_use_is_refused_in_words(tmp_path: Path) -> None:
    package = load_package(write_loud(tmp_path))
    with pytest.raises(InputError, match="given twice"):
        Detector([package, package])
    detector = Detector([package])
    with pytest.raises(InputError, match="no wake word 'x'"):
        detector.set_threshold("x", 0.5)
    with pytest.raises(InputError, match="above 0 and at most 1"):
        detector.set_threshold("loud", 0.0)
    with pytest.raises(InputError, match="int16 mono"):
        detector.push(np.zeros(10, np.float32))  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"int8\[n, 40\]"):
        detector.push_features(np.zeros((3, 13), np.int8))


@pytest.mark.skipif(PEER is None, reason="pymicro-wakeword is not installed")
class TestPeer:
    """microWakeWord's models in our detector, and ours in its."""

    @staticmethod
    def models() -> Path:
        assert PEER is not None
        assert PEER.submodule_search_locations
        return Path(PEER.submodule_search_locations[0]) / "models"

    @pytest.mark.parametrize("name", ["okay_nabu", "alexa", "hey_jarvis", "hey_mycroft"])
    def test_every_shipped_peer_model_loads_and_stays_asleep_in_noise(self, name: str) -> None:
        package = load_package(self.models() / f"{name}.json")
        assert (package.warm_up, package.refractory, package.extra) == (2.1, 2.0, {})
        assert Detector([package]).push(noise(4.0, 2000)) == []

    def test_scores_equal_the_peer_s_own(self) -> None:
        from pymicro_wakeword import MicroWakeWord, MicroWakeWordFeatures

        sound = noise(3.0, 2500, 3)
        path = self.models() / "okay_nabu.json"
        theirs, front = MicroWakeWord.from_config(path), MicroWakeWordFeatures()
        expected = [theirs.process_streaming_prob(item) for item in front.process_streaming(sound.tobytes())][2::3]
        traced: list[float] = []
        Detector([load_package(path)], trace=lambda _w, _t, mean: traced.append(mean)).push(sound)
        assert traced == pytest.approx(expected[: len(traced)], abs=1e-6)

    def test_our_package_runs_unchanged_in_pymicro_wakeword(self, tmp_path: Path) -> None:
        from pymicro_wakeword import MicroWakeWord, MicroWakeWordFeatures

        folder = write_loud(tmp_path)
        sound = bursts(4.0, (2.5,))
        theirs, front = MicroWakeWord.from_config(folder / "manifest.json"), MicroWakeWordFeatures()
        expected = [theirs.process_streaming_prob(item) for item in front.process_streaming(sound.tobytes())][2::3]
        traced: list[float] = []
        Detector([load_package(folder)], trace=lambda _w, _t, mean: traced.append(mean)).push(sound)
        assert max(traced) > 0.5
        assert traced == pytest.approx(expected[: len(traced)], abs=1e-6)
