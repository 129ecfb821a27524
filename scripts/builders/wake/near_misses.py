"""Near-miss phrases of the acceptance test. They are held out as its voices are: no build says one of them."""

from __future__ import annotations

from functools import cache

#: fixed near-miss phrases of the phrases that are benchmarked; others use the ranked confusables.
NEAR_MISSES = {
    "okay nabu": (
        "okay nobody", "okay navy", "okay nabob", "okay bamboo", "okay taboo", "okay now", "okay new", "okay baboon",
        "okay nah", "okay abu", "okay nairobi", "okay neighbor", "obey nabu", "hey nabu", "hello nabu", "nabu",
        "oh k nah boot", "okay napoleon", "okay google", "okay computer",
    ),
    "hey noctule": (
        "hey nocturnal", "hey noodle", "hey knuckle", "hey nickel", "hey octopus", "hey not cool", "hey knock",
        "hey doctor", "they knock", "hey nicole", "hey actual", "hey nozzle", "hey local", "okay noctule", "noctule",
        "a knock tool box", "hey tool", "hey october", "hey google", "hey computer",
    ),
}  # fmt: skip


@cache
def held_out() -> frozenset[str]:
    """All of them, for whoever makes training phrases at random out of everyday words."""
    return frozenset(text for texts in NEAR_MISSES.values() for text in texts)
