"""`noctule transcribe FILE.wav`: what is said in a recording, word by word; works alone, without a daemon.

A speech-to-text model writes what it hears, hours of it if need be: the one named by speech.stt unless --model names
another. With speech.stt = "wyoming" the engine there is asked. A duplex model may be given the recording too: what is
printed is then its own text, a reply or a translation.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path

from noctule.audio.chunk import RATE, to_int16
from noctule.audio.wavefile import WavReader
from noctule.cli.common import load, printable, say
from noctule.cli.eyes import Progress
from noctule.cli.speech_common import cache_dir, open_pair, package, speech_arguments, warn
from noctule.config import Config
from noctule.config.speech import Speech
from noctule.inference.manifest import package_kind
from noctule.lm.speech.codec import Samples
from noctule.lm.speech.duplex import Duplex
from noctule.lm.speech.moonshine.model import KIND as SPEECH_TO_TEXT
from noctule.lm.speech.moonshine.shared import SharedModel
from noctule.lm.speech.moonshine.windows import transcribe
from noctule.lm.speech.pair import SpeechPair, sampling
from noctule.lm.speech.speaker_voice import speaking_conditions
from noctule.lm.speech.stt import EndOfTurn
from noctule.lm.speech.stt_beam import transcriber
from noctule.lm.speech.words import Word
from noctule.voice.engines import WYOMING, package_of
from noctule.voice.stt.wyoming import BLOCK, WyomingRecogniser

HELP = "write down what is said in a WAV file"


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "file", type=Path, metavar="FILE.wav", help="the recording: PCM or float, any rate, any length"
    )
    parser.add_argument("--times", action="store_true", help="a line for each word, with its seconds")
    parser.add_argument("--json", action="store_true", help="a JSON object for each word and end of turn")
    parser.add_argument(
        "--tail", type=float, default=10.0, metavar="SECONDS",
        help="how long a duplex model may go on once the recording has ended (default 10)",
    )  # fmt: skip
    speech_arguments(parser)


def run(options: argparse.Namespace) -> int:
    with WavReader(options.file) as wav:  # a broken file is named before a model is loaded
        speech = load(options).config.speech
        if speech.stt == WYOMING and not options.model:
            return _ask_engine(wav, speech, options.json)
        name = options.model or package_of(speech, "stt")
        if name and package_kind(package(name, load(options).config, "speech.stt")) == SPEECH_TO_TEXT:
            return _write_down(wav, options)
        pair, config = open_pair(options)
        with pair:
            shape = pair.codec.shape
            show = _Json() if options.json else _Times() if options.times else _Plain()
            for heard in _hear(pair, config, wav.at_rate(shape.sample_rate, shape.frame_samples), options.tail):
                show.put(heard)
            show.end()
        for sentence in wav.warnings:
            warn(sentence)
    return 0


def _write_down(wav: WavReader, options: argparse.Namespace) -> int:
    """By a speech-to-text package: a line for each window of the recording, as it comes; how far it is, on stderr."""
    config = load(options).config
    name = options.model or package_of(config.speech, "stt")
    shared = SharedModel.open(
        package(name, config, "speech.stt"),
        threads=options.threads or config.speech.threads,
        cache_dir=cache_dir(config),
    )
    show = _Json() if options.json else _Times() if options.times else _Plain()
    bar, frames = Progress(), wav.format.frames
    seconds = frames / wav.format.sample_rate if frames else 0.0
    said = 0
    try:
        far = (lambda done: bar(done / seconds)) if seconds else None
        for words in transcribe(lambda: shared, wav.at_rate(RATE, RATE), shared.longest, far):
            bar.close()
            for word in words:
                show.put(word)
            show.end()
            said += len(words)
    finally:
        bar.close()
        shared.close()
    if not said:
        warn(f"nobody speaks in {options.file}")
    for sentence in wav.warnings:
        warn(sentence)
    return 0


def _ask_engine(wav: WavReader, speech: Speech, as_json: bool) -> int:
    """Somebody else's recogniser: words without times."""
    listening = WyomingRecogniser(speech.wyoming, speech.language, speech.timeout).begin()
    try:
        for block in wav.at_rate(RATE, BLOCK):
            listening.feed(to_int16(block))
        words = [item.text for item in listening.finish(0.0) if isinstance(item, Word)]
    finally:
        listening.cancel()
    say(json.dumps({"text": " ".join(words)}, ensure_ascii=False) if as_json else printable(" ".join(words)))
    return 0


def _hear(pair: SpeechPair, config: Config, frames: Iterator[Samples], tail: float) -> Iterator[Word | EndOfTurn]:
    model = pair.model
    if "stt" in model.modes:
        listener = transcriber(model, pair.codec, sampling(pair, config.speech), config.speech.seed, pair.readings)
        for frame in frames:
            yield from listener.feed(frame)
        yield from listener.finish()
        return
    if "duplex" not in model.modes:
        model.require("stt")
    session = model.session(
        sampling=sampling(pair, config.speech),
        seed=config.speech.seed,
        conditions=speaking_conditions(model.conditions),
    )
    codec, eos = pair.codec, model.tokenizer.eos
    talk = Duplex(session, codec.encoder(), codec.decoder(), model.words(), eos)
    for frame in frames:
        spoken = talk.feed(frame)
        if spoken is not None and spoken.word is not None:
            yield spoken.word
    for spoken in talk.finish(round(tail * model.layout.frame_rate)):
        if spoken.word is not None:
            yield spoken.word
    if (word := talk.last_word()) is not None:
        yield word


class _Plain:
    """Words on a line for each turn, as they come."""

    def __init__(self) -> None:
        self._open = False

    def put(self, heard: Word | EndOfTurn) -> None:
        if isinstance(heard, Word):
            say((" " if self._open else "") + printable(heard.text), end="")
            self._open = True
        else:
            self.end()

    def end(self) -> None:
        if self._open:
            say()
        self._open = False


class _Times(_Plain):
    """A line each, in order of time: the end of a turn is known before the last words are."""

    def __init__(self) -> None:
        super().__init__()
        self._ends: list[EndOfTurn] = []

    def put(self, heard: Word | EndOfTurn) -> None:
        if isinstance(heard, EndOfTurn):
            self._ends.append(heard)
            return
        self._flush(heard.start)
        self._show(heard)

    def end(self) -> None:
        self._flush(float("inf"))

    def _flush(self, until: float) -> None:
        for passed in [passed for passed in self._ends if passed.at <= until]:
            self._ends.remove(passed)
            self._show(passed)

    def _show(self, heard: Word | EndOfTurn) -> None:
        if isinstance(heard, Word):
            sure = "" if heard.confidence is None else f"  ({heard.confidence:.2f})"
            say(f"{heard.start:9.2f}  {printable(heard.text)}{sure}")
        else:
            say(f"{heard.at:9.2f}  (end of turn)")


class _Json(_Plain):
    def put(self, heard: Word | EndOfTurn) -> None:
        if isinstance(heard, Word):
            row: dict[str, object] = {"word": heard.text, "start": round(heard.start, 3), "end": round(heard.end, 3)}
            if heard.confidence is not None:
                row["confidence"] = round(heard.confidence, 3)
        else:
            row = {"end_of_turn": round(heard.at, 3), "probability": round(heard.probability, 4)}
        say(json.dumps(row, ensure_ascii=False))
