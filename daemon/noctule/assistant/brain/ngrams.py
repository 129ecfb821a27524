"""A second opinion on what a request asks for: its words, their neighbours and their letters. Numpy only.

A small language model knows phrasings by heart and is sure of its guess at the next one. A bag of n-grams can learn
nothing by heart but what is in the words, so it errs elsewhere; both are multiplied (a product of experts: G. Hinton
2002, Training Products of Experts by Minimizing Contrastive Divergence). Each member of the bag is linear after one
embedding (A. Joulin et al. 2016, arXiv 1607.01759):

    logits = (sum of scale[i] * row[i] over the features i of the request) @ head + bias

The package's manifest says

    "x_actions": {…, "ngrams": {"file": "ngrams.npz", "actions": ["date", …], "members": ["phrases", "letters"]}}

and the file holds for each member, say phrases: `phrases.features` uint32 [N], rising, the CRC-32 of each feature
that training kept; `phrases.rows` int8 [N,D]; `phrases.scales` float32 [N]; `phrases.head` float32 [D,A];
`phrases.bias` float32 [A]. A feature that is not there says nothing.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from noctule.assistant.actions.format import CallFormat
from noctule.assistant.actions.registry import Spec
from noctule.assistant.phrases.numbers import duration, percentage, spans
from noctule.assistant.phrases.request import Request
from noctule.core.checked_json import JsonNode
from noctule.core.errors import ModelError
from noctule.inference.manifest import Manifest

_LETTERS = range(3, 6)


def marked(words: Sequence[str]) -> list[str]:
    """`words` with each stretch that means a time or a share as one mark: which number it is says nothing."""
    marks: list[str] = [""] * len(words)
    for parser, mark in ((duration, "<D>"), (percentage, "<P>")):
        for span in spans(words, parser):
            for at in range(span.start, span.end):
                marks[at] = marks[at] or mark
    found: list[str] = []
    for word, mark in zip(words, marks, strict=True):
        if not mark:
            found.append(word)
        elif not found or found[-1] != mark:
            found.append(mark)
    return found


def _phrases(words: Sequence[str]) -> Iterator[str]:
    """Words, pairs, triples, and pairs with one word between them."""
    line = ["^", *words, "$"]
    for at, word in enumerate(line):
        yield word
        if at + 1 < len(line):
            yield f"{word} {line[at + 1]}"
        if at + 2 < len(line):
            yield f"{word} {line[at + 1]} {line[at + 2]}"
            yield f"{word} _ {line[at + 2]}"


def _letters(words: Sequence[str]) -> Iterator[str]:
    """The same, any two words of the request together, and three to five letters in a row of each word."""
    yield from _phrases(words)
    different = sorted(set(words))
    for at, word in enumerate(different):
        yield from (f"{other} & {word}" for other in different[:at])
    for word in words:
        if word.startswith("<"):
            continue
        whole = f"<{word}>"
        for size in _LETTERS:
            yield from (f"#{whole[at : at + size]}" for at in range(len(whole) - size + 1))


#: What a member looks at.
KINDS: dict[str, Callable[[Sequence[str]], Iterator[str]]] = {"phrases": _phrases, "letters": _letters}


def features(kind: str, words: Sequence[str]) -> NDArray[np.uint32]:
    """CRC-32 of every feature of a request, as often as it occurs. words: as `actions.words` reads them."""
    return np.array([zlib.crc32(text.encode()) for text in KINDS[kind](marked(words))], np.uint32)


@dataclass(frozen=True)
class Member:
    """One linear reader; shapes in the module's docstring."""

    kind: str
    features: NDArray[np.uint32]
    rows: NDArray[np.int8]
    scales: NDArray[np.float32]
    head: NDArray[np.float32]
    bias: NDArray[np.float32]

    def logits(self, words: Sequence[str]) -> NDArray[np.float32]:
        """float32 [A]."""
        wanted = features(self.kind, words)
        at = np.minimum(np.searchsorted(self.features, wanted), len(self.features) - 1)
        at = at[self.features[at] == wanted]
        hidden = self.scales[at] @ self.rows[at].astype(np.float32)
        return np.asarray(hidden @ self.head + self.bias, np.float32)


