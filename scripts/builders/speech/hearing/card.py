"""The model card of the hearing half, written from measurements."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from builders.speech.hearing.evaluation import ENGINES, SEEN, UNSEEN, Cell, Timing, average
from builders.speech.hearing.trials import CONDITIONS
from builders.speech.pool import PLAIN
from noctule.inference.manifest import Manifest


@dataclass(frozen=True)
class Findings:
    """What was measured. data: hours and clips by engine that were trained on; codebook1: word error of the clean
    validation clips heard through the first codebook alone, and through all (torch model); perfect: right action and
    nothing done when the brain reads the true words; plain: the plainest requests, clean;
    note: what was particular about this run."""

    cells: Sequence[Cell]
    timing: Timing
    stt: Manifest
    codec: Manifest
    data: dict[str, tuple[float, int]]
    codebook1: tuple[float, float] | None
    perfect: tuple[float, float]
    plain: Sequence[Cell]
    note: str = ""


def _percent(value: float) -> str:
    return f"{100 * value:.1f} %"


def _table(cells: Sequence[Cell], what: Callable[[Cell], float]) -> str:
    lines = ["| | " + " | ".join(CONDITIONS) + " |", "|---|" + "---|" * len(CONDITIONS)]
    for engine, title in ENGINES.items():
        row = {c.condition: c for c in cells if c.engine == engine}
        if row:
            lines.append(
                f"| {title} | " + " | ".join(_percent(what(row[c])) if c in row else "" for c in CONDITIONS) + " |"
            )
    return "\n".join(lines)


def _plain(cells: Sequence[Cell]) -> str:
    lines = ["| | word error | right action |", "|---|---|---|"]
    for cell in cells:
        title = ENGINES[cell.engine.removesuffix(PLAIN)]
        lines.append(f"| {title} | {_percent(cell.word_error)} | {_percent(cell.intent)} |")
    return "\n".join(lines)


@dataclass(frozen=True)
class Target:
    """A number of the issue: what was asked, what came out."""

    text: str
    asked: float
    found: float
    most: bool = False

    @property
    def met(self) -> bool:
        return self.found <= self.asked if self.most else self.found >= self.asked


def targets(cells: Sequence[Cell]) -> list[Target]:
    """The numbers that were asked for."""

    def mean(engines: Sequence[str], condition: str, what: Callable[[Cell], float]) -> float:
        return average(cells, engines, condition, what)

    everyone = tuple(ENGINES)
    return [
        Target("word error, engines of the training, clean", 0.05, mean(SEEN, "clean", lambda c: c.word_error), True),
        Target("word error, engines never heard, clean", 0.15, mean(UNSEEN, "clean", lambda c: c.word_error), True),
        Target("right action, engines of the training, clean", 0.95, mean(SEEN, "clean", lambda c: c.intent)),
        Target("right action, engines never heard, clean", 0.85, mean(UNSEEN, "clean", lambda c: c.intent)),
        Target("right action, engines of the training, 10 dB", 0.80, mean(SEEN, "10 dB", lambda c: c.intent)),
        Target("no action on other speech, all engines, clean", 0.97, mean(everyone, "clean", lambda c: c.quiet)),
    ]


def card(found: Findings) -> str:
    """The card, in Markdown."""
    cells, stt = found.cells, found.stt.raw
    settings = stt["streams"]["stt"]
    size = {m.name: sum(f.bytes for f in m.files.values()) / 1e6 for m in (found.stt, found.codec)}
    rows = targets(cells)
    data = "\n".join(f"| {engine} | {clips} | {hours:.1f} |" for engine, (hours, clips) in found.data.items())
    table = "\n".join(
        f"| {t.text} | {'≤' if t.most else '≥'} {100 * t.asked:.0f} % | {_percent(t.found)} |"
        f" {'yes' if t.met else '**no**'} |"
        for t in rows
    )
    first = (
        f"Through the first codebook alone the clean validation clips come out with {_percent(found.codebook1[0])}"
        f" word error, through all eight with {_percent(found.codebook1[1])} (before quantisation to int8)."
        if found.codebook1
        else ""
    )
    t = found.timing
    return f"""# noctule-stt and noctule-speech-codec: what Noctule hears with

