"""Which words may be a timer's name."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from noctule.assistant.phrases.names import name_spans
from noctule.assistant.phrases.request import read


def names(text: str, most: int = 6) -> list[str]:
    request = read(text)
    return [request.quote(span.start, span.end) for span in name_spans(request.texts, most)]


@pytest.mark.parametrize(
    ("text", "offered"),
    [
        ("set a big pot timer for five minutes", ["big pot"]),
        ("Set a Big-Pot timer", ["Big-Pot"]),
        ("pasta timer ten minutes", ["pasta"]),
        ("how much time is left on the second batch", ["second batch"]),
        ("set a timer for five minutes", []),
        ("the timer", []),
        ("", []),
    ],
)
def test_whole_names_are_offered(text: str, offered: list[str]) -> None:
    ours = {"set", "much", "time"}
    assert [name for name in names(text) if not ours & set(name.lower().split())] == offered


def test_tasks_are_offered_whole() -> None:
    offered = names("remind me to take out the bread in ten minutes please")
    assert "take out the bread" in offered
    assert not [name for name in offered if "minutes" in name or "please" in name or name.startswith(("to ", "the "))]


def test_our_verbs_may_be_part_of_a_name() -> None:
    assert {"start dinner", "dinner"} <= set(names("in an hour remind me to start dinner"))


def test_length_is_bounded() -> None:
    assert [name for name in names("remind me to alpha beta gamma delta", most=3) if "alpha" in name] == []
    assert "alpha beta gamma" in names("remind me to alpha beta gamma", most=3)


SAID = ["set", "a", "the", "timer", "pasta", "big", "pot", "for", "five", "minutes", "to", "start", "dinner", "in"]


@given(st.lists(st.sampled_from(SAID)))
def test_spans_are_within_the_request_and_free_of_durations(words: list[str]) -> None:
    spans = name_spans(words, 6)
    assert len({(span.start, span.end) for span in spans}) == len(spans)
    for span in spans:
        said = words[span.start : span.end]
        assert 0 < len(said) <= 6
        assert not {said[0], said[-1]} & {"a", "the", "for", "to", "in", "timer"}
