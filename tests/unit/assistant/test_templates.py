"""The template language: what it reads, what it refuses, and that a grammar accepts exactly what its lines give."""

from __future__ import annotations

import itertools
from random import Random

import pytest

from noctule.assistant.actions.declared import SPECS
from noctule.assistant.grammar.files import Phrasings, english, entry, rules_and_lists
from noctule.assistant.grammar.grammar import Grammar
from noctule.assistant.grammar.kinds import in_words, time_of_day
from noctule.assistant.grammar.template import (
    Choice,
    Rule,
    Sequenced,
    Slot,
    TemplateError,
    Text,
    parse,
    parse_alternatives,
)
from noctule.assistant.phrases.numbers import integer
from noctule.assistant.phrases.request import read


def owner(*phrases: str, **lists: list[str]) -> Grammar:
    return Grammar(
        rules_and_lists(), (), {"it": list(phrases)}, {n: [entry(v) for v in vs] for n, vs in lists.items()}
    )


def values(grammar: Grammar, text: str) -> dict[str, str] | None:
    match = grammar.match(read(text))
    return None if match is None else {name: value.text for name, value in match.arguments.items()}


@pytest.mark.parametrize(
    ("line", "parts"),
    [
        ("turn it on", (Text(("turn", "it", "on")),)),
        ("(on|off)", (Choice(((Text(("on",)),), (Text(("off",)),))),)),
        ("[please]", (Choice(((Text(("please",)),), ())),)),
        ("<rule>", (Rule("rule"),)),
        ("{level}", (Slot("level"),)),
        ("{level:percent}", (Slot("level", "percent"),)),
        ("{n:number:5..30}", (Slot("n", "number", 5.0, 30.0),)),
    ],
)
def test_parts(line: str, parts: Sequenced) -> None:
    assert parse(line) == parts


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("play (jazz", "( is not closed"),
        ("play jazz)", ") closes no group"),
        ("play (jazz]", "( is closed by ]"),
        ("a | b", "| stands outside"),
        ("{}", "is no slot"),
        ("{Room}", "is no slot"),
        ("{n:number:9..3}", "the lower bound is above"),
        ("<A b>", "is no name of a rule"),
        ("play }", "} has no counterpart"),
        ("(" * 20 + "a" + ")" * 20, "deep in each other"),
        ("a " * 2000, "characters long"),
    ],
)
def test_a_mistake_is_one_sentence_with_its_place(line: str, what: str) -> None:
    with pytest.raises(TemplateError, match=r"^phrases.txt:7: ") as caught:
        parse(line, "phrases.txt:7")
    assert what in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_names_the_line_that_is_wrong() -> None:
    with pytest.raises(TemplateError, match=r"own.txt:3: "):
        Phrasings().add("= stop\nbe quiet\nbe (quiet\n", "own.txt")
    with pytest.raises(TemplateError, match=r"own.txt:1: a line before the first section"):
        Phrasings().add("be quiet\n", "own.txt")
    with pytest.raises(TemplateError, match="each name=value"):
        Phrasings().add("= stop\nbe quiet => now\n", "own.txt")


def expansions(parts: Sequenced) -> set[tuple[str, ...]]:
    """Every word sequence of parts without rules and slots, listed."""
    found: set[tuple[str, ...]] = {()}
    for part in parts:
        if isinstance(part, Text):
            more = {part.words}
        else:
            assert isinstance(part, Choice)
            more = set().union(*(expansions(option) for option in part.options))
        found = {head + tail for head, tail in itertools.product(found, more)}
    return found


def test_a_grammar_accepts_what_its_templates_give_and_nothing_else() -> None:
    """Random templates over four words; all sentences of up to five words are held against their listing."""
    rng, words = Random(7), ["a1x", "bee", "sea", "dee"]

    def line(depth: int) -> str:
        pieces = []
        for _ in range(rng.randint(1, 3)):
            kind = rng.random()
            if depth and kind < 0.3:
                pieces.append(f"({line(depth - 1)}|{line(depth - 1)})")
            elif depth and kind < 0.6:
                pieces.append(f"[{line(depth - 1)}]")
            else:
                pieces.append(rng.choice(words[1:]))
        return " ".join(pieces)

    for _ in range(60):
        lines = [line(2) + " end" for _ in range(rng.randint(1, 4))]
        grammar = Grammar(Phrasings(), (), {"it": lines})
        given = set().union(*(expansions(parse(text)) for text in lines))
        for size in range(1, 5):
            for said in itertools.product([*words[1:], "end"], repeat=size):
                assert grammar.accepts(said) == (said in given), (lines, said)
        for said in sorted(given)[:50]:
            assert grammar.match(read(" ".join(said))) is not None, (lines, said)


