"""Model packages: a folder with `manifest.json` and the files it vouches for.

`load_manifest(folder, kind)` verifies everything that can be verified without running the graph: the schema
below, each file's size and sha256, and that the folder holds what the kind needs. The graph's real signatures
are compared with the manifest's where the graph is loaded (`check_signatures`). Every refusal is a ModelError
that names the file, what was expected and what was found. `PackageWriter` is how scripts make packages.

manifest.json, format 1. Unknown keys are refused, except those that begin with `x_`.

    format      1
    kind        "text-lm" | "speech-lm" | "speech-to-text" | "codec" | "wake-word" | "voice" | "pocket-tts"
    name, version, licence, source, build     strings; build is the command that made the package
    files       {file name: {"bytes": int, "sha256": hex}}; plain names, no folders
    graph       {"file", "layout": "noctule" | "litert-community",
                 "signatures": {name: {"inputs": {tensor: {"shape": [int], "dtype": str}}, "outputs": {…}}}}
    tokenizer   {"file", "vocab_size", "bos": id | null, "eos": [ids], "pad": id | null, "control": {piece: id}}
    limits      {"context": tokens}
    chat        see below
    sampling    {"temperature", "top_k", "top_p", "min_p", "repetition_penalty"}, each optional
    golden      {"tokens": [ids], "signature", "top": [[5 ids]…], "logits": [[first 8]…], "rtol": float}
    streams (speech-lm), recogniser (speech-to-text), codec, voice, pocket (pocket-tts): checked by what uses them
    architecture  informative only

Chat template. No language, only strings put around what is said:

    "chat": {"template": {"begin": "<s>",                                   once, before everything
                          "system":    {"prefix": "<|system|>", "suffix": "<|end|>\\n"},
                          "user":      {"prefix": "<|user|>", "suffix": "<|end|>\\n"},
                          "assistant": {"prefix": "<|assistant|>", "suffix": "<|end|>\\n"}},
             "stop": ["<|end|>"]}

In these strings, and only in them, a control piece named in `tokenizer.control` stands for its id (longest name
first). What a user says is encoded as plain text, so that writing "<|end|>" does not make one. A reply is asked
for by the assistant's prefix. `stop` holds control pieces (stop tokens) and ordinary text (stop strings).
`system` may be missing: a system message is then put before the first user message, with a blank line between.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from noctule.core.errors import ModelError
from noctule.core.file_kind import kind_of
from noctule.inference.manifest_schema import (
    MANIFEST,
    ChatTemplate,
    FileEntry,
    Golden,
    Graph,
    Role,
    TokenizerInfo,
    parse_manifest,
)
from noctule.inference.runner import Signature

__all__ = [
    "MANIFEST",
    "ChatTemplate",
    "FileEntry",
    "Golden",
    "Graph",
    "Manifest",
    "Role",
    "TokenizerInfo",
    "build_manifest",
    "check_signatures",
    "describe_signatures",
    "load_manifest",
    "package_kind",
]

#: A manifest is read whole; ours are a few tens of kilobytes.
_MANIFEST_LIMIT = 8 * 1024 * 1024
_BLOCK = 1 << 20


@dataclass(frozen=True)
class Manifest:
    """A verified package. Sections a kind does not have are None or empty."""

    folder: Path
    kind: str
    name: str
    version: str
    licence: str
    source: str
    build: str
    files: dict[str, FileEntry]
    graph: Graph | None
    tokenizer: TokenizerInfo | None
    context: int | None
    chat: ChatTemplate | None
    sampling: dict[str, float]
    golden: Golden | None
    #: the parsed JSON, for sections that other parts own (streams, codec, x_…)
    raw: Mapping[str, Any]

    def path(self, name: str) -> Path:
        """Where a listed file is."""
        if name not in self.files:
            raise ModelError(f"{self.folder / MANIFEST}: files: {name!r} is not listed")
        return self.folder / name


def load_manifest(folder: Path | str, kind: str) -> Manifest:
    """Read and verify a package of the given kind; ModelError, one sentence, when anything is wrong."""
    folder = Path(folder)
    path = folder / MANIFEST
    raw = _read_json(folder, path)
    manifest = build_manifest(folder, raw, kind)
    for name, entry in manifest.files.items():
        _verify_file(folder, name, entry)
    return manifest


def package_kind(folder: Path) -> str:
    """What kind of package the folder holds, without verifying its files; "" where it does not say. Raises ModelError
    where there is no manifest that can be read."""
    raw = _read_json(folder, folder / MANIFEST)
    return str(raw.get("kind", "")) if isinstance(raw, dict) else ""


def build_manifest(folder: Path, raw: Any, kind: str | None) -> Manifest:
    parsed = parse_manifest(str(folder / MANIFEST), raw)
    if kind is not None and parsed["kind"] != kind:
        raise ModelError(
            f"{folder / MANIFEST}: kind: expected {kind!r}, found {parsed['kind']!r}",
            "name a package of that kind in the configuration",
        )
    return Manifest(folder=folder, raw=raw, **parsed)


def _read_json(folder: Path, path: Path) -> Any:
    if not folder.is_dir():
        what = "is not a folder" if folder.exists() else "there is no such model package"
        raise ModelError(f"{folder}: {what}", "a package is a folder with a manifest.json")
    try:
        size = path.stat().st_size
        if size == 0 or size > _MANIFEST_LIMIT:
            raise ModelError(f"{path}: expected a manifest of 1 to {_MANIFEST_LIMIT} bytes, found {size}")
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise ModelError(f"{path}: missing, so the folder is no model package") from None
    except UnicodeDecodeError:
        kind = kind_of(path)
        raise ModelError(f"{path}: is {kind.what if kind else 'not UTF-8 text'}", kind.hint if kind else "") from None
    except OSError as error:
        raise ModelError(f"{path}: cannot be read: {error.strerror}") from None
    try:
        return json.loads(text, parse_constant=_no_constant)
    except RecursionError:
        raise ModelError(f"{path}: is nested too deeply to be a manifest") from None
    except ValueError as error:
        kind = kind_of(path)
        if kind is not None and kind.name != "json":
            raise ModelError(f"{path}: is {kind.what}; a manifest was expected", kind.hint) from None
        raise ModelError(f"{path}: is not JSON: {error}") from None


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not allowed")


def _verify_file(folder: Path, name: str, entry: FileEntry) -> None:
    path = folder / name
    try:
        if not path.resolve(strict=True).is_relative_to(folder.resolve()):
            raise ModelError(f"{path}: is a link that leads out of the package")
        if not path.is_file():
            raise ModelError(f"{path}: expected a regular file")
        size = path.stat().st_size
        if size != entry.bytes:
            what = "is empty" if size == 0 else f"has {size} bytes"
            raise ModelError(f"{path}: {what}, the manifest says {entry.bytes}", "copy or build the package again")
        found = sha256_of(path)
    except FileNotFoundError:
        raise ModelError(f"{path}: missing from the package", "copy or build the package again") from None
    except RuntimeError:  # Path.resolve, before Python 3.13, of a link that leads to itself
        raise ModelError(f"{path}: is a link that leads to itself") from None
    except OSError as error:
        raise ModelError(f"{path}: cannot be read: {error.strerror}") from None
    if found != entry.sha256:
        raise ModelError(
            f"{path}: sha256 is {found[:12]}…, the manifest says {entry.sha256[:12]}…",
            "the file was changed, swapped or damaged: copy or build the package again",
        )


def sha256_of(path: Path) -> str:
    """Hexadecimal sha256 of a file's bytes."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def check_signatures(manifest: Manifest, found: Mapping[str, Signature]) -> None:
    """Compare the manifest's signatures with those of the loaded graph; ModelError names the first difference."""
    graph = manifest.graph
    if graph is None:
        raise ModelError(f"{manifest.folder / MANIFEST}: graph: missing")
    where = f"{manifest.folder / graph.file}"
    for name, expected in graph.signatures.items():
        if name not in found:
            known = ", ".join(sorted(found)) or "none"
            raise ModelError(f"{where}: signature {name!r} is in the manifest but not in the graph (it has: {known})")
        for side, wanted, real in (
            ("input", expected.inputs, found[name].inputs),
            ("output", expected.outputs, found[name].outputs),
        ):
            for tensor in sorted(wanted.keys() | real.keys()):
                if wanted.get(tensor) != real.get(tensor):
                    raise ModelError(
                        f"{where}: {name}: {side} {tensor!r}: the manifest says {wanted.get(tensor, 'nothing')}, "
                        f"the graph has {real.get(tensor, 'nothing')}"
                    )


def describe_signatures(signatures: Mapping[str, Signature]) -> dict[str, Any]:
    """The manifest's JSON form of a graph's signatures (`Model.signatures`)."""
    return {
        name: {
            side: {tensor: {"shape": list(spec.shape), "dtype": spec.dtype.name} for tensor, spec in specs.items()}
            for side, specs in (("inputs", signature.inputs), ("outputs", signature.outputs))
        }
        for name, signature in signatures.items()
    }


# ---- writing --------------------------------------------------------------------------------------------------
