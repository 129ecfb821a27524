"""The floors of the house: imports go down only, no two files import each other, foreign libraries have one room."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
PACKAGE = ROOT / "daemon" / "noctule"
#: cli > app > api > (voice | assistant | capture) > (service | lm | wake) > (inference | audio | config) > core;
#: rooms of one floor do not import each other, but for voice, assistant and capture, which stand on service.
FLOORS = {
    "core": 1,
    "config": 2, "audio": 2, "inference": 2,
    "service": 3, "lm": 3, "wake": 3,
    "voice": 4, "assistant": 4, "capture": 4,
    "api": 5, "app": 6, "cli": 7, "__main__": 8,
}  # fmt: skip
#: what may stand at the top of the package.
TOP = {"__init__.py", "__main__.py", "app.py", "py.typed"}
#: foreign library -> the rooms that may import it, always inside a function but in the files of HEAVY.
DOORS = {
    "ai_edge_litert": {"inference"}, "tflite_runtime": {"inference"},
    "av": {"capture"}, "PIL": {"capture"}, "gi": {"capture"}, "picamera2": {"capture"}, "libcamera": {"capture"},
    "pyaudio": {"audio"}, "pymicro_features": {"wake"},
    "paho": {"api"}, "wyoming": {"voice", "api"},
    "torch": set(), "tensorflow": set(), "transformers": set(), "onnxruntime": set(), "onnx": set(),
    "systemd": set(), "cysystemd": set(),
    "builders": set(), "tools": set(),
}  # fmt: skip
#: files that exist for the sake of a heavy library: they import it at the top, and are themselves imported only by
#: each other or inside functions.
HEAVY = {
    f"noctule.capture.{name}"
    for name in (
        "protocols.ffmpeg", "picture.colour", "picture.encode", "files.extract", "process.packets", "files.reader",
        "files.decoded",
        "files.remote", "sources.avsource", "sources.kms", "sources.v4l2", "sources.network", "sources.file",
        "sources.picamera2", "sources.jetson",
    )
}  # fmt: skip
#: torch and the converters live here and nowhere else.
HOST_ONLY = {"torch", "litert_torch", "ai_edge_quantizer", "transformers", "onnxruntime"}


def dotted(path: Path, root: Path = PACKAGE.parent) -> str:
    return ".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__")


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def room_of(module: str) -> str:
    """The room of a dotted name: noctule.voice.turn -> voice; the package itself has none."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else ""


def _names_a_module(value: object) -> bool:
    """importlib.import_module("…") is an import too; a lone word in a string is a word, and prose is prose."""
    parts = value.split(".") if isinstance(value, str) else []
    return len(parts) > 1 and parts[0] in DOORS and all(part.isidentifier() for part in parts)


def imports(tree: ast.AST, module: str = "", package: bool = False) -> Iterator[tuple[str, bool]]:
    """(dotted name, inside a function or TYPE_CHECKING). `from a import b` gives a.b: a module or a thing in one."""

    def visit(node: ast.AST, inner: bool) -> Iterator[tuple[str, bool]]:
        if isinstance(node, ast.Import):
            yield from ((alias.name, inner) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = module.split(".")[: None if package and node.level == 1 else -node.level] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            yield from ((f"{base}.{alias.name}", inner) for alias in node.names)
        elif isinstance(node, ast.Constant) and _names_a_module(node.value):
            yield node.value, True
        inner = inner or isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
        inner = inner or (isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test))
        for child in ast.iter_child_nodes(node):
            yield from visit(child, inner)

    return visit(tree, False)


def imported(path: Path) -> list[tuple[str, bool]]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return list(imports(tree, dotted(path), path.name == "__init__.py"))


def upward(module: str, names: Iterable[str]) -> list[str]:
    """The imports of `module` that do not go down."""
    me = room_of(module)
    return [
        name for name in names
        if name.startswith("noctule.") and (other := room_of(name)) in FLOORS and other != me
        and FLOORS[other] >= FLOORS[me]
    ]  # fmt: skip


def loop(edges: Mapping[str, set[str]]) -> list[str]:
    """Files that import each other in a circle, in order; none when there is no circle."""
    done: set[str] = set()
    path: list[str] = []

    def walk(node: str) -> list[str]:
        if node in path:
            return [*path[path.index(node) :], node]
        if node in done:
            return []
        path.append(node)
        for target in sorted(edges.get(node, ())):
            if found := walk(target):
                return found
        path.pop()
        done.add(node)
        return []

    return next((found for node in sorted(edges) if (found := walk(node))), [])