@pytest.mark.parametrize(
    ("said", "degrees"),
    [
        ("set the heating to twenty-one", "21"),
        ("Set the heating to 21, please.", "21"),
        ("please set heating to 5", "5"),
        ("hey Noctule, set the heating to thirty now", "30"),
        ("set the heating to 31", None),
        ("set the heating to four", None),
        ("set the heating to warm", None),
        ("don't set the heating to twenty", None),
    ],
)
def test_a_number_with_bounds(said: str, degrees: str | None) -> None:
    found = values(owner("set [the] heating to {degrees:number:5..30}"), said)
    assert found == (None if degrees is None else {"degrees": degrees})


def test_a_list_with_pronunciations() -> None:
    grammar = owner("play {station} [on {room}]", station=["jazz", "WDR 3 | w d r three"], room=["kitchen"])
    assert values(grammar, "play WDR 3") is None, "only the ways that are told are spoken"
    assert values(grammar, "Play W D R three.") == {"station": "WDR 3"}
    assert values(grammar, "play W D R 3 on kitchen") == {"station": "WDR 3", "room": "kitchen"}
    assert values(grammar, "play blues") is None


@pytest.mark.parametrize(
    ("kind", "said", "value"),
    [
        ("duration", "five minutes", "300"),
        ("duration", "an hour and a half", "5400"),
        ("duration", "2.5 hours", "9000"),
        ("duration", "1 hour 20 minutes", "4800"),
        ("percent", "forty percent", "40"),
        ("percent", "40%", "40"),
        ("time", "half past seven", "07:30"),
        ("time", "7:45 p.m.", "19:45"),
        ("time", "quarter to eight in the evening", "19:45"),
        ("time", "noon", "12:00"),
        ("day", "the day after tomorrow", "the day after tomorrow"),
        ("weekday", "Friday", "friday"),
        ("number", "a hundred and five", "105"),
        ("text", "all my love", "all my love"),
    ],
)
def test_kinds(kind: str, said: str, value: str) -> None:
    assert values(owner(f"use {{it:{kind}}}"), f"use {said}") == {"it": value}


def test_numbers_are_said_as_they_are_read() -> None:
    for number in range(1000):
        for words in in_words(number):
            assert integer(words.split(), 0) == (float(number), len(words.split()))


@pytest.mark.parametrize("text", ["twenty five past", "quarter", "7:75", "13 past 9 10", ""])
def test_what_is_no_time_of_day(text: str) -> None:
    assert time_of_day(text.split()) is None


def test_slots_need_a_kind_that_exists_and_phrases_a_word() -> None:
    with pytest.raises(TemplateError, match=r"\{colour\}: there is no such kind or list \(known: .*duration"):
        owner("paint it {colour}")
    with pytest.raises(TemplateError, match="is no phrase that can be said"):
        owner("[please]")
    with pytest.raises(TemplateError, match="<mood> is no rule"):
        owner("be <mood>")


def test_rules_that_stand_in_themselves_are_refused() -> None:
    with pytest.raises(TemplateError, match="stands in itself"):
        Grammar(Phrasings(rules={"a": list(parse_alternatives("x <a>"))}), (), {"it": ["go <a>"]})


def test_the_shipped_phrasings_act_as_the_brain_would() -> None:
    grammar = Grammar(english(), SPECS)
    match = grammar.match(read("Could you set a 5-minute pasta timer, please?"))
    assert match is not None
    assert match.action == "timer.set"
    assert {n: (v.text, v.number) for n, v in match.arguments.items()} == {
        "duration": ("5-minute", 300.0), "name": ("pasta", None),
    }  # fmt: skip
    for said in ("don't set a timer", "tell me about timers", "", "please"):
        assert grammar.match(read(said)) is None, said


def test_whole_unfinished_and_over() -> None:
    grammar = Grammar(english(), SPECS)
    assert grammar.over("What time is it?")
    assert not grammar.over("set a timer for five minutes"), "a name may follow"
    assert grammar.unfinished("set a timer for")
    assert not grammar.unfinished("five bananas and a melon")


def test_twenty_thousand_sentences_and_a_thousand_million() -> None:
    """Many phrases of an owner, and a template that stands for 10^9 sentences: nothing is listed."""
    rng = Random(3)
    words = ["".join(rng.choices("abcdefghijklmnopqrstuvwxyz", k=5)) for _ in range(400)]
    phrases = list({" ".join(rng.choices(words, k=5)) for _ in range(20_000)})
    grammar = Grammar(rules_and_lists(), (), {"it": phrases})
    assert grammar.match(read(phrases[777])) is not None
    many = owner(" ".join(["(" + "|".join(words[10 * i : 10 * i + 10]) + ")" for i in range(9)]))
    assert many.match(read(" ".join(words[10 * i + 3] for i in range(9)))) is not None
