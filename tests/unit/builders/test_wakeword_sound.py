"""Sound processing, WAV reading, trials and the piper engine (a script stands for the piper command)."""

from __future__ import annotations

import json
import os
import wave
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("scipy")

from wakeword_models import noise
from wakeword_work import Spec, crash_then_answer, fail

from builders.common.pool import Chunk, run_chunks, save_arrays
from builders.sound import signal, wavs
from builders.sound.engines import spelled
from builders.sound.engines.piper import Piper
from builders.wake import augment, trials
from builders.wake.speech import Bank
from noctule.core.errors import InputError, NoctuleError

RATE = 16_000


def tone(frequency: float, seconds: float = 1.0) -> signal.Audio:
    return np.sin(2 * np.pi * frequency * np.arange(int(seconds * RATE)) / RATE).astype(np.float32)


def pitch(audio: signal.Audio) -> float:
    spectrum = np.abs(np.fft.rfft(audio * np.hanning(len(audio))))
    return float(spectrum.argmax() * RATE / len(audio))


@pytest.mark.parametrize("ratio", [0.8, 1.0, 1.25, 22_050 / 16_000])
def test_resampling_moves_pitch_and_length(ratio: float) -> None:
    out = signal.resample(tone(440), ratio)
    assert len(out) == pytest.approx(RATE / ratio, abs=2)
    assert pitch(out) == pytest.approx(440 * ratio, rel=0.01)
    assert out[2000:-2000].std() == pytest.approx(tone(440).std(), rel=0.02)


def test_trim_cuts_silence_only() -> None:
    sound = np.concatenate([np.zeros(4000, np.float32), tone(300, 0.5), np.zeros(4000, np.float32)])
    assert len(signal.trim(sound)) == pytest.approx(8000 + 320, abs=40)
    assert len(signal.trim(np.zeros(100, np.float32))) == 0


def test_formants_move_and_identity_keeps_the_sound() -> None:
    rng = np.random.default_rng(0)
    kernel = np.convolve(np.ones(8) / 8, np.cos(np.arange(64)) * np.hanning(64))
    voice = np.convolve(rng.standard_normal(RATE), kernel, "same").astype(np.float32)
    same = signal.move_formants(voice, 1.0)
    assert np.corrcoef(same, voice)[0, 1] > 0.99

    def centre(x: signal.Audio) -> float:
        power = np.square(np.abs(np.fft.rfft(x)))
        return float((power * np.arange(len(power))).sum() / power.sum())

    assert centre(signal.move_formants(voice, 1.2)) > 1.08 * centre(voice)


def test_revoice_speaks_at_the_wanted_pitch() -> None:
    rng = np.random.default_rng(0)
    buzz = sum(tone(110 * k) / k for k in range(1, 20)).astype(np.float32)
    out = signal.revoice(signal.normal(buzz), 200.0, 0.0, 1.0, 0.0, rng)
    spectrum = np.abs(np.fft.rfft(out))
    assert abs(spectrum[150:260].argmax() + 150 - 200) <= 12
    assert np.isfinite(out).all()
    assert len(out) == len(buzz)


def test_noises_have_unit_level_and_their_slope() -> None:
    rng = np.random.default_rng(1)
    for sound in (signal.coloured(RATE, 1, rng), signal.music(RATE, rng), signal.clicks(RATE, rng)):
        assert np.sqrt(np.mean(sound**2)) == pytest.approx(1.0, abs=1e-3)
    power = np.square(np.abs(np.fft.rfft(signal.coloured(8 * RATE, 1, rng))))
    low, high = power[800:1600].mean(), power[8000:16_000].mean()
    assert low / high == pytest.approx(10, rel=0.4)


def test_a_room_keeps_the_direct_sound() -> None:
    room = signal.room(np.random.default_rng(2))
    assert room[0] == 1.0
    assert abs(room[1:]).max() < 3
    assert len(signal.convolve(tone(300), room)) == RATE


def test_a_condition_has_the_snr_it_names() -> None:
    rng = np.random.default_rng(3)
    speech = np.random.default_rng(4).standard_normal(40 * RATE).astype(np.float32)
    sound = np.zeros(6 * RATE, np.float32)
    sound[2 * RATE : 4 * RATE] = signal.normal(tone(500, 2.0))
    noisy = trials.render(sound, trials.CONDITIONS["pink 10 dB"], speech, rng)
    ratio = np.var(noisy[2 * RATE : 4 * RATE]) / np.var(noisy[: 2 * RATE]) - 1
    assert 10 * np.log10(ratio) == pytest.approx(10, abs=1.0)
    clean = trials.render(sound, trials.CONDITIONS["clean"], speech, rng)
    assert 20 * np.log10(np.std(clean[2 * RATE : 4 * RATE])) == pytest.approx(-26, abs=0.2)