def module_of(name: str, known: Mapping[str, Path] | set[str]) -> str:
    """The module that an imported name is, or is in."""
    while name and name not in known:
        name = name.rpartition(".")[0]
    return name


def test_every_folder_has_its_floor_and_nothing_else_stands_at_the_top() -> None:
    assert {path.name for path in PACKAGE.iterdir() if path.is_file()} == TOP
    rooms = {path.name for path in PACKAGE.iterdir() if path.is_dir() and any(path.rglob("*.py"))}
    assert rooms | {"app", "__main__"} == set(FLOORS)


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_go_down_only(path: Path) -> None:
    module = dotted(path)
    if module == "noctule":
        return
    assert upward(module, (name for name, _ in imported(path))) == []


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_a_foreign_library_is_imported_in_its_room_and_late(path: Path) -> None:
    module, known = dotted(path), {dotted(p) for p in modules()}
    for name, inner in imported(path):
        root = name.split(".")[0]
        if root in DOORS:
            assert room_of(module) in DOORS[root], f"{module} imports {root}: only {DOORS[root] or 'nobody here'} may"
            assert inner or module in HEAVY, f"{module}: {root} is heavy; import it inside a function"
        if module_of(name, known) in HEAVY and module not in HEAVY:
            assert inner, f"{module}: {name} is heavy; import it inside a function"


def test_no_two_files_import_each_other() -> None:
    """Imports inside functions and for type checkers count: they are a circle all the same."""
    files = {dotted(path): path for path in modules()}
    edges = {
        module: {
            other for name, _ in imported(path) if (other := module_of(name, files)) not in ("", "noctule", module)
        }
        for module, path in files.items()
    }
    assert loop(edges) == []


def test_torch_and_converters_stay_on_the_host_side() -> None:
    places = [
        ROOT / "scripts" / "builders",
        ROOT / "scripts" / "tools" / "bench",
        ROOT / "scripts" / "tools" / "fixtures",
    ]
    for path in (ROOT / "scripts").rglob("*.py"):
        names = {name.split(".")[0] for name, _ in imports(ast.parse(path.read_text(encoding="utf-8")))}
        assert (
            not names & HOST_ONLY or any(place in path.parents for place in places) or path.parent == ROOT / "scripts"
        ), path


def test_no_file_holds_more_than_one_idea() -> None:
    files = [*modules(), *(ROOT / "scripts").rglob("*.py")]
    long = {str(p.relative_to(ROOT)): n for p in files if (n := len(p.read_text().splitlines())) > 300}
    assert long == {}


def test_no_class_name_stands_for_two_things() -> None:
    named: dict[str, list[str]] = {}
    for path in modules():
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                named.setdefault(node.name, []).append(dotted(path))
    assert {name: places for name, places in named.items() if len(places) > 1} == {}


# -- the tests above would notice -----------------------------------------------------------------------------------


def names(code: str, module: str = "noctule.service.x") -> list[str]:
    return [name for name, _ in imports(ast.parse(code), module)]


def test_an_import_that_goes_up_or_sideways_is_noticed() -> None:
    assert upward("noctule.service.x", names("from noctule.voice.turn import Turn")) == ["noctule.voice.turn.Turn"]
    assert upward("noctule.voice.x", names("def f():\n    from noctule.assistant import worker")) == [
        "noctule.assistant.worker"
    ]
    assert upward("noctule.lm.x", names("from noctule.wake.package import load")) == ["noctule.wake.package.load"]
    assert upward("noctule.service.x", names("from noctule.core.errors import E\nfrom . import y")) == []
    assert names("from . import y") == ["noctule.service.y"]


def test_a_circle_is_noticed_also_when_it_is_late_or_for_types() -> None:
    late = "if TYPE_CHECKING:\n    from noctule.voice.b import B\ndef f():\n    from noctule.voice import c\n"
    assert names(late, "noctule.voice.a") == ["noctule.voice.b.B", "noctule.voice.c"]
    assert loop({"a": {"b"}, "b": {"c"}, "c": {"a"}}) == ["a", "b", "c", "a"]
    assert loop({"a": {"b"}, "b": {"c"}, "d": {"a", "c"}}) == []


def test_a_library_named_in_a_string_is_an_import() -> None:
    assert list(imports(ast.parse("importlib.import_module('torch.nn')"))) == [("torch.nn", True)]
