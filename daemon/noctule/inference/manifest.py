"""Model packages: a folder with `manifest.json` and the files it vouches for. L1.

`load_manifest(folder, kind)` verifies everything that can be verified without running the graph: the schema
below, each file's size and sha256, and that the folder holds what the kind needs. The graph's real signatures
are compared with the manifest's where the graph is loaded (`check_signatures`). Every refusal is a ModelError
that names the file, what was expected and what was found. `PackageWriter` is how scripts make packages.

manifest.json, format 1. Unknown keys are refused, except those that begin with `x_`.

    format      1
    kind        "text-lm" | "speech-lm" | "codec" | "wake-word" | "voice"
    name, version, licence, source, build     strings; build is the command that made the package
    files       {file name: {"bytes": int, "sha256": hex}}; plain names, no folders
    graph       {"file", "layout": "noctule" | "litert-community",
                 "signatures": {name: {"inputs": {tensor: {"shape": [int], "dtype": str}}, "outputs": {…}}}}
    tokenizer   {"file", "vocab_size", "bos": id | null, "eos": [ids], "pad": id | null, "control": {piece: id}}
    limits      {"context": tokens}
    chat        see below
    sampling    {"temperature", "top_k", "top_p", "min_p", "repetition_penalty"}, each optional
    golden      {"tokens": [ids], "signature", "top": [[5 ids]…], "logits": [[first 8]…], "rtol": float}
    streams     (speech-lm), codec (codec) and voice (voice): checked by the classes that use them
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
import os
import re
import shutil
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from noctule.core.errors import ModelError
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
    "PackageWriter",
    "Role",
    "TokenizerInfo",
    "check_signatures",
    "describe_signatures",
    "kind_of",
    "load_manifest",
    "write_manifest",
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
    manifest = _build(folder, raw, kind)
    for name, entry in manifest.files.items():
        _verify_file(folder, name, entry)
    return manifest


def kind_of(folder: Path | str) -> str:
    """The kind of a package, read from its manifest and no further; "" when that says none. Raises ModelError."""
    raw = _read_json(Path(folder), Path(folder) / MANIFEST)
    kind = raw.get("kind") if isinstance(raw, dict) else None
    return kind if isinstance(kind, str) else ""


def _build(folder: Path, raw: Any, kind: str | None) -> Manifest:
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
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ModelError(f"{path}: missing, so the folder is no model package") from None
    except UnicodeDecodeError:
        raise ModelError(f"{path}: is not UTF-8 text") from None
    except OSError as error:
        raise ModelError(f"{path}: cannot be read: {error.strerror}") from None
    try:
        return json.loads(text, parse_constant=_no_constant)
    except RecursionError:
        raise ModelError(f"{path}: is nested too deeply to be a manifest") from None
    except ValueError as error:
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


def write_manifest(folder: Path | str, data: Mapping[str, Any], files: Iterable[str] | None = None) -> Manifest:
    """Write `manifest.json` into a folder that already holds the files, replacing an old one in one step.

    `files` are the names to vouch for; by default every regular file except the manifest and Markdown. The
    result is parsed back before it takes the place of the old one.
    """
    folder = Path(folder)
    names = (
        sorted(files)
        if files is not None
        else sorted(p.name for p in folder.iterdir() if p.is_file() and p.name != MANIFEST and p.suffix != ".md")
    )
    document = dict(data)
    document["files"] = {
        name: {"bytes": (folder / name).stat().st_size, "sha256": sha256_of(folder / name)} for name in names
    }
    document = json.loads(json.dumps(document, allow_nan=False))
    manifest = _build(folder, document, None)
    handle, temporary = tempfile.mkstemp(dir=folder, prefix=".manifest-")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            # Long lists of numbers (golden logits) on one line keep the file readable.
            file.write(_compact(json.dumps(document, indent=2, ensure_ascii=False)) + "\n")
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(0o644)
        Path(temporary).rename(folder / MANIFEST)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    _fsync_folder(folder)
    return manifest


def _compact(text: str) -> str:
    """Lists of numbers on one line. A list spread by `indent` has a newline after its bracket; no string has."""
    return re.sub(r"\[\n[^\[\]{}\"]*\]", lambda found: " ".join(found.group().split()), text)


def _fsync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


class PackageWriter:
    """Builds a package in a hidden folder beside its target and moves it there whole.

        with PackageWriter("models/tiny") as package:
            shutil.copy(graph, package.folder / "model.tflite")
            package.finish({"format": 1, "kind": "text-lm", …})      # without "files": they are computed

    Leaving the `with` without `finish`, or by an exception, removes the hidden folder and leaves the target as
    it was. An existing target is replaced: at every instant there is the old package, the new one, or none.
    """

    def __init__(self, target: Path | str) -> None:
        self.target = Path(target)
        self._finished = False

    def __enter__(self) -> PackageWriter:
        self.target.parent.mkdir(parents=True, exist_ok=True)
        self.folder = Path(tempfile.mkdtemp(dir=self.target.parent, prefix=f".{self.target.name}-"))
        return self

    def finish(self, data: Mapping[str, Any]) -> Manifest:
        """Write the manifest, verify the package as a loader would, and put it in place."""
        write_manifest(self.folder, data)
        for path in self.folder.iterdir():
            with path.open("rb") as file:
                os.fsync(file.fileno())
        load_manifest(self.folder, str(data["kind"]))
        self.folder.chmod(0o755)
        old = None
        if self.target.exists():
            old = Path(tempfile.mkdtemp(dir=self.target.parent, prefix=f".{self.target.name}-old-"))
            self.target.rename(old / "package")
        self.folder.rename(self.target)
        _fsync_folder(self.target.parent)
        self._finished = True
        if old is not None:
            shutil.rmtree(old)
        return load_manifest(self.target, str(data["kind"]))

    def __exit__(self, *_: object) -> None:
        if not self._finished:
            shutil.rmtree(self.folder, ignore_errors=True)
