"""`noctule say TEXT…`: a text as speech, aloud in the daemon's room, or with -o in a file, without a daemon."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from time import monotonic

import numpy as np

from noctule.audio.wav_writer import WavWriter
from noctule.cli.common import check_output, client, load, say, socket_argument
from noctule.cli.speech_common import cache_dir, open_pair, package, speech_arguments, warn
from noctule.config import Config
from noctule.core.errors import InputError
from noctule.lm.speech.codec import Samples
from noctule.lm.speech.piper.voice import PiperVoice
from noctule.voice.engines import WYOMING, pocket_folder, voice_folder
from noctule.voice.speech_handle import Synthesizer
from noctule.voice.tts.local import open_speaker
from noctule.voice.tts.piper import PiperSynthesizer
from noctule.voice.tts.pocket import PocketSynthesizer, open_pocket
from noctule.voice.tts.wyoming import WyomingSynthesizer

HELP = "speak a text aloud, or into a WAV file"


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("text", nargs="+", metavar="TEXT", help='what to say; <break time="0.5s"/> makes a pause')
    parser.add_argument(
        "-o", "--output", type=Path, metavar="FILE.wav", help="into this file instead of the daemon's loudspeaker"
    )
    parser.add_argument("--voice", type=Path, metavar="FILE", help="a .safetensors voice, or a .wav to continue")
    speech_arguments(parser)
    socket_argument(parser)


def run(options: argparse.Namespace) -> int:
    text = " ".join(options.text)
    if options.output is None:
        return _aloud(options, text)
    check_output(options.output, ".wav")
    config = load(options).config
    if options.model:
        named = str(package(options.model, config, "speech.tts").absolute())
        config = replace(config, speech=replace(config.speech, tts=named))
    speech = config.speech
    began = monotonic()
    if speech.tts == WYOMING:
        remote = WyomingSynthesizer(speech.wyoming_tts, speech.voice, speech.timeout)
        length = _write(options.output, _spoken(remote, text))
    elif (engine := _engine(options, config)) is not None:
        try:
            began = monotonic()
            length = _write(options.output, _spoken(engine, text))
        finally:
            engine.close()
    else:
        pair, config = open_pair(options, "tts")
        with pair:
            speaker, warnings = open_speaker(pair, config.speech, options.voice)
            for sentence in warnings:
                warn(sentence)
            began, rate = monotonic(), pair.codec.shape.sample_rate
            length = _write(options.output, ((rate, pcm) for pcm in speaker.say(text)))
    print(f"{options.output}: {length:.1f} s of speech in {monotonic() - began:.1f} s", file=sys.stderr)
    return 0


def _aloud(options: argparse.Namespace, text: str) -> int:
    if options.model or options.voice:
        raise InputError("A model and a voice are for a file: the daemon has its own.", "give -o FILE.wav")
    answer = client(options, timeout=3600).post("/say", {"text": text})
    if not answer["spoken"]:
        say("It was interrupted.")
    return 0 if answer["spoken"] else 1


def _engine(options: argparse.Namespace, config: Config) -> PiperSynthesizer | PocketSynthesizer | None:
    """The Piper voice or the pocket-tts model that is to speak; None where something else is."""
    speech = config.speech
    folder = voice_folder(config)
    if folder is not None:
        voice = PiperVoice.open(folder, threads=options.threads or speech.threads, cache_dir=cache_dir(config))
        return PiperSynthesizer(voice, lambda: speech)
    folder = pocket_folder(config)
    if folder is None:
        return None
    threads, speaker = options.threads or 0, str(options.voice or "")
    pocket = open_pocket(folder, speech, voice=speaker, threads=threads, cache_dir=cache_dir(config))
    if not pocket.verdict.keeps_up:
        warn(pocket.verdict.sentence)
    return pocket


def _spoken(synthesizer: Synthesizer, text: str) -> Iterator[tuple[int, Samples]]:
    """(rate, samples) of a text."""
    synthesis = synthesizer.begin()
    try:
        synthesis.more(text)
        synthesis.close()
        while not synthesis.done:
            pcm = synthesis.step()
            if pcm is not None:
                yield synthesis.rate, pcm
    finally:
        synthesis.cancel()


def _write(path: Path, sound: Iterator[tuple[int, Samples]]) -> float:
    """The sound into a file, whole or not at all; its seconds."""
    first = next(sound, None)
    if first is None:
        raise InputError("The voice made no sound of this text.")
    with WavWriter(path, first[0]) as out:
        out.write(np.asarray(first[1], np.float32))
        for _, pcm in sound:
            out.write(pcm)
    return out.frames / out.sample_rate
