"""What noctule-tiny is trained and tested on: consistent with the grammar, held out where it says so, repeatable."""

from __future__ import annotations

from collections import defaultdict
from itertools import islice
from random import Random

import pytest

from builders.text import slots
from builders.text.expand import Piece, covering, expand, files, macros, parse_action_lines, sections, skeleton
from builders.text.generate import Example, Generator, reply_for
from builders.text.mutate import disturb, other_thing
from builders.text.split import PARTS, Fence, Part, Source, action_sources, outside_sources, topics
from noctule.assistant.actions.declared import REFUSALS, SPECS
from noctule.assistant.actions.format import CallFormat, control_pieces
from noctule.assistant.actions.registry import Call, Value
from noctule.assistant.phrases.request import read
from noctule.lm.grammar import GrammarConstraint

CONTROL = {piece: 10 + at for at, piece in enumerate(control_pieces(SPECS))}
BYTES = 10 + len(CONTROL)
FORM = CallFormat(lambda text: [BYTES + 256, *(BYTES + byte for byte in text.encode())], CONTROL, 1, 2)
BY_NAME = {spec.name: spec for spec in SPECS}


def draw(part: Part, count: int, seed: int = 5, share: float = 0.55) -> list[Example]:
    return list(islice(Generator(part, seed).stream(share), count))


@pytest.mark.parametrize("part", PARTS)
def test_every_call_can_be_written_under_the_grammar(part: Part) -> None:
    """Otherwise the model would be trained to say what the sampler forbids."""
    for example in draw(part, 250):
        request = read(example.text)
        spec = BY_NAME[example.action]
        call = Call(example.action, {name: Value(value) for name, value in example.arguments})
        tokens = FORM.write(call, example.reply, spec)
        written = FORM.write_call(call, spec)
        constraint = GrammarConstraint(FORM.calls(request, SPECS))
        for token in written:
            constraint.advance(token)
        assert constraint.done(), example
        read_back = FORM.read_call(written, request, SPECS)
        assert {name: read(value.text).plain for name, value in read_back.arguments.items()} == dict(
            example.arguments
        )
        assert tokens[: len(written)] == written


def test_the_same_seed_draws_the_same_examples() -> None:
    assert draw("train", 200) == draw("train", 200)
    assert draw("train", 200) != draw("train", 200, seed=6)


def test_lines_and_topics_are_in_one_part_only() -> None:
    for sources in (action_sources(), outside_sources()):
        lines = {part: {(source.action, source.template.line) for source in sources[part]} for part in PARTS}
        assert not lines["train"] & (lines["test"] | lines["validation"])
        assert not lines["test"] & lines["validation"]
    held = {topic.name for topic, _, _ in topics() if topic.part == "test"}
    assert len(held) >= 8
    assert not held & {source.topic for source in outside_sources()["train"]}


def test_a_good_share_is_held_out_for_every_action() -> None:
    sources = action_sources()
    for action in sections("phrasings.txt"):
        count = {part: sum(source.action == action for source in sources[part]) for part in PARTS}
        assert count["test"] >= 2, action
        assert 0.08 < count["test"] / sum(count.values()) < 0.25, action
    assert set(sections("phrasings.txt")) == set(BY_NAME) - {"none"}


def test_plain_lines_are_never_held_out() -> None:
    for part in ("test", "validation"):
        assert not [source for source in action_sources()[part] if source.template.plain]


def test_values_for_tests_are_not_trained_on() -> None:
    rng = Random(1)
    trained = {slots.name(rng, False) for _ in range(3000)}
    assert not trained & set(slots.NAMES[::5])
    numbers = {str(number) for number in slots.HELD_OUT_COUNTS}
    said = {word for _ in range(2000) for word in read(slots.duration(rng, False, 86400)).texts}
    assert not said & numbers


def test_one_request_has_one_meaning() -> None:
    """Templates of different actions may meet in the same sentence; that has to stay rare."""
    meanings: dict[str, set[tuple[str, tuple[tuple[str, str], ...]]]] = defaultdict(set)
    for part in PARTS:
        for share in (1.0, 0.0):
            for example in draw(part, 2500, share=share):
                meanings[read(example.text).plain].add((example.action, example.arguments))
    twice = [text for text, found in meanings.items() if len(found) > 1]
    assert len(twice) <= 0.001 * len(meanings), twice


def test_refusals_are_declared() -> None:
    assert {topic.refusal for topic, _, _ in topics()} <= set(REFUSALS)
    assert {example.reply for example in draw("train", 400, share=0.0)} <= set(REFUSALS.values())


