"""What would be done about a recording: the device's own reader, race, decision, brain and doubts; actions do
nothing."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from builders.text.evaluate import rehearsal
from noctule.assistant.actions.commands import UserCommands
from noctule.assistant.brain import Brain
from noctule.assistant.grammar.grammar import Grammar
from noctule.assistant.phrases.request import read
from noctule.core.events import Bus
from noctule.lm.speech.moonshine.model import MoonshineModel
from noctule.lm.speech.words import confidence_of
from noctule.lm.text.model import TextLM
from noctule.voice.stt.guided import GuidedReader, Thresholds
from noctule.voice.stt.moonshine import Recognition
from tools.ears.conditions import RATE, Audio


@dataclass(frozen=True)
class Outcome:
    """action: what was done, "none" for nothing, "command NAME" for one of the owner's; arguments: its values; asked:
    the question that was asked back, "" for none; seconds: of processor time."""

    text: str
    action: str
    arguments: dict[str, str]
    asked: str
    decision: str
    heard: Recognition
    seconds: float


class Ears:
    """recogniser, brain: packages; grammar: what can be asked."""

    def __init__(
        self,
        recogniser: Path,
        brain: Path,
        grammar: Grammar,
        limits: Thresholds | None = None,
        cache: Path | None = None,
    ) -> None:
        self._model = MoonshineModel.load(recogniser, cache_dir=cache)
        self._lm = TextLM.load(brain)
        self._grammar = grammar
        self._brain = Brain(self._lm, rehearsal(), UserCommands(dict), Bus(), grammar=lambda: grammar)
        self._reader = GuidedReader(lambda: grammar, limits)
        self._least = self._model.shape.confidence

    def __call__(self, audio: Audio) -> Outcome:
        """What comes of a recording. Longer ones are cut at what fits one utterance."""
        began = time.thread_time()
        heard = self._reader(self._model, audio[: int(self._model.longest * RATE)], whole=True)
        spent = time.thread_time() - began
        text = " ".join(word.text for word in heard.words)
        decision = str(heard.weighed.get("decision", "silence"))
        sure = confidence_of(heard.words)
        if heard.asked or not text or (sure is not None and sure < self._least):
            asked = heard.asked or ("again" if text else "")
            return Outcome(text, "none", {}, asked, decision, heard, spent)
        action, arguments = self.means(text)
        return Outcome(text, action, arguments, "", decision, heard, spent)

    def means(self, text: str) -> tuple[str, dict[str, str]]:
        """What the brain would do about a text."""
        match = self._grammar.match(read(text))
        if match is not None and match.command:
            return f"command {match.command}", {name: value.text for name, value in match.arguments.items()}
        turn = self._brain.ask(text)
        if turn.call is None:
            return "none", {}
        return turn.call.action, {name: read(value.text).plain for name, value in turn.call.arguments.items()}


@dataclass
class Tally:
    """Counts of one condition."""

    clips: int = 0
    right: int = 0
    whole: int = 0
    wrong: int = 0
    asked: int = 0
    asked_right: int = 0
    seconds: float = 0.0

    def add(self, found: Outcome, action: str, meant: str = "") -> None:
        """action: what was asked for, "none" for nothing; meant: what the sentence asked back means."""
        self.clips += 1
        self.right += found.action == action
        self.wrong += found.action not in ("none", action)
        self.asked += bool(found.asked)
        self.asked_right += bool(found.asked) and meant == action
        self.seconds += found.seconds

    def line(self, name: str) -> str:
        def share(count: int) -> str:
            return f"{100 * count / max(1, self.clips):5.1f} %"

        return (
            f"{name:36} {self.clips:5} clips  right {share(self.right)}  wrong {share(self.wrong)}"
            f"  asked back {share(self.asked)} (the right thing {share(self.asked_right)})"
            f"  {1000 * self.seconds / max(1, self.clips):4.0f} ms"
        )
