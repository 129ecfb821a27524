"""Writing a model package: files first, the manifest that vouches for them last, whole or not at all."""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from noctule.inference.manifest import Manifest, build_manifest, load_manifest, sha256_of
from noctule.inference.manifest_schema import MANIFEST


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
    manifest = build_manifest(folder, document, None)
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
