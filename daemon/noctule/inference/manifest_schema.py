"""The schema of manifest.json: JSON in, checked values out. Pure. The format is told in `manifest.py`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np

from noctule.core.checked_json import JsonNode
from noctule.core.errors import ModelError
from noctule.inference.runner import Signature, TensorSpec

MANIFEST = "manifest.json"
FORMAT = 1
KINDS = ("text-lm", "speech-lm", "speech-to-text", "codec", "wake-word", "voice", "pocket-tts")
LAYOUTS = ("noctule", "litert-community")
_TEXT_KEYS = ("name", "version", "licence", "source", "build")
_SECTIONS = (
    "files", "graph", "tokenizer", "limits", "chat", "sampling", "golden", "streams", "codec", "recogniser",
    "voice", "pocket", "architecture",
)  # fmt: skip
#: Sections a kind cannot do without.
_NEEDS = {
    "text-lm": ("graph", "tokenizer", "limits", "golden"),
    "speech-lm": ("graph", "streams"),
    "speech-to-text": ("graph", "tokenizer", "recogniser"),
    "codec": ("graph", "codec"),
    "wake-word": (),
    "voice": ("graph", "voice"),
    "pocket-tts": ("graph", "tokenizer", "limits", "pocket"),
}
_FILE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._+-]{0,127}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_DTYPES = ("float32", "float16", "int8", "uint8", "int16", "int32", "int64", "bool")
_ROLES = ("system", "user", "assistant")
#: key -> (lowest, highest); both included
_SAMPLING = {
    "temperature": (0.0, 10.0),
    "top_k": (0.0, 1e6),
    "top_p": (0.0, 1.0),
    "min_p": (0.0, 1.0),
    "repetition_penalty": (0.1, 10.0),
}


@dataclass(frozen=True)
class FileEntry:
    """What the manifest says of one file."""

    bytes: int
    sha256: str


@dataclass(frozen=True)
class Graph:
    """The .tflite file, its layout, and the signatures it must have."""

    file: str
    layout: str
    signatures: dict[str, Signature]


@dataclass(frozen=True)
class TokenizerInfo:
    """The SentencePiece file and the ids that mean something."""

    file: str
    vocab_size: int
    bos: int | None
    eos: tuple[int, ...]
    pad: int | None
    control: dict[str, int]


@dataclass(frozen=True)
class Role:
    """What stands before and after one message."""

    prefix: str
    suffix: str


@dataclass(frozen=True)
class ChatTemplate:
    """Strings around messages, and what ends a reply."""

    begin: str
    roles: dict[str, Role]
    stop: tuple[str, ...]


@dataclass(frozen=True)
class Golden:
    """Logits the graph must reproduce: after each of `tokens`, the five best ids and the first eight logits."""

    tokens: tuple[int, ...]
    signature: str
    top: tuple[tuple[int, ...], ...]
    logits: tuple[tuple[float, ...], ...]
    rtol: float


def parse_manifest(file: str, raw: Any) -> dict[str, Any]:
    """Check a parsed manifest.json; returns the fields of `manifest.Manifest` except folder and raw."""
    root = JsonNode(file, "", raw)
    root.table()
    if root.get("format").value != FORMAT:
        root.get("format").fail(f"{FORMAT} (the only format this version reads)")
    root.only(("format", "kind", *_TEXT_KEYS, *_SECTIONS))
    kind = root.get("kind").one_of(KINDS)
    for section in _NEEDS[kind]:
        if not root.get(section):
            root.get(section).fail(f"an object, which a {kind} package needs")
    files = _files(root.get("files"))
    tokenizer = _tokenizer(root.get("tokenizer"), files) if root.get("tokenizer") else None
    limits = root.get("limits")
    if limits:
        limits.only(("context",))
    return {
        "kind": kind,
        **{key: root.get(key).text() for key in _TEXT_KEYS},
        "files": files,
        "graph": _graph(root.get("graph"), files) if root.get("graph") else None,
        "tokenizer": tokenizer,
        "context": limits.get("context").integer(2) if limits else None,
        "chat": _chat(root.get("chat")) if root.get("chat") else None,
        "sampling": _sampling(root.get("sampling")) if root.get("sampling") else {},
        "golden": _golden(root.get("golden")) if root.get("golden") else None,
    }


def _files(node: JsonNode) -> dict[str, FileEntry]:
    entries = {}
    for name, entry in node.table().items():
        if not _FILE_NAME.fullmatch(name) or name == MANIFEST:
            raise ModelError(f"{node.file}: files: {name!r} is not a plain file name")
        entry.only(("bytes", "sha256"))
        digest = entry.get("sha256")
        if not isinstance(digest.value, str) or not _SHA256.fullmatch(digest.value):
            digest.fail("64 hexadecimal digits")
        entries[name] = FileEntry(entry.get("bytes").integer(1), digest.text())
    if not entries:
        node.fail("at least one file")
    return entries


def _file_of(node: JsonNode, files: dict[str, FileEntry]) -> str:
    if node.text() not in files:
        node.fail("one of the names under files")
    return node.text()


def _graph(node: JsonNode, files: dict[str, FileEntry]) -> Graph:
    node.only(("file", "layout", "signatures"))
    signatures = {}
    for name, entry in node.get("signatures").table().items():
        entry.only(("inputs", "outputs"))
        signatures[name] = Signature(_specs(entry.get("inputs")), _specs(entry.get("outputs")))
    if not signatures:
        node.get("signatures").fail("at least one signature")
    return Graph(_file_of(node.get("file"), files), node.get("layout").one_of(LAYOUTS), signatures)


def _specs(node: JsonNode) -> dict[str, TensorSpec]:
    specs = {}
    for name, entry in node.table().items():
        entry.only(("shape", "dtype", "role"))
        shape = tuple(n.integer(1, 2**31) for n in entry.get("shape").items())
        specs[name] = TensorSpec(shape, np.dtype(entry.get("dtype").one_of(_DTYPES)))
    return specs


def _tokenizer(node: JsonNode, files: dict[str, FileEntry]) -> TokenizerInfo:
    node.only(("file", "vocab_size", "bos", "eos", "pad", "control"))
    size = node.get("vocab_size").integer(2, 2**24)
    last = size - 1
    bos, pad = node.get("bos"), node.get("pad")
    return TokenizerInfo(
        _file_of(node.get("file"), files),
        size,
        bos.integer(0, last) if bos else None,
        tuple(n.integer(0, last) for n in node.get("eos").items()),
        pad.integer(0, last) if pad else None,
        {piece: n.integer(0, last) for piece, n in node.get("control").table().items() if piece or n.fail("a name")},
    )


def _chat(node: JsonNode) -> ChatTemplate:
    node.only(("template", "stop"))
    template = node.get("template")
    template.only(("begin", *_ROLES))
    roles = {}
    for role in _ROLES:
        entry = template.get(role)
        if entry:
            entry.only(("prefix", "suffix"))
            roles[role] = Role(entry.get("prefix").text(), entry.get("suffix").text())
        elif role != "system":
            entry.fail("an object with prefix and suffix")
    begin = template.get("begin")
    stop = tuple(n.text() or n.fail("some text") for n in node.get("stop").items())
    return ChatTemplate(begin.text() if begin else "", roles, stop)


def _sampling(node: JsonNode) -> dict[str, float]:
    node.only(tuple(_SAMPLING))
    return {key: value.number(*_SAMPLING[key]) for key, value in node.table().items() if key in _SAMPLING}


def _golden(node: JsonNode) -> Golden:
    node.only(("tokens", "signature", "top", "logits", "rtol"))
    tokens = tuple(n.integer(0) for n in node.get("tokens").items())
    top = tuple(tuple(i.integer(0) for i in row.items()) for row in node.get("top").items())
    logits = tuple(tuple(x.number(-1e9, 1e9) for x in row.items()) for row in node.get("logits").items())
    if not tokens or not len(tokens) == len(top) == len(logits) or not all(top) or not all(logits):
        node.fail("as many rows under top and logits as there are tokens, none empty")
    return Golden(tokens, node.get("signature").text(), top, logits, node.get("rtol").number(0.0, 1.0))