A speech-text model ({size[found.stt.name]:.1f} MB) and the codec it listens through ({size[found.codec.name]:.1f} MB,
both directions), trained by `{stt["build"]}` on synthetic speech. **No human voice was trained on and
none was measured**: the numbers below are about speech synthesisers. Expect more errors with people.

The layout is that of Kyutai's speech-text models: 80 ms frames, eight codebooks of 1024, a text stream that follows
the words by {settings["audio_delay_seconds"]:g} s. The same classes run it that run published checkpoints. The first
codebook is trained to tell the phones by itself. {first}

## Asked and reached

| | asked | reached | met |
|---|---|---|---|
{table}

"Right action" is end to end: sound, transcript, `noctule-tiny` with its grammar and its doubts, and exactly the
wanted arguments. Sentences are those of held-out templates. {settings["readings"]} readings of the sound are
followed; the brain elects the one whose meaning is likeliest, and a command less sure than
{settings["confidence"]:g} is asked for again and counts as wrong; the threshold was chosen on validation clips. Word
error is that of the likeliest reading, before the election.
Given the true words, the brain does the right thing for {_percent(found.perfect[0])} of the same requests and nothing
for {_percent(found.perfect[1])} of the rest: the best that hearing could reach. "Other speech" are requests for
something else and strings of words.

## Word error

{_table(cells, lambda c: c.word_error)}

## Sentence error

{_table(cells, lambda c: c.sentence_error)}

## Right action, end to end

{_table(cells, lambda c: c.intent)}

## The plainest requests

"What time is it", "take a photo", "set a timer for …": {len(found.plain[0].trials)} clips of each engine, clean.
Their templates were trained on (they are never held out), some of their numbers were not.

{_plain(found.plain)}

## Nothing done on other speech

{_table(cells, lambda c: c.quiet)}

Noise is half coloured noise, half four people talking backwards; "room" an echo of 0.1 to 0.7 s without noise.
{len(cells[0].trials)} clips for each engine, the same under every condition.

## Times

Clean clips of all engines. End of speech to the model's end of turn: median {t.turn[0]:.2f} s, nine of ten within
{t.turn[1]:.2f} s; {_percent(t.early)} of the turns ended before the speech did, {_percent(t.never)} never within
1.4 s (the endpointer ends those). End of speech to the last word: {t.last[0]:.2f} s, {t.last[1]:.2f} s. A frame
of 80 ms (codec and all readings, one thread, on the busy machine that wrote this card) takes {t.frame[0]:.1f} ms in
the median and {t.frame[1]:.1f} ms at worst of a hundred.

## Trained on

| engine | clips | hours |
|---|---|---|
{data}

Sentences: requests from the templates of `scripts/tiny` (held-out templates were never spoken), other requests, and a
fifth strings of words; "mixed" clips say pieces of such sentences in any order, in voices that nobody has (each sound
bent, stretched and pitched by a vocoder). Voices kept for the tests alone: two accents and every ninth variant of
espeak-ng, flite's kal, festival's ked and slt_hts (flite's slt, trained on, is the same speaker as slt_hts through
another synthesiser). Every clip is heard through rooms, equalisers, noise from 2 to 35 dB, talk played backwards,
levels and warped vocal tracts.

{found.note}## Limits

- English. Words outside the vocabulary of the requests are spelled as well as the sub-words allow, mostly wrongly.
- A name made up on the spot ("the zorvak timer") is not learned by ear.
- Little speech variety: six natural voices and one formant synthesiser. Recordings of people with transcripts
  (`scripts/build_speech_model.py --recordings`), more voices and a longer training are what would help.
"""
