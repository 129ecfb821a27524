"""Which words of a request may be a name or a task: "pasta", "take out the bread". Pure.

A name is copied from the request, and the grammar offers the model only the spans that could be one: they begin
and end where a small word, a verb of ours or a number stands, and are not themselves such. That leaves "big pot" and
"take out the bread" whole, and few choices to get wrong.
"""

from __future__ import annotations

from collections.abc import Sequence

from noctule.assistant.phrases.numbers import Span, duration, spans


def _set(text: str) -> frozenset[str]:
    return frozenset(text.split())


#: Words that no name begins or ends with.
_SMALL = _set("""
    a an the my our your his her this that these those for of to in on at by from with about after until till before
    when is are was were be has have had does did will and or it its i me us you we they he she please thanks thank
    okay ok now then again noctule hey uh um er so right away quickly real can could would if may not no any more
    timer timers countdown countdowns reminder called named labelled name one how much long left what where when's
    what's remaining remains still yet over done ready finished
""")
#: Words after or before which a name may begin or end, though a name may also contain them ("start dinner").
_EDGES = _set("""
    set start create make add begin run put open launch cancel stop delete remove end kill clear drop abort scrap
    forget turn switch shut off time clock watch track remind tell alert warn notify ping check show read list give
    let new another up down do don't like well know go cook bake boil rest look wake call ring buzz get rid scratch
    mind throw take back need needs takes want wants lasting state status timing goes rings ends beeps
""")

#: A verb of ours begins a name only after one of these ("remind me to start dinner", "the call timer").
_BEFORE_VERB = _set("to a an the my called named labelled for")


def name_spans(words: Sequence[str], most: int) -> list[Span]:
    """Every span of at most `most` words that could be a name, none of it inside a duration."""
    said = [False] * len(words)
    for span in spans(words, duration):
        said[span.start : span.end] = [True] * (span.end - span.start)

    def edge(at: int) -> bool:
        return not 0 <= at < len(words) or said[at] or words[at] in _SMALL or words[at] in _EDGES

    def content(at: int) -> bool:
        return not said[at] and words[at] not in _SMALL

    def begins(at: int) -> bool:
        if words[at] in _EDGES and not (at > 0 and words[at - 1] in _BEFORE_VERB):
            return False
        return content(at) and edge(at - 1)

    starts = [at for at in range(len(words)) if begins(at)]
    found = []
    for start in starts:
        for end in range(start + 1, min(start + most, len(words)) + 1):
            if said[end - 1]:
                break
            if content(end - 1) and edge(end):
                found.append(Span(start, end, 0.0))
    return found
