"""A speech model and its codec, found, verified, paired and measured. What the commands and the daemon load."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from noctule.config.speech import Speech
from noctule.core.errors import ModelError
from noctule.lm.sampler import Sampling
from noctule.lm.speech.canary import no_conditions
from noctule.lm.speech.codec import Codec
from noctule.lm.speech.graph import Temporal
from noctule.lm.speech.model import SpeechModel
from noctule.lm.speech.realtime import FrameCost, Verdict, affordable, judge, median_ms
from noctule.lm.speech.session import SpeechSampling
from noctule.lm.speech.streams import ZERO
from noctule.lm.speech.stt_beam import readings_of

#: frames of the conversation in which the probe measures (about 40 s): a longer one is a little slower still.
_PROBE_CONTEXT = 512


@dataclass
class SpeechPair:
    """model and codec, whether this board keeps up with them, and how many readings of what it hears it follows. Use
    as a context manager."""

    model: SpeechModel
    codec: Codec
    verdict: Verdict
    readings: int = 1

    def close(self) -> None:
        self.model.close()
        self.codec.close()

    def __enter__(self) -> SpeechPair:
        return self

    def __exit__(self, kind: type[BaseException] | None, e: BaseException | None, tb: TracebackType | None) -> None:
        self.close()


def load_pair(
    folder: Path,
    codec: Path | None = None,
    *,
    threads: int = 1,
    cache_dir: Path | None = None,
    policy: str = "degrade",
    readings: int = -1,
) -> SpeechPair:
    """Load both packages and probe the board.

    codec: its package, by default the one beside the model that the exporter writes (NAME-codec); cache_dir: an
    existing folder for unpacked weights; policy: see `realtime.judge`; readings: how many are wanted where the model
    hears, -1 for the package's number; "degrade" takes as many as the board can follow. Raises ModelError, and
    UnavailableError when the board is too slow and the policy is "refuse".
    """
    beside = find_codec(folder) if codec is None else codec
    model = SpeechModel.load(folder, threads=threads, cache_dir=cache_dir)
    try:
        sound = Codec.load(beside, threads=threads, cache_dir=cache_dir)
    except BaseException:
        model.close()
        raise
    pair = SpeechPair(model, sound, Verdict(True, model.layout.dep_q, 0.0, ""))
    try:
        check_pair(model, sound)
        pair.verdict, pair.readings = probe(model, sound, policy, readings)
    except BaseException:
        pair.close()
        raise
    return pair


def find_codec(folder: Path) -> Path:
    """The codec package that belongs to a model package: its own (NAME-codec), or the one that a family of models
    shares (FAMILY-speech-codec for FAMILY-stt and FAMILY-tts)."""
    resolved = folder.absolute()
    family = resolved.name.rpartition("-")[0]
    names = [f"{resolved.name}-codec", *([f"{family}-speech-codec"] if family else []), "codec"]
    candidates = [resolved.with_name(name) for name in names]
    for candidate in candidates:
        if (candidate / "manifest.json").is_file():
            return candidate
    raise ModelError(f"{folder}: there is no codec package beside it ({candidates[0].name})", "name one with --codec")


def check_pair(model: SpeechModel, codec: Codec) -> None:
    """Raises ModelError unless the codec's tokens are the model's."""
    wanted: Mapping[str, Any] = model.settings.get("codec") or {}
    shape, where = codec.shape, codec.manifest.folder
    pairs = (
        ("card", "codes in a codebook", shape.card),
        ("frame_rate", "frames a second", shape.frame_rate),
        ("sample_rate", "samples a second", shape.sample_rate),
    )
    for key, what, found in pairs:
        if key in wanted and float(wanted[key]) != float(found):
            raise ModelError(f"{where}: the codec has {found:g} {what}, but the model wants {wanted[key]:g}")
    need = int(wanted.get("n_q", shape.n_q))
    if shape.n_q < need and model.modes != ("tts",):
        raise ModelError(f"{where}: the codec has {shape.n_q} codebooks, but the model wants {need}")


def probe(model: SpeechModel, codec: Codec, policy: str, readings: int = -1, frames: int = 9) -> tuple[Verdict, int]:
    """Measure a frame of this pair here and now, and judge it; and the readings that are followed."""
    cost, frame_ms = measure(model, codec, frames), 1000.0 / model.layout.frame_rate
    wanted = readings_of(model, readings) if "stt" in model.modes else 1
    count = affordable(cost, wanted, frame_ms) if policy == "degrade" else wanted
    cost = replace(cost, temporal=cost.temporal * count)
    droppable = model.modes == ("tts",)
    verdict = judge(cost, model.layout.dep_q, frame_ms, policy=policy, droppable=droppable)
    if count < wanted:
        verdict = replace(verdict, sentence=f"{verdict.sentence}; it follows {count} of {wanted} readings")
    return verdict, count


def measure(model: SpeechModel, codec: Codec, frames: int = 9) -> FrameCost:
    """Median milliseconds of the parts of a frame, in a conversation of its own."""
    layout = model.layout
    temporal = Temporal(
        model.model,
        no_conditions(model.model),
        shortest=min(_PROBE_CONTEXT, model.manifest.context or _PROBE_CONTEXT),
    )
    rows = model.rows.temporal(layout.initial())
    codec_ms = 0.0
    if layout.outside or not layout.dep_q:
        encoder, silence = codec.encoder(), np.zeros(codec.shape.frame_samples, np.float32)
        codec_ms += median_ms(lambda: encoder.step(silence), frames)
    codebook_ms = 0.0
    hidden = temporal.step(rows)[0]
    if layout.dep_q and model.depformer is not None:
        depformer = model.depformer
        decoder, codes = codec.decoder(), np.zeros(codec.shape.n_q, np.int32)
        codec_ms += median_ms(lambda: decoder.step(codes), frames)
        all_ms = median_ms(lambda: depformer.run(hidden, ZERO, model.rows, lambda q, logits: 0), frames)
        codebook_ms = all_ms / layout.dep_q
    return FrameCost(median_ms(lambda: temporal.step(rows), frames), codebook_ms, codec_ms)


def sampling(pair: SpeechPair, speech: Speech) -> SpeechSampling:
    """The model's own sampling, with what the configuration sets instead."""
    own = pair.model.sampling
    text = _set(own.text, speech.text_temperature, speech.text_top_k)
    if speech.text_repetition_penalty != 1.0:
        text = replace(text, repetition_penalty=speech.text_repetition_penalty)
    return SpeechSampling(text, _set(own.audio, speech.audio_temperature, speech.audio_top_k))


def _set(own: Sampling, temperature: float, top_k: int) -> Sampling:
    if temperature >= 0:
        own = replace(own, temperature=temperature)
    return replace(own, top_k=top_k) if top_k >= 0 else own
