"""`noctule say TEXT… -o out.wav`: a text as speech in a file; works alone, without a daemon."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from time import monotonic
from typing import Any

from noctule.cli.speech_common import open_pair, speech_arguments, warn
from noctule.config import Config
from noctule.lm.speech_pair import SpeechPair, sampling
from noctule.lm.tts import Speaker, prefix_codes
from noctule.lm.voice import read_voice, speaking_conditions
from noctule.wavefile import WavReader, WavWriter

HELP = "speak a text into a WAV file"


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("text", nargs="+", metavar="TEXT", help='what to say; <break time="0.5s"/> makes a pause')
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="FILE.wav", help="where the sound goes")
    parser.add_argument("--voice", type=Path, metavar="FILE", help="a .safetensors voice, or a .wav to continue")
    speech_arguments(parser)


def run(options: argparse.Namespace) -> int:
    pair, config = open_pair(options)
    voice = options.voice or (Path(config.speech.voice) if config.speech.voice else None)
    with pair:
        speaker = Speaker(
            pair.model,
            pair.codec,
            sampling=sampling(pair, config.speech),
            seed=config.speech.seed,
            codebooks=pair.verdict.codebooks if pair.model.modes == ("tts",) else None,
            **_voice(pair, voice, config),
        )
        began = monotonic()
        with WavWriter(options.output, pair.codec.shape.sample_rate) as out:
            for pcm in speaker.say(" ".join(options.text)):
                out.write(pcm)
        took, length = monotonic() - began, out.frames / out.sample_rate
    print(f"{options.output}: {length:.1f} s of speech in {took:.1f} s", file=sys.stderr)
    return 0


def _voice(pair: SpeechPair, voice: Path | None, config: Config) -> dict[str, Any]:
    """The voice as conditions, or as a prefix to continue."""
    takes, guidance = pair.model.conditions, config.speech.guidance
    if voice is None:
        return {"conditions": speaking_conditions(takes, guidance=guidance)}
    if voice.suffix.lower() != ".wav":
        return {"conditions": speaking_conditions(takes, [read_voice(voice)], guidance)}
    shape = pair.codec.shape
    with WavReader(voice) as wav:
        prefix = prefix_codes(pair.codec, wav.at_rate(shape.sample_rate, shape.frame_samples))
        for sentence in wav.warnings:
            warn(sentence)
    return {"conditions": speaking_conditions(takes, guidance=guidance), "prefix": prefix}
