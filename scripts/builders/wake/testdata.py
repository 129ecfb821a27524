"""Makes test audio from a list of voices: phrase trials, streams of hours, near-miss trials; all as feature files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from builders.common.pool import Chunk, run_chunks
from builders.wake.data_stages import Phrase
from builders.wake.speech import SpeechSpec, say_chunk
from builders.wake.trials import CONDITIONS, StreamSpec, TrialSpec, make_stream, make_trials

#: seconds of one stream file, and clips in one bank (festival starts anew for each).
_STREAM_SECONDS, _BANK = 900.0, 250
#: a clip of text and the pause after it last about this long (s); clips are used at most twice.
_CLIP_SECONDS = 4.0


@dataclass(frozen=True)
class TestAudio:
    """Files of `trials.make_trials` (phrase and near-miss) and `trials.make_stream`."""

    __test__ = False  # not a test class, whatever pytest thinks of its name

    trials: tuple[Path, ...]
    streams: tuple[Path, ...]
    near: tuple[Path, ...]


@dataclass(frozen=True)
class TestPlan:
    """What to make, and under which names it is kept."""

    __test__ = False

    folder: Path
    #: where what does not depend on the phrase is kept.
    common: Path
    prefix: str
    voices: tuple[str, ...]
    #: part of the corpus that streams read.
    part: str
    hours: float
    clips_per_voice: int
    seed: int
    varied: bool = False
    #: how often a text clip may appear in the streams.
    reuse: int = 2


def say_phrases(plan: TestPlan, phrase: Phrase, jobs: int) -> list[Path]:
    """The phrase by every voice, a bank each."""
    chunks = [_phrase_chunk(plan, phrase, index) for index in range(len(plan.voices))]
    run_chunks(f"{plan.prefix} say", chunks, jobs)
    return [chunk.out for chunk in chunks]


def _phrase_chunk(plan: TestPlan, phrase: Phrase, index: int) -> Chunk:
    spec = SpeechSpec("P", (plan.voices[index],), plan.clips_per_voice, plan.seed * 1_000_003 + 10 * index + 1,
                      phrase.spellings, phrase.words, (), plan.part, phrase.spellings[:1])  # fmt: skip
    return Chunk(plan.folder / f"{plan.prefix}-{index:02}-P.npz", say_chunk, spec)


def make_test_audio(plan: TestPlan, phrase: Phrase, near_texts: Sequence[str], jobs: int) -> TestAudio:
    """Generate what is not there yet."""
    folder, prefix = plan.folder, plan.prefix
    texts = phrase.spellings

    def spec(kind: str, voice: str, count: int, seed: int, said: Sequence[str] = ()) -> SpeechSpec:
        return SpeechSpec(kind, (voice,), count, plan.seed * 1_000_003 + seed, texts, phrase.words, (), plan.part,
                          tuple(said))  # fmt: skip

    said: list[Chunk] = []
    phrases, near, speech = [], [], []
    clips = max(20, round(plan.hours * 3600 / _CLIP_SECONDS / plan.reuse / len(plan.voices)))
    for index, voice in enumerate(plan.voices):
        tag = f"{prefix}-{index:02}"
        phrases.append(_phrase_chunk(plan, phrase, index))
        if near_texts:
            near.append(Chunk(folder / f"{tag}-M.npz", say_chunk,
                              spec("M", voice, len(near_texts), 10 * index + 2, near_texts)))  # fmt: skip
        for number in range((clips + _BANK - 1) // _BANK):
            count = min(_BANK, clips - number * _BANK)
            speech.append(Chunk(plan.common / f"{tag}-N{number:02}.npz", say_chunk,
                                spec("N", voice, count, 10_000 + 100 * index + number)))  # fmt: skip
    said = [*phrases, *near, *speech]
    run_chunks(f"{prefix} say", said, jobs)
    # Babble comes from one bank of every voice, so that it is many people.
    talk = tuple(str(chunk.out) for chunk in speech[:: max(1, len(speech) // 6)][:6])
    trials = [
        Chunk(folder / f"{prefix}-trials-{i:02}.npz", make_trials,
              TrialSpec((str(chunk.out),), talk, plan.seed + 31 * i, tuple(CONDITIONS), plan.varied))
        for i, chunk in enumerate(phrases)
    ]  # fmt: skip
    misses = [
        Chunk(folder / f"{prefix}-near-{i:02}.npz", make_trials,
              TrialSpec((str(chunk.out),), talk, plan.seed + 37 * i, ("clean",), plan.varied))
        for i, chunk in enumerate(near)
    ]  # fmt: skip
    order = tuple(str(chunk.out) for chunk in speech)
    count = max(1, round(plan.hours * 3600 / _STREAM_SECONDS))
    seconds = plan.hours * 3600 / count
    streams = [
        Chunk(plan.common / f"{prefix}-stream-{i:02}.npz", make_stream,
              StreamSpec((order[i % len(order)], order[(i + len(order) // 2 + 1) % len(order)]), talk,
                         plan.seed + 41 * i, seconds, 0, plan.varied))
        for i in range(count)
    ]  # fmt: skip
    run_chunks(f"{prefix} mix", [*trials, *misses, *streams], jobs)
    return TestAudio(*(tuple(chunk.out for chunk in group) for group in (trials, streams, misses)))
