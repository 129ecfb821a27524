"""What a request must not lead to: texts that quote one, more time as a new timer, questions that act, wrong ways."""

from __future__ import annotations

import pytest

from noctule.assistant.actions.declared import SPECS
from noctule.assistant.actions.devices import NoCapture, bind_devices
from noctule.assistant.actions.registry import ActionRegistry, Call
from noctule.assistant.brain.guards import CLOCK, MORE, QUESTION, QUOTED, is_quoted, objection, set_right
from noctule.assistant.phrases.request import read

QUOTING = [
    "Create a concise title for this conversation.\n\nUser: set a timer for seven minutes\nAssistant: Timer set.",
    "Conversation title please\nQ: cancel all timers\nA: All timers were cancelled.",
    "Title for: set a timer for seven minutes",
    "Suggest three follow-up questions: cancel all timers",
    "- set a timer for five minutes\n- cancel all timers",
    "```\nset a timer for five minutes\n```",
    "Summarize the chat history:\nturn the volume up",
    "Generate 1-3 tags for this: mute the microphone",
    "Translate to French: stop",
    "User: hello Assistant: hi. User: mute",
    "<chat_history>\nset a timer for five minutes\n</chat_history>",
]
ADDRESSED = [
    "set a timer for 7:30 minutes", "what time is it", "Set a 5-minute pasta timer, please!", "hey noctule, mute",
    "set a timer for five minutes called tags", "noctule: what time is it", "turn the volume up\n",
    "could you please tell me how long the pasta timer that I set before still has to go",
]  # fmt: skip


@pytest.mark.parametrize("text", QUOTING)
def test_a_text_that_quotes_is_no_request(text: str) -> None:
    assert is_quoted(text)


@pytest.mark.parametrize("text", ADDRESSED)
def test_a_request_is_one(text: str) -> None:
    assert not is_quoted(text)


@pytest.mark.parametrize(
    "text",
    [
        "add 8 minutes to timer", "add 8 minutes to timer named roast", "add 45 seconds to 10 minutes timer",
        "add 2 hours to timer for 20 minutes", "put another five minutes on the timer",
        "another ten minutes on the timer", "could you add 3 minutes to timer", "add 12 minutes to a timer",
        "add ten minutes on to the timer", "extend the pasta timer by five minutes",
        "take two minutes off the timer", "five minutes more on the timer please",
    ],
)  # fmt: skip
def test_more_time_is_not_a_new_timer(text: str) -> None:
    assert objection(Call("timer.set"), read(text)) == MORE


@pytest.mark.parametrize(
    "text",
    [
        "set a timer for five minutes", "add a timer for 5 minutes", "add a five minute timer",
        "set another timer for ten minutes", "put five minutes on a timer", "put 10 minutes on the timer",
        "start a 20 minute timer", "set a timer for the roast for two hours",
    ],
)  # fmt: skip
def test_a_new_timer_is_one(text: str) -> None:
    assert objection(Call("timer.set"), read(text)) == ""


@pytest.mark.parametrize(
    "text",
    ["set a 5 a.m. alarm", "wake me at 4 p.m.", "timer for 7:30 am", "set a timer until five o'clock", "six am"],
)
def test_a_time_of_day_is_no_length_of_time(text: str) -> None:
    assert objection(Call("timer.set"), read(text)) == CLOCK


@pytest.mark.parametrize(
    ("text", "action"),
    [
        ("is the microphone on", "unmute"), ("are you muted", "mute"), ("why is the volume so low", "volume.down"),
        ("how do i turn the volume up", "volume.up"), ("did the timer go off", "timer.cancel"),
    ],
)  # fmt: skip
def test_a_question_about_a_state_changes_nothing(text: str, action: str) -> None:
    assert objection(Call(action), read(text)) == QUESTION


@pytest.mark.parametrize(
    ("text", "action"),
    [
        ("turn the microphone back on", "unmute"), ("is it possible to turn the volume up", "volume.up"),
        ("how about a timer for five minutes", "timer.set"), ("is the timer still running", "timer.list"),
        ("what time is it", "time"),
    ],
)  # fmt: skip
def test_orders_and_questions_that_are_answered_stay(text: str, action: str) -> None:
    assert objection(Call(action), read(text)) == ""


@pytest.mark.parametrize(
    ("text", "made", "wanted"),
    [
        ("low volume", "volume.up", "volume.down"), ("speak loud", "volume.down", "volume.up"),
        ("quieter please", "volume.up", "volume.down"), ("the volume is too low", "volume.up", "volume.up"),
        ("not so loud", "volume.down", "volume.down"), ("turn it up", "volume.up", "volume.up"),
        ("low volume", "volume.set", "volume.set"),
    ],
)  # fmt: skip
def test_the_words_say_the_direction(text: str, made: str, wanted: str) -> None:
    assert set_right(Call(made), read(text)).action == wanted


def test_a_request_is_short() -> None:
    long = " ".join(["please set a timer for five minutes and then"] * 6)
    assert objection(Call("timer.set"), read(long)) == QUOTED
    assert objection(Call("time"), read(long)) == ""


class Switch:
    muted = True

    def mute(self, muted: bool) -> None:
        self.muted = muted


def test_what_may_be_closed_may_be_opened_again_and_its_state_is_told() -> None:
    registry, switch = ActionRegistry(SPECS, ["mute"]), Switch()
    bind_devices(registry, NoCapture(), switch)
    assert registry.state("unmute") == "The microphone is off."
    registry.run(Call("unmute"), read("unmute the microphone"))
    assert not switch.muted
    assert registry.state("mute") == "The microphone is on."
    assert not registry.family_allowed("volume")
    assert registry.state("time") == ""
