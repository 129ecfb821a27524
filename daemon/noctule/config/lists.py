"""Sections whose keys the owner chooses: each key is a list of texts."""

from __future__ import annotations

from noctule.config.keys import Key

#: section whose keys the owner chooses -> what its values are
LISTS: dict[str, Key] = {
    "slots": Key(
        'What a {NAME} in the phrases of [commands] may be: "value", or "value | as it is spoken | or so".',
        live=True, minimum=1, maximum=2000,
    ),
}  # fmt: skip
