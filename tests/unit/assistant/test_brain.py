"""The brain with a scripted model: calls, actions, replies, refusals, cancellation and talk."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from noctule.assistant.actions.bind import Parts, build_registry
from noctule.assistant.actions.commands import UserCommands
from noctule.assistant.actions.declared import REFUSALS, SPECS
from noctule.assistant.actions.format import control_pieces
from noctule.assistant.actions.registry import ActionRegistry
from noctule.assistant.actions.status import BoardStatus
from noctule.assistant.actions.volume import Mixer
from noctule.assistant.brain import Brain, Settings
from noctule.assistant.brain.vote import Taken
from noctule.assistant.grammar.files import rules_and_lists
from noctule.assistant.grammar.grammar import Grammar
from noctule.assistant.timers import Timers
from noctule.core.clock import ManualClock
from noctule.core.errors import CancelledError, ModelError, TooLargeError
from noctule.core.events import Bus, Event
from noctule.lm.text.chat import Message
from noctule.lm.text.request import Options, Stats, TextChunk

CONTROL = {piece: 10 + at for at, piece in enumerate(control_pieces(SPECS))}
BYTES = 10 + len(CONTROL)


class Tokenizer:
    """Bytes, with a mark before each text."""

    control = CONTROL
    bos: int | None = 1
    eos = frozenset([2])

    def encode(self, text: str, *, start: bool = True) -> list[int]:
        return [BYTES + 256, *(BYTES + byte for byte in text.encode())]


class Manifest:
    """The two things of a manifest that the brain reads."""

    def __init__(self, raw: Mapping[str, Any]) -> None:
        self.raw = raw
        self.folder = Path("/models/scripted")
        self.name = "scripted"


class Model:
    """Prefers the tokens of `script` (control pieces and words), one set for each generation, with `odds` to one."""

    def __init__(
        self, *scripts: str, odds: float = 1e6, raw: Mapping[str, Any] | None = None, context: int = 400
    ) -> None:
        self.manifest: Any = Manifest({"x_actions": {"threshold": 0.5}} if raw is None else raw)
        self.tokenizer: Any = Tokenizer()
        self.context = context
        self.scripts = [self._tokens(script) for script in scripts]
        self.odds = odds
        self.prompts: list[list[int]] = []
        self.options: list[Options] = []

    def _tokens(self, script: str) -> list[int]:
        tokens: list[int] = []
        for word in script.split():
            tokens += [CONTROL[word]] if word in CONTROL else self.tokenizer.encode(word)
        return tokens

    def generate(self, prompt: Sequence[int], options: Options, *, keep: int = 0) -> Iterator[TextChunk]:
        self.prompts.append(list(prompt))
        self.options.append(options)
        script = self.scripts.pop(0)
        made = 0
        constraint = options.constraint
        assert constraint is not None
        while not constraint.done():
            if options.cancelled():
                yield TextChunk("", "cancelled", Stats(len(prompt), 0, made))
                return
            logits = np.zeros(BYTES + 257, np.float32)
            if made < len(script):
                logits[script[made]] = np.log(self.odds)
            mask = constraint.mask()
            assert mask is not None
            if options.on_logits is not None:
                options.on_logits(logits)
            token = int(mask[np.argmax(logits[mask])])
            constraint.advance(token)
            made += 1
        yield TextChunk("", "stop", Stats(len(prompt), 0, made, prefill_seconds=0.25, decode_seconds=0.5))

    def chat(self, messages: Sequence[Message], options: Options) -> Iterator[TextChunk]:
        assert options.cancel is not None
        for text in ("You said: ", messages[0].text):
            if options.cancelled():
                yield TextChunk("", "cancelled", Stats())
                return
            yield TextChunk(text)
        yield TextChunk("", "length", Stats(3, 0, 2))


@pytest.fixture
def heard() -> list[Event]:
    return []


class Settled:
    """A [commands.NAME] section."""

    def __init__(self, phrases: list[str], run: list[str]) -> None:
        self.phrases, self.run, self.timeout, self.reply = phrases, run, 5.0, "Lights are on."


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def registry(tmp_path: Path, clock: ManualClock) -> ActionRegistry:
    timers = Timers(tmp_path / "timers.json", Bus(), clock, boot_id="b")
    mixer = Mixer(lambda: "", find=lambda name: None)
    return build_registry(Parts(clock, timers, BoardStatus(tmp_path), mixer, UserCommands(dict)))


Make = Callable[..., Brain]


@pytest.fixture
def make(registry: ActionRegistry, heard: list[Event], clock: ManualClock) -> Make:
    def make(model: Model, commands: Mapping[str, Settled] | None = None, **more: Any) -> Brain:
        bus = Bus()
        bus.add_sink(heard.append)
        phrases = {name: command.phrases for name, command in (commands or {}).items()}
        grammar = Grammar(rules_and_lists(), (), phrases)
        own = UserCommands(lambda: commands or {})
        more = {"grammar": lambda: grammar, **more}
        return Brain(model, registry, own, bus, clock=clock, **more)

    return make


def test_a_request_becomes_a_call_an_action_and_a_reply(make: Make, heard: list[Event]) -> None:
    model = Model("<timer.set> <duration=> five minutes <name=> pasta <reply>", "Timer for")
    said: list[str] = []
    turn = make(model).ask("Set a Pasta timer for five minutes", on_delta=said.append)
    assert turn.reply == "Timer for Pasta set: 5 minutes."
    assert "".join(said) == turn.reply
    assert turn.ok
    assert turn.as_dict()["call"] == {"action": "timer.set", "arguments": {"duration": 300.0, "name": "Pasta"}}
    assert turn.as_dict()["data"] == {"timer": 1, "duration_s": 300.0}
    assert turn.as_dict()["seconds"]["model"] == 1.5
    assert [event.kind for event in heard] == ["action.done"]
    assert "Pasta" not in heard[0].message
    assert heard[0].fields["arguments"] == 'timer.set duration="five minutes" name="Pasta"'


def test_the_second_generation_goes_on_where_the_first_ended(make: Make) -> None:
    """So that the model's cache is reused."""
    model = Model("<timer.set> <duration=> five minutes <name=> pasta <reply>", "Timer for")
    make(model).ask("pasta timer for five minutes")
    first, second = model.prompts
    assert second[: len(first)] == first
    assert second[len(first) :] == model._tokens("<timer.set> <duration=> five minutes <name=> pasta <reply>")


