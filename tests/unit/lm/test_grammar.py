"""The automaton over tokens and the constraint that walks it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from noctule.core.errors import ModelError
from noctule.lm.constraint import Constraint
from noctule.lm.grammar import Automaton, GrammarConstraint
from noctule.lm.sampler import Sampler, TextSampling

EOS = 0


def sentences(*sequences: list[int]) -> Automaton:
    """The automaton of exactly these sentences, each closed by EOS."""
    automaton = Automaton()
    end = automaton.state()
    automaton.accept(end)
    for sequence in sequences:
        automaton.path(0, [*sequence, EOS], end)
    return automaton


def test_it_is_a_constraint() -> None:
    assert isinstance(GrammarConstraint(sentences([1])), Constraint)


def test_only_what_leads_on_is_allowed() -> None:
    constraint = GrammarConstraint(sentences([1, 2], [1, 3, 4], [5]))
    assert constraint.mask().tolist() == [1, 5]
    assert constraint.mask().dtype == np.int32
    constraint.advance(1)
    assert constraint.mask().tolist() == [2, 3]
    constraint.advance(2)
    assert constraint.mask().tolist() == [EOS]
    assert not constraint.done()
    constraint.advance(EOS)
    assert constraint.done()
    assert constraint.mask().tolist() == []
    assert constraint.tokens == [1, 2, EOS]


def test_a_forbidden_token_is_an_error_and_changes_nothing() -> None:
    constraint = GrammarConstraint(sentences([1, 2]))
    with pytest.raises(ModelError, match="token 2 is not allowed"):
        constraint.advance(2)
    constraint.advance(1)
    assert constraint.tokens == [1]


def test_one_sentence_that_begins_another() -> None:
    automaton = sentences([1], [1, 2])
    constraint = GrammarConstraint(automaton)
    constraint.advance(1)
    assert constraint.mask().tolist() == [EOS, 2]


def test_paths_share_their_beginning() -> None:
    few = sentences([1, 2, 3, 4, 5]).states
    assert sentences([1, 2, 3, 4, 5], [1, 2, 3, 4, 6]).states == few + 1


def test_shared_beginnings_do_not_leak_into_other_ends() -> None:
    """Two arguments whose values begin alike lead on to different things."""
    automaton = Automaton()
    end, one, two = automaton.state(), automaton.state(), automaton.state()
    automaton.accept(end)
    automaton.path(0, [7, 8], one)
    automaton.path(0, [7, 9], two)
    automaton.path(one, [1], end)
    automaton.path(two, [2], end)
    constraint = GrammarConstraint(automaton)
    constraint.advance(7)
    constraint.advance(9)
    assert constraint.mask().tolist() == [2]


def test_check_finds_the_longest_output() -> None:
    assert sentences([1], [2, 3, 4]).check() == 4


def test_check_refuses_dead_ends_and_loops() -> None:
    dead = sentences([1])
    dead.path(0, [2, 3])
    with pytest.raises(ValueError, match="dead end"):
        dead.check()
    loop = sentences([1])
    here = loop.path(0, [5])
    loop.path(here, [6], here)
    loop.path(here, [EOS], 1)
    with pytest.raises(ValueError, match="loop"):
        loop.check()


def test_an_empty_path_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="at least one"):
        Automaton().path(0, [])


words = st.lists(st.integers(1, 6), min_size=1, max_size=5)


@given(st.lists(words, min_size=1, max_size=8), st.integers(0, 2**32 - 1), st.sampled_from([0.0, 0.1, 1.0, 5.0]))
def test_whatever_the_logits_say_the_output_is_a_sentence(
    language: list[list[int]], seed: int, temperature: float
) -> None:
    automaton = sentences(*language)
    longest = automaton.check()
    constraint = GrammarConstraint(automaton)
    random = np.random.default_rng(seed)
    sampler = Sampler(TextSampling(temperature=temperature, top_k=0), seed)
    for _ in range(longest):
        if constraint.done():
            break
        logits = random.normal(0, 50, 7).astype(np.float32)
        constraint.advance(sampler.sample(logits, mask=constraint.mask()))
    assert constraint.done()
    assert constraint.tokens[:-1] in language
