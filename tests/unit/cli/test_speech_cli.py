"""`noctule transcribe`, `say` and `bench speech` on the tiny packages, from the command line inwards."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from noctule.audio.wav_writer import WavWriter
from noctule.audio.wavefile import WavReader
from noctule.cli import run_command
from noctule.core.errors import ModelError
from noctule.lm.speech import pair as speech_pair
from noctule.lm.speech import realtime
from noctule.lm.speech.pair import find_codec, load_pair, measure
from noctule.lm.speech.realtime import FrameCost
from noctule.lm.speech.words import Word

FIXTURES = Path(__file__).parents[2] / "fixtures"
CODEC = FIXTURES / "kyutai-tiny" / "codec"
DUPLEX = FIXTURES / "kyutai-tiny" / "lm"
STT, TTS = FIXTURES / "kyutai-tiny-modes" / "stt", FIXTURES / "kyutai-tiny-modes" / "tts"


@pytest.fixture(autouse=True)
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No configuration, cache or service of this machine."""
    config = tmp_path / "noctule.toml"
    config.write_text('[service]\nstate_dir = "/nonexistent"\n')
    monkeypatch.setenv("NOCTULE_CONFIG", str(config))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def recording(path: Path, seconds: float = 1.0, rate: int = 24_000, loud: float = 0.3) -> Path:
    noise = np.random.default_rng(0).standard_normal(int(seconds * rate)).astype(np.float32)
    with WavWriter(path, rate) as out:
        out.write(loud * noise)
    return path


