"""What an action model writes, letter by letter of a grammar. Nothing of it is drawn by chance."""

from __future__ import annotations

from collections.abc import Callable

from noctule.assistant.brain.answer import Answer, TextModel
from noctule.assistant.brain.watch import FirstChoice
from noctule.core.errors import CancelledError, ModelError
from noctule.lm.grammar import Automaton, GrammarConstraint
from noctule.lm.sampler import TextSampling
from noctule.lm.text.request import Options

_GREEDY = TextSampling(temperature=0.0)


def write(
    lm: TextModel,
    turn: Answer,
    prompt: list[int],
    automaton: Automaton,
    cancel: Callable[[], bool],
    first: FirstChoice,
) -> list[int]:
    """The tokens that follow the prompt, to the grammar's end; counted in `turn`. first: sees the first choice.

    Raises CancelledError, and ModelError when anything but the grammar ends it.
    """
    first.constraint = constraint = GrammarConstraint(automaton)
    options = Options(max_tokens=lm.context, sampling=_GREEDY, constraint=constraint, cancel=cancel, on_logits=first)
    finish = ""
    for chunk in lm.generate(prompt, options):
        turn.count(chunk)
        finish = chunk.finish or finish
    if finish == "cancelled":
        raise CancelledError("The answer was cancelled.")
    if not constraint.done():
        raise ModelError(f"{lm.manifest.name} stopped in the middle of a call ({finish}).")
    return constraint.tokens
