"""Imports go down the layers only; the runtime, systemd and hardware each have one door."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[3] / "daemon" / "noctule"

#: first path component under noctule/ (module or folder) -> layer
LAYERS = {
    "errors": 0, "clock": 0, "events": 0, "kinds": 0,
    "config": 1, "journal": 1, "board": 1, "text": 1, "native_stderr": 1,
    "tflite": 1, "tflite_base": 1, "tflite_file": 1, "tflite_probe": 1, "tflite_native": 1, "tflite_litert": 1,
    "tflite_interpreter": 1, "tflite_memory": 1, "manifest": 1, "manifest_schema": 1,
    "heap": 1, "wavefile": 1, "resample": 1, "state_file": 1,
    "lm": 2, "wake": 2, "audio": 2, "capture": 2,
    "session": 3, "ears": 3, "turns": 3, "wyoming_stt": 3, "model_stt": 3, "clips": 3, "ear_memory": 3,
    "wyoming_tts": 3, "model_tts": 3, "turn": 3, "recogniser": 3, "command": 3, "ledger": 3, "mouth": 3, "saying": 3,
    "brain": 3, "actions": 3, "timers": 3, "supervisor": 3, "parts": 3, "workers": 3, "lock": 3,
    "engine_slot": 3, "hands": 3, "governor": 3, "clip_keeper": 3,
    "app": 4, "inforce": 4, "report": 4, "organs": 4, "mind": 4, "hearing": 4, "sight": 4, "api": 4,
    "looped": 4, "wake_words": 4, "operate": 4, "language": 4, "voices": 4, "wyoming_server": 4, "mqtt": 4,
    "doctor": 5, "cli": 5, "__main__": 5,
}  # fmt: skip
#: L1 modules that L1 modules may import; L2 folders never import each other.
DOORS = {
    "ai_edge_litert": {"tflite"},
    "tflite_runtime": {"tflite"},
    "systemd": set(),
    "cysystemd": set(),
    "torch": set(),
    "tensorflow": set(),
    "transformers": set(),
}
#: hardware and heavy modules: imported inside functions only, each in one file
LAZY = {
    "av": "capture",
    "PIL": "capture",
    "gi": "capture",
    "pyaudio": "audio",
    "picamera2": "capture",
    "libcamera": "capture",
    "pymicro_features": "wake",
}

#: files that exist for the sake of a heavy module: they import it at the top, and are themselves imported only by
#: each other or inside functions.
HOUSES = {
    f"noctule.capture.{name}"
    for name in ("avopen", "colour", "encode", "extract", "packets", "reader", "remote", "sources.avsource",
                 "sources.kms", "sources.v4l2", "sources.network", "sources.file", "sources.picamera2",
                 "sources.jetson")
}  # fmt: skip


def dotted(path: Path) -> str:
    return ".".join(("noctule", *path.relative_to(PACKAGE).with_suffix("").parts))


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def unit(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(tree: ast.AST) -> list[tuple[str, bool]]:
    """(dotted module, inside a function or TYPE_CHECKING)."""
    found: list[tuple[str, bool]] = []

    def visit(node: ast.AST, inner: bool) -> None:
        if isinstance(node, ast.Import):
            found.extend((alias.name, inner) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level <= 1, "relative imports reach no further than the own folder"
            base = node.module or ""
            if node.level == 0:
                found.extend((f"{base}.{alias.name}" if base == "noctule" else base, inner) for alias in node.names)
        inner = inner or isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
        inner = inner or (isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test))
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            root = node.value.split(".")[0]
            # importlib.import_module("…") is an import too; only whole dotted names count, not prose
            if root in DOORS and all(part.isidentifier() for part in node.value.split(".")):
                found.append((node.value, True))
        for child in ast.iter_child_nodes(node):
            visit(child, inner)

    visit(tree, False)
    return found


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_go_down_only(path: Path) -> None:
    me = unit(path)
    if me == "__init__":
        return
    assert me in LAYERS, f"{me} has no layer: add it to LAYERS and to the design"
    for name, inner in imports(ast.parse(path.read_text(encoding="utf-8"))):
        root = name.split(".")[0]
        if root == "noctule":
            other = name.split(".")[1] if "." in name else "__init__"
            if other in ("__init__", "__version__", me):
                continue
            assert LAYERS[other] <= LAYERS[me], f"{path.name} (L{LAYERS[me]}) imports {name} (L{LAYERS[other]})"
            assert not (LAYERS[me] == LAYERS[other] == 2), f"{path.name}: L2 folders never import each other ({name})"
        elif root in DOORS:
            assert me in DOORS[root], f"{path.name} imports {root}: only {DOORS[root] or 'nothing here'} may"
            assert inner, f"{path.name}: {root} is imported inside a function"
        elif root in LAZY:
            assert me == LAZY[root], f"{path.name} imports {root}: its place is {LAZY[root]}/"
            assert inner or dotted(path) in HOUSES, f"{path.name}: {root} is heavy; import it inside a function"
        if name in HOUSES and dotted(path) not in HOUSES:
            assert inner, f"{path.name}: {name} is heavy; import it inside a function"


def test_the_rule_would_notice_a_violation() -> None:
    tree = ast.parse("import ai_edge_litert\ndef f():\n    from noctule.api import server\n")
    assert imports(tree) == [("ai_edge_litert", False), ("noctule.api", True)]
    assert imports(ast.parse("importlib.import_module('torch.nn')")) == [("torch.nn", True)]


def test_no_file_of_the_daemon_is_a_monster() -> None:
    long = {p.name: n for p in modules() if (n := len(p.read_text().splitlines())) > 330}
    assert not long, f"more than one idea a file? {long}"