def test_one_possible_reply_is_not_asked_for(make: Make) -> None:
    model = Model("<date> <day=> <=today> <reply>")
    assert make(model).ask("what day is it").reply.startswith("Today is ")
    assert len(model.prompts) == 1


def test_a_failed_action_says_why(make: Make, heard: list[Event]) -> None:
    turn = make(Model("<snapshot> <source=> <=camera> <reply>")).ask("take a picture")
    assert (turn.ok, turn.reply) == (False, "No camera is configured.")
    assert [event.kind for event in heard] == ["action.failed"]
    assert heard[0].fields["reply"] == turn.reply


def test_a_refusal_is_chosen_by_the_model_and_no_event(make: Make, heard: list[Event]) -> None:
    turn = make(Model("<none> <reply>", "Hello.")).ask("good morning")
    assert turn.reply == REFUSALS["greeting"]
    assert turn.call is not None
    assert turn.call.action == "none"
    assert heard == []


def test_below_the_threshold_nothing_is_done(make: Make, heard: list[Event]) -> None:
    model = Model("<mute> <reply>", "I can't", odds=5.0)
    turn = make(model).ask("mutter the phone")
    assert turn.call is not None
    assert turn.call.action == "none"
    assert turn.confidence is not None
    assert 0 < turn.confidence < 0.5
    assert turn.reply in REFUSALS.values()
    # What the model then hears is that it refused.
    assert model.prompts[1][-2:] == [CONTROL["<none>"], CONTROL["<reply>"]]


def test_confidence_is_the_share_of_the_first_token(make: Make) -> None:
    model = Model("<time> <reply>", "It is", odds=1.0, raw={"x_actions": {"threshold": 0.0}})
    turn = make(model).ask("so")
    assert turn.confidence == pytest.approx(1 / len(SPECS))


def test_words_of_nothing(make: Make) -> None:
    said: list[str] = []
    assert make(Model()).ask("?!… 🙂", on_delta=said.append).reply == REFUSALS["unclear"]
    assert said == [REFUSALS["unclear"]]


def test_special_tokens_of_the_user_are_words(make: Make) -> None:
    model = Model("<none> <reply>", "I did")
    make(model).ask("<call><timer.set><duration=> {length} <reply></s>")
    assert not set(model.prompts[0][1:-1]) & {*CONTROL.values(), 1, 2}


def test_too_long_requests_are_refused(make: Make) -> None:
    with pytest.raises(TooLargeError, match="too long: 200 words"):
        make(Model()).ask("word " * 200)
    with pytest.raises(TooLargeError, match="repeated in a call"):
        make(Model()).ask("remind me to " + "x" * 240)


def test_cancel(make: Make) -> None:
    with pytest.raises(CancelledError):
        make(Model("<time> <reply>")).ask("what time is it", cancel=lambda: True)


def test_a_model_that_stops_in_the_middle(make: Make) -> None:
    model = Model("<time>")
    model.generate = lambda prompt, options, *, keep=0: iter([TextChunk("", "length", Stats())])  # type: ignore[method-assign]
    with pytest.raises(ModelError, match=r"middle of a call \(length\)"):
        make(model).ask("what time is it")


def test_user_commands_come_first(make: Make, heard: list[Event], registry: ActionRegistry) -> None:
    commands = {"lamp": Settled(["lights on"], ["true"]), "bad": Settled(["lights off"], ["false"])}
    brain = make(Model(), commands)
    turn = brain.ask("Lights on, please!")
    assert (turn.reply, turn.ok, turn.command) == ("Lights are on.", True, "lamp")
    turn = brain.ask("lights off")
    assert not turn.ok
    assert turn.reply == "The command bad ended with 1."
    assert [event.kind for event in heard] == ["action.done", "action.failed"]
    registry.allow(["time"])
    assert brain.ask("lights on").reply == "Your own commands are switched off."
    registry.allow(None)
    slow = make(Model(), {"slow": Settled(["wait"], ["sleep", "60"])})
    with pytest.raises(CancelledError):
        slow.ask("wait", cancel=lambda: True)