class Ngrams:
    """The members together."""

    def __init__(self, actions: Sequence[str], members: Sequence[Member]) -> None:
        self.actions = tuple(actions)
        self.members = tuple(members)

    def opinion(self, words: Sequence[str]) -> dict[str, float]:
        """Action -> sum of the members' log probabilities: to be added to a model's logits."""
        total = np.zeros(len(self.actions))
        for member in self.members:
            logits = member.logits(words).astype(np.float64)
            top = logits.max()
            total += logits - top - np.log(np.exp(logits - top).sum())
        return dict(zip(self.actions, total.tolist(), strict=True))


#: name of an array -> dtype and number of dimensions
_SHAPES = {
    "features": ("uint32", 1),
    "rows": ("int8", 2),
    "scales": ("float32", 1),
    "head": ("float32", 2),
    "bias": ("float32", 1),
}


def read_ngrams(manifest: Manifest, actions: Mapping[str, Any]) -> Ngrams | None:
    """The `ngrams` of a manifest's x_actions, None without; ModelError when they make no sense."""
    section = JsonNode(str(manifest.folder / "manifest.json"), "x_actions", actions).get("ngrams")
    if not section:
        return None
    names, kinds = _names(section.get("actions")), _names(section.get("members"))
    for kind in kinds:
        if kind not in KINDS:
            raise section.get("members").wrong(f"{kind!r} is not one of {', '.join(KINDS)}", "update Noctule")
    path = manifest.path(section.get("file").text())
    arrays = _load(path)
    return Ngrams(names, [_member(path, kind, arrays, len(names)) for kind in kinds])


def _names(node: JsonNode) -> list[str]:
    found = [item.text() for item in node.items()]
    if not found or len(set(found)) != len(found):
        node.fail("a list of names, none twice")
    return found


def _load(path: Path) -> dict[str, NDArray[Any]]:
    try:
        # Opened here: numpy leaves a file open that turns out not to be a whole archive.
        with path.open("rb") as file, zipfile.ZipFile(file) as held:
            return {name.removesuffix(".npy"): _array(held, name) for name in held.namelist()}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error, NotImplementedError) as error:
        raise ModelError(f"{path}: is no file of n-grams: {error}", "copy the package again") from None


def _array(held: zipfile.ZipFile, name: str) -> NDArray[Any]:
    with held.open(name) as file:
        array: NDArray[Any] = np.lib.format.read_array(file, allow_pickle=False)
        return array


def _member(path: Path, kind: str, arrays: Mapping[str, NDArray[Any]], actions: int) -> Member:
    found: dict[str, NDArray[Any]] = {}
    for name, (dtype, rank) in _SHAPES.items():
        array = arrays.get(f"{kind}.{name}")
        if array is None or array.dtype != np.dtype(dtype) or array.ndim != rank:
            said = "missing" if array is None else f"{array.dtype} of {array.ndim} dimensions"
            raise ModelError(f"{path}: {kind}.{name} is {said}, expected {dtype} of {rank}")
        found[name] = array
    count, width = found["rows"].shape
    shapes = {"features": (count,), "scales": (count,), "head": (width, actions), "bias": (actions,)}
    for name, shape in shapes.items():
        if found[name].shape != shape:
            raise ModelError(f"{path}: {kind}.{name} has the shape {found[name].shape}, expected {shape}")
    if count == 0 or not (np.diff(found["features"].astype(np.int64)) > 0).all():
        raise ModelError(f"{path}: {kind}.features do not rise")
    if not all(np.isfinite(found[name]).all() for name in ("scales", "head", "bias")):
        raise ModelError(f"{path}: {kind} has numbers that are not finite")
    return Member(kind, **found)


def opinion(ngrams: Ngrams | None, form: CallFormat, request: Request, specs: Sequence[Spec]) -> dict[int, float]:
    """Action token -> what the package's n-grams say for it; nothing without them."""
    if ngrams is None:
        return {}
    said = ngrams.opinion(request.texts)
    # An action that they were not taught is as unlikely as the unlikeliest.
    lowest = min(said.values())
    return {form.action(spec): said.get(spec.name, lowest) for spec in specs if form.knows(spec)}
