"""The files `bench lm` compares, built once into a cache folder: one random checkpoint, our packages, the GGUFs."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from noctule.core.errors import InputError

_PARTS = Path(__file__).resolve().parent
_SCRIPTS = _PARTS.parents[1]
NAME = "smollm-135m"
PACKAGES = ("int8", "int4")
GGUFS = ("Q8_0", "Q4_0")
_NEEDED_BYTES = 2 * 10**9  # the checkpoint, an export at its largest, packages and GGUFs
_HOST = ("torch", "litert_torch", "ai_edge_quantizer", "safetensors", "sentencepiece")
_LLAMA = ("llama_cpp", "gguf", "numpy")
_DISTRIBUTIONS = {
    "litert_torch": "litert-torch", "ai_edge_quantizer": "ai-edge-quantizer", "llama_cpp": "llama-cpp-python",
    "ai_edge_litert": "ai-edge-litert",
}  # fmt: skip


@dataclass(frozen=True)
class Pythons:
    """Interpreters: `ours` has the device install, `host` the exporter, `llama` llama-cpp-python and gguf."""

    ours: str
    host: str
    llama: str


@dataclass(frozen=True)
class Files:
    packages: dict[str, Path]
    ggufs: dict[str, Path]


def require(python: str, modules: tuple[str, ...], what: str, option: str) -> None:
    """InputError unless this interpreter can find every module; says what to install and which option helps."""
    probe = f"import importlib.util as u; print(*[m for m in {modules!r} if u.find_spec(m) is None])"
    try:
        found = subprocess.run([python, "-c", probe], capture_output=True, text=True, check=True, timeout=60)
    except (OSError, subprocess.SubprocessError) as error:
        raise InputError(f"{option}: {python} cannot be run: {error}") from None
    if missing := found.stdout.split():
        names = " ".join(_DISTRIBUTIONS.get(m, m) for m in missing)
        raise InputError(
            f"{what} needs {names}, which {python} does not have",
            f"{python} -m pip install {names}, or name another interpreter with {option}",
        )


def require_llama(pythons: Pythons) -> None:
    require(pythons.llama, _LLAMA, "the comparison with llama.cpp", "--llama-python")


def files_of(cache: Path) -> Files:
    return Files(
        {quant: cache / f"{NAME}-{quant}" for quant in PACKAGES},
        {kind: cache / f"{NAME}-{kind}.gguf" for kind in GGUFS},
    )


def build(cache: Path, pythons: Pythons, progress: Callable[[str], None]) -> Files:
    """Whatever of the files is missing from `cache`. Minutes the first time, nothing afterwards."""
    files = files_of(cache)
    wanted = [p for p in (*files.packages.values(), *files.ggufs.values()) if not p.exists()]
    if not wanted:
        return files
    try:
        cache.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"--cache {cache} cannot be made: {error.strerror}") from None
    if shutil.disk_usage(cache).free < _NEEDED_BYTES:
        raise InputError(
            f"{cache} needs {_NEEDED_BYTES / 1e9:.0f} GB free to build the models", "use --cache elsewhere"
        )
    require(pythons.host, _HOST, "building the packages", "--host-python")
    checkpoint = cache / NAME
    if not (checkpoint / "config.json").is_file():
        progress("writing random weights of SmolLM-135M's shape")
        _run([pythons.host, _PARTS / "lm_weights.py", checkpoint])
    for quant, package in files.packages.items():
        if not package.exists():
            progress(f"exporting {package.name} (one to three minutes, 4 GB of memory)")
            _run([pythons.host, _SCRIPTS / "export_lm.py", checkpoint, "-o", package, "--quant", quant])
    for kind, path in files.ggufs.items():
        if not path.exists():
            progress(f"writing {path.name}")
            _run([pythons.llama, _PARTS / "lm_gguf.py", checkpoint, path, kind])
    return files


def _run(command: list[str | Path]) -> None:
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["no message"]
        raise InputError(f"{Path(command[1]).name} failed: {lines[-1]}")


def default_python(variable: str, environ: dict[str, str]) -> str:
    return environ.get(variable) or sys.executable
