"""What the brain makes of a transcript: the shipped text model, its grammar and its doubts, as on the device."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from builders.speech.hearing.trials import Trial
from builders.speech.pool import wanted_call
from builders.text.evaluate import rehearsal
from noctule.assistant.actions.commands import UserCommands
from noctule.assistant.brain import Brain
from noctule.assistant.phrases.request import read
from noctule.core.events import Bus
from noctule.lm.text.model import TextLM
from noctule.voice.transcript import Wording


@dataclass(frozen=True)
class Outcome:
    """exact: the wanted action with the wanted arguments; acted: any action at all."""

    trial: Trial
    exact: bool
    acted: bool


class Answerer:
    """The brain with actions that do nothing."""

    def __init__(self, package: Path) -> None:
        self._lm = TextLM.load(package)
        self._brain = Brain(self._lm, rehearsal(), UserCommands(dict), Bus())
        self._known: dict[str, tuple[str, dict[str, str]]] = {}
        self._taken: dict[tuple[Wording, ...], tuple[str, float]] = {}

    def call(self, text: str) -> tuple[str, dict[str, str]]:
        """The action and its arguments as plain words; ("none", {}) for a refusal or nothing heard."""
        if not text.strip():
            return "none", {}
        if text not in self._known:
            turn = self._brain.ask(text)
            if turn.call is None:
                self._known[text] = ("none", {})
            else:
                said = {name: read(value.text).plain for name, value in turn.call.arguments.items()}
                self._known[text] = (turn.call.action, said)
        return self._known[text]

    def taken(self, trial: Trial) -> tuple[str, float]:
        """The wording that the brain takes, and how sure it is, as in a turn on the device."""
        wordings = trial.wordings
        if len(wordings) == 1 or not wordings[0].text:
            return wordings[0].text, wordings[0].confidence or 0.0
        if wordings not in self._taken:
            taken = self._brain.weigh([(w.text, w.share) for w in wordings])
            self._taken[wordings] = wordings[taken.index].text, taken.sure or 0.0
        return self._taken[wordings]

    def outcome(self, trial: Trial, confidence: float) -> Outcome:
        """What happens to a trial when commands less sure than `confidence` are asked for again."""
        action, arguments = wanted_call(trial.clip.kind)
        wanted = action, {name: read(value).plain for name, value in arguments.items()}
        text, sure = self.taken(trial)
        got = self.call(text) if sure >= confidence else ("none", {})
        return Outcome(trial, got == wanted, got[0] != "none")

    def close(self) -> None:
        self._lm.close()


def intent_accuracy(outcomes: Sequence[Outcome]) -> float:
    """Of the requests for actions, those done exactly."""
    asked = [o for o in outcomes if o.trial.clip.kind.startswith("action")]
    return sum(o.exact for o in asked) / max(1, len(asked))


def quiet_share(outcomes: Sequence[Outcome]) -> float:
    """Of everything else that was said, the share after which nothing was done."""
    other = [o for o in outcomes if not o.trial.clip.kind.startswith("action")]
    return sum(not o.acted for o in other) / max(1, len(other))