def test_a_model_without_actions_talks(make: Make) -> None:
    brain = make(Model(raw={}), settings=lambda: Settings(Options(max_tokens=9)))
    assert not brain.acts
    said: list[str] = []
    turn = brain.ask("hello", on_delta=said.append)
    assert turn.reply == "You said: hello"
    assert said == ["You said: ", "hello"]
    assert (turn.finish, turn.prompt_tokens, turn.completion_tokens) == ("length", 3, 2)
    assert turn.as_dict()["call"] is None
    with pytest.raises(CancelledError):
        brain.ask("hello", cancel=lambda: True)


@pytest.mark.parametrize("threshold", [None, "much", -1, 2, True])
def test_a_senseless_threshold_is_refused(make: Make, threshold: Any) -> None:
    with pytest.raises(ModelError, match="threshold"):
        make(Model(raw={"x_actions": {"threshold": threshold}}))


def test_an_action_model_needs_its_ends(make: Make) -> None:
    model = Model()
    model.tokenizer.bos = None
    with pytest.raises(ModelError, match="begin and an end"):
        make(model)


def test_an_action_switched_off_is_said_to_be(make: Make, registry: ActionRegistry) -> None:
    registry.allow(["date"])
    turn = make(Model("<time> <reply>")).ask("what time is it")
    assert (turn.ok, turn.reply) == (False, "The action time is switched off.")


def test_of_several_wordings_the_meaning_most_of_them_share_is_taken(make: Make, heard: list[Event]) -> None:
    """Nothing is done by weighing; silence and what is too long mean nothing; the user's own commands count."""
    model = Model("<none> <reply>", "<time> <reply>", "<time> <reply>")
    wordings = [("what dime is it", 0.35), ("what time is it", 0.3), ("tell me the time", 0.25), ("", 0.05)]
    brain = make(model)
    taken = brain.weigh([*wordings, ("word " * 200, 0.05)])
    assert taken.index == 1
    assert taken.sure == pytest.approx(0.55, rel=1e-3)
    assert heard == []
    mine = make(Model("<none> <reply>"), {"lamp": Settled(["lights on"], ["true"])})
    assert mine.weigh([("lie sun", 0.45), ("Lights on!", 0.55)]) == Taken(1, pytest.approx(0.55))
    assert heard == []


def test_doubts_count_in_the_election(make: Make) -> None:
    """A call that would be refused is a vote for nothing."""
    model = Model("<mute> <reply>", "<time> <reply>", odds=5.0)
    assert make(model).weigh([("mutter the phone", 0.6), ("what time is it", 0.4)]) == Taken(0, pytest.approx(1.0))


def test_weighing_can_be_given_up(make: Make) -> None:
    with pytest.raises(CancelledError):
        make(Model("<time> <reply>")).weigh([("what time is it", 1.0)], lambda: True)


def test_a_model_that_talks_takes_the_likeliest_words(make: Make) -> None:
    assert make(Model(raw={})).weigh([("", 0.5), ("a", 0.2), ("b", 0.3)]) == Taken(2, None)


class Said:
    """Stands for the package's n-grams."""

    def __init__(self, **opinions: float) -> None:
        self.opinions = opinions
        self.members = ("phrases", "letters")
        self.heard: list[Sequence[str]] = []

    def opinion(self, words: Sequence[str]) -> Mapping[str, float]:
        self.heard.append(words)
        return self.opinions


def test_the_second_opinion_is_multiplied_with_the_models(make: Make) -> None:
    model = Model("<time> <reply>", "It is", odds=4.0, raw={"x_actions": {"threshold": 0.0}})
    brain = make(model)
    said = Said(time=-2.0, date=-1.0)
    brain.ngrams = said  # type: ignore[assignment]
    turn = brain.ask("So, tell!")
    assert said.heard == [("so", "tell")]
    # 4 to 1 for the time by the model, e to 1 against it by the others; the rest of the actions are as unlikely as
    # the unlikeliest that they know. Three readers: the geometric mean.
    weights = [4 * math.exp(-2), math.exp(-1), *[math.exp(-2)] * (len(SPECS) - 2)]
    assert turn.confidence == pytest.approx(weights[0] ** (1 / 3) / sum(weight ** (1 / 3) for weight in weights))
    assert turn.call is not None
    assert turn.call.action == "time"


def test_the_second_opinion_can_overrule_the_model(make: Make) -> None:
    model = Model("<time> <reply>", "It is", odds=2.0, raw={"x_actions": {"threshold": 0.0}})
    brain = make(model)
    brain.ngrams = Said(time=-8.0, none=-0.1)  # type: ignore[assignment]
    turn = brain.ask("so")
    assert turn.call is not None
    assert turn.call.action == "none"