def test_replies_fit_the_call_and_the_tone() -> None:
    both = (("duration", "five minutes"), ("name", "tea"))
    assert reply_for("timer.set", both, ("set",)) == "Timer for {name} set: {length}."
    assert reply_for("timer.set", both[:1], ("please",)) == "Of course. Timer set for {length}."
    assert reply_for("time", (), ("time",)) == "It is {time}."


def test_templates() -> None:
    [template] = parse_action_lines(["!?[a|b] {d} end => duration=$d which=all"])
    assert (template.line, template.question, template.plain) == ("[a|b] {d} end", True, True)
    assert template.call == (("duration", "$d"), ("which", "all"))
    pieces = expand(template.line, lambda slot: slot.upper(), Random(0))
    assert [piece for piece in pieces if piece.slot] == [Piece("D", "d")]
    assert "".join(piece.text for piece in pieces) in ("a D end", "b D end")
    with pytest.raises(ValueError, match="no =>"):
        parse_action_lines(["no call"])


def test_choices_inside_choices_and_names_for_choices() -> None:
    drawn = {"".join(p.text for p in expand("[a|b [c|d]|]", str, Random(seed))) for seed in range(60)}
    assert drawn == {"a", "b c", "b d", ""}
    known = macros()
    assert known["left"].startswith("[is left|")
    for file in (*files("phrasings"), *files("outside")):
        for lines in sections(file).values():
            for line in lines:
                assert "<" not in line
                assert line.count("[") == line.count("]"), line
    assert files("phrasings")[0] == "phrasings.txt"


def test_a_pattern_covers_all_that_its_line_gives_and_nothing_else() -> None:
    lines = ["[set|start [up|]] a timer for {d}", "cancel {name}'s timer, o'clock?"]
    pattern = covering(lines)
    for seed in range(40):
        for line in lines:
            assert pattern.fullmatch(skeleton(expand(line, lambda slot: "five minutes", Random(seed))))
    for other in ("setatimerfor", "startDatimer", "setatimerforDD", "cancelN'stimer,o'cloc", "setatimerforN"):
        assert pattern.fullmatch(other) is None
    assert covering([]).fullmatch("") is None


@pytest.mark.parametrize("part", ["train", "validation"])
def test_no_sentence_of_a_held_out_line_is_drawn_for_another_part(part: Part) -> None:
    sources = action_sources()
    above: list[Part] = ["test", "validation"] if part == "train" else ["test"]
    held = covering(source.template.line for other in above for source in sources[other] if source.action == "time")
    fence = Fence(part, sources)
    stopped = passed = 0
    rng = Random(4)
    for source in sources[part]:
        if source.action != "time" or source.template.plain:
            continue
        for _ in range(60):
            form = skeleton(expand(source.template.line, lambda slot: slot, rng))
            if held.fullmatch(form):
                assert fence.keeps_out(source, form)
                stopped += 1
            else:
                passed += not fence.keeps_out(source, form)
    assert stopped > 0
    assert passed > stopped


def test_plain_lines_are_trained_on_and_never_asked() -> None:
    sources = action_sources()
    [plain] = [s for s in sources["train"] if s.action == "time" and s.template.line == "time"]
    assert not Fence("train", sources).keeps_out(plain, "time")
    other = Source(parse_action_lines(["[the|] time =>"])[0], "time", "time")
    assert Fence("test", sources).keeps_out(other, "time")


def test_the_lines_of_one_file_alone() -> None:
    old = {source.template.line for source in action_sources()["test"] if source.file == "phrasings.txt"}
    drawn = list(islice(Generator("test", 3, file="phrasings.txt").stream(1.0), 200))
    assert {example.line for example in drawn} <= old
    lines = (
        {source.template.line for source in outside_sources()["test"] if source.file == "outside.txt"} | old | {""}
    )
    drawn = list(islice(Generator("test", 3, file="phrasings.txt").stream(0.0), 200))
    assert {example.line for example in drawn} <= lines


def test_another_thing_in_place_of_ours() -> None:
    changed = other_thing("how hot is the cpu", "train", Random(3))
    assert changed is not None
    assert changed.startswith("how hot is the ")
    assert "cpu" not in changed.split()
    assert other_thing("wake me in ten minutes", "train", Random(3)) is None


def test_slots_survive_disturbances() -> None:
    rng = Random(0)
    pieces = [Piece("set a timer for "), Piece("five minutes", "d"), Piece(" please")]
    texts = {"".join(piece.text for piece in disturb(pieces, rng)) for _ in range(2000)}
    assert len(texts) > 20
    assert all("five minutes" in text for text in texts)
