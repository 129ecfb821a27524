"""A package folder, all or nothing: built beside its destination, verified, then renamed into place."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from noctule import tflite
from noctule.errors import InputError

FORMAT = 1
_BLOCK = 1 << 20  # bytes hashed at a time


def check_destination(folder: Path) -> None:
    """Refuse to replace anything that is not a package."""
    if (
        folder.exists()
        and not (folder / "manifest.json").is_file()
        and (not folder.is_dir() or any(folder.iterdir()))
    ):
        raise InputError(
            f"{folder} exists and is not a model package", "choose another folder; it will not be replaced"
        )
    parent = folder.absolute().parent
    if not parent.is_dir():
        raise InputError(f"{parent}: no such folder", "create it first")
    if not os.access(parent, os.W_OK):
        raise InputError(f"{parent} cannot be written to")


def check_space(folder: Path, needed: int) -> None:
    """`needed`: bytes that the build will hold at its largest, beside the destination."""
    free = shutil.disk_usage(folder.absolute().parent).free
    if free < needed:
        raise InputError(
            f"{folder.absolute().parent} has {free / 1e9:.1f} GB free, the export needs {needed / 1e9:.1f} GB",
            "free some space or choose a folder on another disk",
        )


@contextlib.contextmanager
def building(folder: Path) -> Iterator[Path]:
    """A scratch folder beside `folder` to build in; nothing of it is left when the block fails."""
    check_destination(folder)
    scratch = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", suffix=".partial", dir=folder.absolute().parent))
    try:
        yield scratch
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def file_entry(path: Path) -> dict[str, Any]:
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(_BLOCK):
            digest.update(block)
    return {"bytes": path.stat().st_size, "sha256": digest.hexdigest()}


def graph_entry(path: Path, layout: str) -> dict[str, Any]:
    """The manifest's "graph" object, read from the finished file by the device runtime."""
    with tflite.load_model(path) as model:
        signatures = {
            name: {
                side: {
                    key: {"shape": list(spec.shape), "dtype": spec.dtype.name} for key, spec in sorted(specs.items())
                }
                for side, specs in (("inputs", signature.inputs), ("outputs", signature.outputs))
            }
            for name, signature in sorted(model.signatures.items())
        }
    return {"file": path.name, "layout": layout, "signatures": signatures}


def publish(scratch: Path, folder: Path, manifest: Mapping[str, Any]) -> None:
    """Write manifest.json over the files in `scratch` (their bytes and sha256 are added) and put it in place."""
    complete = {"format": FORMAT, **manifest, "files": {}}
    for path in sorted(scratch.iterdir()):
        path.chmod(0o644)
        complete["files"][path.name] = file_entry(path)
    text = json.dumps(complete, indent=1, ensure_ascii=False) + "\n"
    (scratch / "manifest.json").write_text(text, encoding="utf-8")
    scratch.chmod(0o755)
    old = None
    if folder.exists():
        old = scratch.with_suffix(".old")
        folder.rename(old)
    scratch.rename(folder)
    if old is not None:
        shutil.rmtree(old)
