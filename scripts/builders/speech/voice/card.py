"""Measures the voice as the device speaks it, and writes models/noctule-tts/MODEL_CARD.md."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from builders.speech.clips import Audio, read_shard
from builders.speech.shape import FRAME
from builders.speech.voice.judge import Verdict, espeak, flite, judged_sentences, listen, words_of
from builders.speech.voice.stages import VoiceBuild
from builders.speech.voice.tts_export import NAME
from noctule.core.errors import InputError
from noctule.inference.manifest import Manifest, load_manifest
from noctule.lm.speech.codec import Codec
from noctule.lm.speech.model import SpeechModel
from noctule.lm.speech.tts import Speaker

CODEC = "noctule-speech-codec"
#: of espeak-ng's words, what should be recovered
ASKED = 0.90


@dataclass(frozen=True)
class Pace:
    """Milliseconds of a frame's graphs by part, of a whole step with sampling (median, and one in a hundred), of the
    first sound; length: of the voice beside the recordings' voice; ended: texts whose end the model asked for."""

    temporal: float
    depformer: float
    decode: float
    step: float
    worst: float
    first_sound: float
    length: float
    ended: int
    texts: int


class Voice:
    """The two packages, speaking through the daemon's own classes."""

    def __init__(self, models: Path) -> None:
        self.model = SpeechModel.load(models / NAME)
        self.codec = Codec.load(models / CODEC)
        self.speaker = Speaker(self.model, self.codec)

    def say(self, text: str) -> Audio:
        """A whole text."""
        return np.concatenate([np.zeros(1, np.float32), *self.speaker.say(text)])

    def through_codec(self, sound: Audio) -> Audio:
        """What is left of a sound after the codec."""
        encoder, decoder = self.codec.encoder(), self.codec.decoder()
        frames = sound[: len(sound) // FRAME * FRAME].reshape(-1, FRAME)
        return np.concatenate([np.clip(decoder.step(encoder.step(frame)), -1, 1) for frame in frames])

    def close(self) -> None:
        self.model.close()
        self.codec.close()


def pace(voice: Voice, sentences: Sequence[str], other: Callable[[str], Audio]) -> Pace:
    """Times of this machine, one thread; and whether the texts end as they should."""
    frames: list[float] = []
    firsts: list[float] = []
    made = recorded = 0
    ended = 0
    for text in sentences:
        begin = last = time.perf_counter()
        utterance = voice.speaker.begin(voice.speaker.entries([text]))
        sound = 0
        while not utterance.done:
            pcm = utterance.step()
            now = time.perf_counter()
            frames.append(now - last)
            if pcm is not None:
                sound += len(pcm)
                if sound == len(pcm):
                    firsts.append(now - begin)
            last = now
        made += sound
        recorded += len(other(text))
        end, begun = utterance.feed.end_step, utterance.feed.transcript
        ended += end is not None and end - begun[-1][1] < voice.speaker.settings.rules.max_padding + 1
    from noctule.lm.speech.pair import measure

    cost = measure(voice.model, voice.codec, 101)
    return Pace(
        cost.temporal, cost.codebook * voice.model.layout.dep_q, cost.codec,
        1000 * float(np.median(frames)),
        1000 * float(np.percentile(frames, 99)), 1000 * float(np.median(firsts)), made / max(1, recorded),
        ended, len(sentences),
    )  # fmt: skip


@dataclass(frozen=True)
class VoiceFindings:
    """By speaker: what the judge heard; note: what was particular about this run, as points of a list."""

    heard: dict[str, Verdict]
    pace: Pace
    tts: Manifest
    codec: Manifest
    clips: int
    hours: float
    sentences: int
    note: str = ""


_TITLES = {"espeak": "espeak-ng, directly", "flite": "flite slt, the voice learned from",
           "codec": "flite slt through the codec", "voice": "noctule-tts"}  # fmt: skip


def evaluate_voice(build: VoiceBuild, models: Path, count: int, say: Callable[[str], None]) -> VoiceFindings:
    """Measure both packages and write the card."""
    if not (models / NAME / "manifest.json").exists():
        raise InputError(f"{models / NAME} is no package", "build it first: scripts/build_voice.py")
    trained = [(clip.text, clip.seconds) for path in build.recordings for clip in read_shard(path)]
    sentences, ear = judged_sentences(count, {text for text, _ in trained})
    say(f"{len(sentences)} sentences, {sum(len(words_of(t)) for t in sentences)} words of {len(ear.words)}")
    voice, slt = Voice(models), flite()
    note = build.work / "voice" / "note.md"
    try:
        speakers = {
            "espeak": espeak, "flite": slt, "codec": lambda text: voice.through_codec(slt(text)), "voice": voice.say,
        }  # fmt: skip
        heard = {}
        for name, speaker in speakers.items():
            heard[name] = listen(ear, sentences, speaker)
            say(f"{_TITLES[name]}: {heard[name].share:.1%} of the words recovered")
        found = VoiceFindings(
            heard, pace(voice, sentences[:40], slt), load_manifest(models / NAME, "speech-lm"),
            load_manifest(models / CODEC, "codec"), len(trained), sum(s for _, s in trained) / 3600, len(sentences),
            note.read_text(encoding="utf-8") if note.exists() else "",
        )  # fmt: skip
    finally:
        voice.close()
    (models / NAME / "MODEL_CARD.md").write_text(voice_card(found), encoding="utf-8")
    relative = heard["voice"].share / max(1e-9, heard["espeak"].share)
    say(f"beside espeak-ng {relative:.1%}, asked {ASKED:.0%}{'' if relative >= ASKED else ' - not met'}")
    return found


def voice_card(found: VoiceFindings) -> str:
    """The card, in Markdown."""
    heard, p = found.heard, found.pace
    sampling = found.tts.raw["streams"]["sampling"]["audio"]
    sizes = {m.name: sum(f.bytes for f in m.files.values()) / 1e6 for m in (found.tts, found.codec)}
    relative, own = (heard["voice"].share / max(1e-9, heard[name].share) for name in ("espeak", "flite"))
    met = "" if relative >= ASKED else ", **not met**"
    rows = "\n".join(
        f"| {_TITLES[name]} | {100 * v.share:.1f} % | {100 * v.inserted:.1f} % | {v.seconds:.0f} s |"
        for name, v in heard.items()
    )
    return f"""# noctule-tts: what Noctule speaks with

A text-to-speech model ({sizes[found.tts.name]:.1f} MB) for the decoder of {found.codec.name}
({sizes[found.codec.name]:.1f} MB with the encoder), trained by `{found.tts.raw["build"]}` on
{found.clips} recordings ({found.hours:.1f} hours) of one synthetic voice, flite's slt. No human voice was recorded
for it, and **nobody has listened to it in a test**: the numbers below are a recogniser's.

The layout is that of Kyutai's text-to-speech models: two text streams, a temporal transformer, a depformer over
eight codebooks, 80 ms frames, the sound two frames behind the text. The same classes run it that run published
checkpoints, and moshi itself loads its weights. It reads words of a to z; digits, times, units and signs are
written out for it (`noctule.lm.speech.text_normalisation`). A text ends at the latest nine frames after its last
word.

## Understood

pocketsphinx, given only the list of words ({found.sentences} answers that were never trained on, every word as
likely as any other), hears:

| speaker | words recovered | words too many | sound |
|---|---|---|---|
{rows}

Relative to espeak-ng directly: **{100 * relative:.1f} %** (asked: {100 * ASKED:.0f} %{met}). Relative to the voice it
learned from: {100 * own:.1f} %. espeak-ng is hard for this recogniser, so the second number says more about the
model, and the words too many say that it is not clear speech yet. What the codec loses is seen in the third row,
what the model loses between the third and the fourth. Longer training of both is what would help: the losses were
still falling when the time was over.

## Ends and lengths

{p.ended} of {p.texts} texts were ended by the model itself; the others by the bound. Its speech is
{p.length:.2f} times as long as the recordings' voice says the same.

## Times

On one thread of the machine that wrote this card, which was busy: a whole step (temporal model, eight codebooks
with sampling, decode) takes **{p.step:.1f} ms** of each 80 ms in the median, and one in a hundred more than
{p.worst:.1f} ms. The graphs alone: temporal {p.temporal:.2f} ms, depformer {p.depformer:.2f} ms, decode
{p.decode:.2f} ms. From the first word to the first sound: {p.first_sound:.0f} ms.

Sampling: temperature {sampling["temperature"]:g}, the {sampling["top_k"]:g} likeliest codes.

## Limits

- English, one voice. Words that were never trained on are read by their letters' usual sound, often wrongly.
- The voice is that of a synthesiser, and keeps its accent of a machine.
- The codec's decoder was trained on this voice alone: other voices come out of it sounding like this one, or worse.
{found.note}"""