def test_transcribe_prints_a_duplex_models_words(tmp_path, capsys):
    wav = recording(tmp_path / "in.wav", 2.0)
    command = ["transcribe", str(wav), "--model", str(DUPLEX), "--codec", str(CODEC), "--tail", "0.4"]
    assert run_command(command) == 0
    plain = capsys.readouterr().out
    assert plain.strip()
    assert run_command([*command, "--json"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert " ".join(row["word"] for row in rows if "word" in row) == plain.replace("\n", " ").strip()
    starts = [row["start"] for row in rows if "word" in row]
    assert starts == sorted(starts)
    assert run_command([*command, "--times"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == len(rows)


def test_transcribe_hears_any_rate_and_says_what_is_wrong_with_the_sound(tmp_path, capsys, monkeypatch):
    wav = recording(tmp_path / "loud.wav", 1.0, rate=44_100, loud=9.0)
    assert run_command(["transcribe", str(wav), "--model", str(STT), "--codec", str(CODEC)]) == 0
    said = capsys.readouterr()
    assert "is clipped in" in said.err
    assert "Traceback" not in said.err


def test_transcribe_shows_words_and_turns(capsys):
    from noctule.cli.transcribe import _Json, _Plain, _Times
    from noctule.lm.speech.stt import EndOfTurn

    heard = [Word("turn", 0.5, 0.7), Word("it", 0.8, 0.9), EndOfTurn(1.5, 0.75), Word("on\x1b[2J", 2.0, 2.1)]
    for show, wanted in (
        (_Plain(), ["turn it", "on\N{REPLACEMENT CHARACTER}[2J"]),
        (_Times(), ["     0.50  turn", "     0.80  it", "     1.50  (end of turn)"]),
        (_Json(), ['{"word": "turn", "start": 0.5, "end": 0.7}']),
    ):
        for item in heard:
            show.put(item)
        show.end()
        assert capsys.readouterr().out.splitlines()[: len(wanted)] == wanted
    _Json().put(heard[2])
    assert json.loads(capsys.readouterr().out) == {"end_of_turn": 1.5, "probability": 0.75}


def test_say_writes_speech(tmp_path, capsys):
    out = tmp_path / "out.wav"
    command = ["say", "turn on", "the lamp", "--model", str(TTS), "--codec", str(CODEC), "-o", str(out)]
    assert run_command(command) == 0
    with WavReader(out) as wav:
        assert wav.format.sample_rate == 24_000
        first = np.concatenate(list(wav.blocks()))
    assert len(first) > 1920 * 4
    assert first.any()
    assert "s of speech in" in capsys.readouterr().err
    assert run_command(command) == 0  # the same seed, the same sound
    with WavReader(out) as wav:
        np.testing.assert_array_equal(np.concatenate(list(wav.blocks())), first)
    assert run_command([*command, "--set", "speech.guidance=3.0"]) == 0
    with WavReader(out) as wav:
        other = np.concatenate(list(wav.blocks()))
    assert len(other) != len(first) or not np.array_equal(other, first)


def test_say_takes_a_voice_of_either_kind(tmp_path, capsys):
    from speaker_voice_file import voice_file

    out = tmp_path / "out.wav"
    command = ["say", "hello", "--model", str(TTS), "--codec", str(CODEC), "-o", str(out), "--voice"]
    values = np.random.default_rng(1).standard_normal((1, 8, 4)).astype(np.float32)
    assert run_command([*command, str(voice_file(tmp_path / "v.safetensors", values))]) == 0
    assert run_command([*command, str(recording(tmp_path / "me.wav", 1.5, loud=5.0))]) == 0
    assert "clipped" in capsys.readouterr().err
    assert run_command([*command, str(tmp_path / "none.safetensors")]) == 65
    assert "cannot be read" in capsys.readouterr().err


def test_a_model_of_another_kind_is_one_sentence_and_leaves_no_file(tmp_path, capsys):
    out = tmp_path / "out.wav"
    status = run_command(["say", "hi", "--model", str(STT), "--codec", str(CODEC), "-o", str(out)])
    assert status == 66
    assert "made for stt, not tts" in capsys.readouterr().err
    wav = recording(tmp_path / "in.wav", 0.2)
    assert run_command(["transcribe", str(wav), "--model", str(TTS), "--codec", str(CODEC)]) == 66
    assert "made for tts, not stt" in capsys.readouterr().err
    assert run_command(["say", "()", "--model", str(TTS), "--codec", str(CODEC), "-o", str(out)]) == 65
    assert "nothing to say" in capsys.readouterr().err
    assert not out.exists()
    assert not list(tmp_path.glob(".*part"))


def test_bad_recordings_are_named_before_a_model_is_loaded(tmp_path, capsys):
    (tmp_path / "bad.wav").write_bytes(b"OggS")
    assert run_command(["transcribe", str(tmp_path / "bad.wav"), "--model", "/no/such/model"]) == 65
    assert "is not a WAV file" in capsys.readouterr().err


def test_models_are_found_by_name_and_their_codec_beside_them(tmp_path, capsys):
    models = tmp_path / "models"
    shutil.copytree(STT, models / "ears")
    wav = recording(tmp_path / "in.wav", 0.2)
    command = ["transcribe", str(wav), "--set", f'service.models=["{models}"]', "--model", "ears"]
    assert run_command(command) == 66
    assert "no codec package beside it (ears-codec)" in capsys.readouterr().err
    shutil.copytree(CODEC, models / "ears-codec")
    assert run_command(command) == 0
    assert find_codec(models / "ears") == models / "ears-codec"
    shutil.copytree(CODEC, models / "noctule-speech-codec")
    assert find_codec(models / "noctule-stt") == find_codec(models / "noctule-tts") == models / "noctule-speech-codec"
    assert run_command(["transcribe", str(wav)]) == 66
    assert "There is no model moonshine-tiny-en in" in capsys.readouterr().err
    assert run_command(["transcribe", str(wav), "--set", "speech.stt=off"]) == 65
    assert "no speech model is named" in capsys.readouterr().err
    assert run_command(["transcribe", str(wav), "--model", "eyes"]) == 66
    assert "There is no model eyes" in capsys.readouterr().err
    # unpacked weights went to the user's cache, one file for each package
    assert len(list((tmp_path / "cache" / "noctule").glob("*.xnnpack"))) == 2


def test_settings_reach_the_sampler(tmp_path, capsys):
    wav = recording(tmp_path / "in.wav", 1.0)
    command = ["transcribe", str(wav), "--model", str(DUPLEX), "--codec", str(CODEC), "--tail", "0.4"]

    def heard(*settings: str) -> str:
        assert run_command([*command, *(x for s in settings for x in ("--set", s))]) == 0
        return capsys.readouterr().out

    base = heard()
    assert heard("speech.seed=7") != base
    greedy = heard("speech.text_temperature=0", "speech.audio_temperature=0")
    assert heard("speech.text_top_k=1", "speech.audio_top_k=1", "speech.seed=3") == greedy
    assert heard("speech.text_repetition_penalty=5", "speech.text_top_k=1", "speech.audio_top_k=1") != greedy


def test_bench_prints_the_parts_and_the_verdict(capsys):
    assert run_command(["bench", "speech", "--model", str(TTS), "--codec", str(CODEC), "--frames", "3"]) == 0
    out = capsys.readouterr().out
    assert "temporal transformer" in out
    assert " 3 codebooks" in out
    assert "this board keeps up" in out
    assert (
        run_command(["bench", "speech", "--model", str(STT), "--codec", str(CODEC), "--frames", "2", "--json"]) == 0
    )
    row = json.loads(capsys.readouterr().out)
    assert row["codebook"] == 0
    assert row["temporal"] > 0
    assert row["codec"] > 0


def test_measuring_covers_what_the_model_uses():
    with load_pair(DUPLEX, CODEC) as pair:
        cost = measure(pair.model, pair.codec, 2)
        assert min(cost.temporal, cost.codebook, cost.codec) > 0
        assert pair.verdict.keeps_up


def slow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speech_pair, "measure", lambda *_: FrameCost(100.0, 1.0, 1.0))


def test_a_slow_board_refuses_or_warns_as_configured(tmp_path, capsys, monkeypatch):
    slow(monkeypatch)
    wav = recording(tmp_path / "in.wav", 0.2)
    command = ["transcribe", str(wav), "--model", str(STT), "--codec", str(CODEC), "--set"]
    assert run_command([*command, "speech.realtime=refuse"]) == 69
    assert "does not keep up" in capsys.readouterr().err
    assert run_command([*command, "speech.realtime=allow"]) == 0
    assert "s behind in each minute" in capsys.readouterr().err


def test_a_slow_board_speaks_more_coarsely(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(realtime, "FEWEST_CODEBOOKS", 1)
    monkeypatch.setattr(speech_pair, "measure", lambda *_: FrameCost(60.0, 5.0, 1.0))
    command = ["say", "turn on the lamp", "--model", str(TTS), "--codec", str(CODEC), "-o"]
    assert run_command([*command, str(tmp_path / "coarse.wav")]) == 0
    assert "so it writes 2 of 3 codebooks" in capsys.readouterr().err
    assert run_command([*command, str(tmp_path / "fine.wav"), "--set", "speech.realtime=allow"]) == 0
    sounds = []
    for name in ("coarse.wav", "fine.wav"):
        with WavReader(tmp_path / name) as wav:
            sounds.append(np.concatenate(list(wav.blocks())))
    assert sounds[0].any()
    assert len(sounds[0]) != len(sounds[1]) or not np.array_equal(*sounds)


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        ({"card": 25}, "24 codes in a codebook, but the model wants 25"),
        ({"frame_rate": 25.0}, "12.5 frames a second"),
        ({"n_q": 8}, "has 3 codebooks, but the model wants 8"),
    ],
)
def test_a_codec_of_another_model_is_refused(wanted, words):
    class Model:
        settings = {"codec": wanted}  # noqa: RUF012
        modes = ("stt",)

    class Shape:
        card, n_q, frame_rate, sample_rate = 24, 3, 12.5, 24_000

    class Manifest:
        folder = Path("codec")

    class Codec:
        shape, manifest = Shape(), Manifest()

    with pytest.raises(ModelError, match=words):
        speech_pair.check_pair(Model(), Codec())


def test_a_broken_codec_closes_the_model(monkeypatch):
    closed = []
    close = speech_pair.SpeechModel.close
    monkeypatch.setattr(speech_pair.SpeechModel, "close", lambda self: closed.append(1) or close(self))
    with pytest.raises(ModelError, match="expected 'codec'"):
        load_pair(STT, STT)
    monkeypatch.setattr(speech_pair, "check_pair", lambda *_: (_ for _ in ()).throw(ModelError("no")))
    with pytest.raises(ModelError, match="no"):
        load_pair(STT, CODEC)
    assert closed == [1, 1]