def test_scenes_put_the_phrase_where_they_say(tmp_path: Path) -> None:
    clip, talk = noise(0.7, 9000), noise(60, 5000, 2)
    for name, sound in (("p", clip), ("n", talk)):
        save_arrays(tmp_path / f"{name}.npz", {"audio": sound, "offsets": np.array([0, len(sound)]),
                                               "voice": np.array(["v"]), "text": np.array(["t"])})  # fmt: skip
    spec = augment.SceneSpec("P", 3, 1, (str(tmp_path / "p.npz"),), 0, (str(tmp_path / "n.npz"),))
    made = augment.make_scenes(spec)
    assert made["features"].shape == (3, augment.FRAMES, 40)
    assert made["features"].dtype == np.int8
    assert ((made["end"] > 2.2 * RATE) & (made["end"] < 4.6 * RATE)).all()
    again = augment.make_scenes(spec)
    assert all(np.array_equal(made[name], again[name]) for name in made)
    assert augment.make_scenes(augment.SceneSpec("Z", 1, 1, (), 0, (str(tmp_path / "n.npz"),)))["end"] == [-1]
    assert len(Bank([tmp_path / "p.npz"])) == 1


def test_wavs_of_any_rate_become_16_khz_mono(tmp_path: Path) -> None:
    with wave.open(str(tmp_path / "a.wav"), "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(2)
        file.setframerate(44_100)
        stereo = np.sin(2 * np.pi * 440 * np.arange(44_100) / 44_100)[:, None] * np.array([[9000, 9000]])
        file.writeframes(stereo.astype("<i2").tobytes())
    audio = wavs.read_wav(tmp_path / "a.wav")
    assert len(audio) == pytest.approx(RATE, abs=2)
    assert pitch(audio) == pytest.approx(440, rel=0.01)
    (tmp_path / "bad.wav").write_bytes(b"no wave")
    with pytest.raises(InputError, match="not a readable WAV"):
        wavs.read_wav(tmp_path / "bad.wav")
    wavs.write_wav(tmp_path / "short.wav", noise(0.01))
    with pytest.raises(InputError, match="shorter than 50 ms"):
        wavs.read_wav(tmp_path / "short.wav")


def test_piper_is_called_with_the_voice_s_rate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    command = tmp_path / "piper"
    command.write_text('#!/bin/sh\ncat > "$(dirname "$0")/said"\nhead -c 44100 /dev/urandom\n')
    command.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    voice = tmp_path / "voice.onnx"
    (tmp_path / "voice.onnx.json").write_text(json.dumps({"audio": {"sample_rate": 22_050}, "num_speakers": 3}))
    audio = Piper().say(str(voice), spelled("hey noctule"), np.random.default_rng(0))
    assert audio is not None
    assert len(audio) == RATE
    assert (tmp_path / "said").read_text() == "hey noctule\n"
    command.write_text("#!/bin/sh\necho broken voice >&2\nexit 3\n")
    with pytest.raises(RuntimeError, match="broken voice"):
        Piper().say(str(voice), spelled("hey"), np.random.default_rng(0))


def test_a_failing_chunk_is_named_and_finished_ones_stay(tmp_path: Path) -> None:
    good = Chunk(tmp_path / "good.npz", crash_then_answer, Spec(seed=10**8))
    run_chunks("test", [good], 1)
    stamp = good.out.stat().st_mtime_ns
    with pytest.raises(NoctuleError, match=r"bad\.npz failed: ValueError: cannot say"):
        run_chunks("test", [good, Chunk(tmp_path / "bad.npz", fail, Spec(seed=1))], 1)
    assert good.out.stat().st_mtime_ns == stamp
    assert not (tmp_path / "bad.npz").exists()


def test_a_crashed_chunk_is_begun_anew_with_another_seed(tmp_path: Path) -> None:
    chunk = Chunk(tmp_path / "c.npz", crash_then_answer, Spec(seed=5))
    run_chunks("test", [chunk], 1)
    assert np.load(chunk.out)["seed"] == 5 + 15_485_863
