"""`scripts/bench speech`: its arithmetic, its protocol, and what it says when it cannot measure."""

from __future__ import annotations

import io
import json
import sys

import pytest

from noctule.core.errors import InputError
from tools.bench import speech, speech_protocol, speech_report


def child(engine: str, lm: float, nice: int = 0) -> speech.Child:
    """An engine whose temporal and depformer steps take lm/2 each, and 10 in each direction of the codec."""
    frame = {"wall": [10.0, lm / 2, lm / 2, 10.0], "cpu": [5.0, lm / 4, lm / 4, 5.0]}
    slow = {"wall": [v * 3 for v in frame["wall"]], "cpu": frame["cpu"]}
    found = speech.Child(engine, 1, None, 100.0, nice)  # type: ignore[arg-type]
    found.turns = [[frame, frame, slow], [slow, slow, slow], [frame, frame, frame]]
    return found


def test_medians_ratios_and_bandwidth():
    rows = speech_report.rows("m", [child("noctule", 8.0), child("moshi float", 80.0, nice=15)], 80_000_000, 20.0)
    ours, theirs = rows
    assert ours["wall"]["language model"] == 8.0
    assert ours["wall"]["temporal"] == 4.0
    assert ours["cpu"]["language model"] == 4.0
    assert ours["wall"]["all"] == 28.0
    assert theirs["wall"]["LM times"] == pytest.approx(10.0)
    assert theirs["wall"]["all times"] == pytest.approx(100 / 28)
    # 80 MB in the best frame's 8 ms are 10 GB/s, half of what the machine reads
    assert ours["gb_s"] == pytest.approx(10.0)
    assert ours["share"] == pytest.approx(0.5)
    text = speech_report.table(rows)
    assert "m, 1 thread, moshi float" in text
    assert "50% of the read bandwidth" in text
    assert "did not run at the same priority" in text
    assert "did not run" not in speech_report.table(rows[:1])
    # 80 MB at half of 10 GB/s
    assert "m on a Raspberry Pi 5 (10 GB/s): 16 ms of 80, keeps up" in speech_report.estimates(rows)


def test_no_board_is_promised_more_than_its_bandwidth():
    rows = speech_report.rows("m", [child("noctule", 8.0)], 800_000_000, 20.0)
    assert rows[0]["share"] == pytest.approx(5.0)
    assert "80 ms of 80, does not keep up" in speech_report.estimates(rows)
    assert "too busy to measure" in speech_report.table(rows)
    unknown = speech_report.rows("m", [child("noctule", 8.0)], 800_000_000, 0.0)
    assert unknown[0]["share"] is None
    assert "bandwidth" not in speech_report.table(unknown)


def test_bytes_are_those_of_the_context_in_use():
    streams = {"buckets": [64, 750], "bytes_per_frame": {"temporal": {"64": 10, "750": 99}, "depth": 5, "total": 104}}
    assert speech.frame_bytes(streams, 64) == 15
    assert speech.frame_bytes(streams, 65) == 104
    assert speech.frame_bytes(streams, 9_999) == 104


def test_the_protocol_answers_each_order(monkeypatch, capsys):
    moments = iter((float(i), i / 2) for i in range(100))
    monkeypatch.setattr(sys, "stdin", io.StringIO('{"frames": 2}\n'))
    speech_protocol.serve(lambda: [next(moments) for _ in range(5)])
    ready, answer = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert ready["resident_mb"] > 1
    assert answer["frames"] == [{"wall": [1000.0] * 4, "cpu": [500.0] * 4}] * 2


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--models", "gpt"], "there is no model 'gpt'"),
        (["--engines", "noctule,rocket"], "there is no engine 'rocket'"),
        (["--threads", "none"], "there is no thread count 'none'"),
        (["--models", ""], "no model is named"),
        (["--turns", "0"], "at least 1"),
    ],
)
def test_wrong_options_are_one_sentence(arguments, words, capsys):
    assert speech.main(arguments) == 65
    said = capsys.readouterr().err
    assert words in said
    assert len(said.splitlines()) == 1


def test_a_build_that_fails_or_does_not_fit_says_why(tmp_path, monkeypatch):
    with pytest.raises(InputError, match="could not be built"):
        speech.prepare(tmp_path, "moshi-82m", "/bin/false", lambda text: None)
    monkeypatch.setitem(speech.SPACE, "moshi-82m", 10**18)
    with pytest.raises(InputError, match="GB free"):
        speech.prepare(tmp_path, "moshi-82m", sys.executable, lambda text: None)


def test_an_engine_that_dies_is_named(monkeypatch):
    import subprocess

    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    dead = subprocess.Popen([sys.executable, "-c", "raise SystemExit('no torch here')"], text=True, **pipes)
    engine = speech.Child("moshi float", 1, dead)
    with pytest.raises(InputError, match="moshi float on 1 threads died: no torch here"):
        engine.read()
    engine.close()
