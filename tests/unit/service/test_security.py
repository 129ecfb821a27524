"""What must never be: a shell, a path that leads elsewhere, a secret that others can read, a size without a bound."""

from __future__ import annotations

import ast
import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from api_world import ApiWorld
from test_fuzz_network import Everything

from noctule.api.http.token import load_token
from noctule.api.http.unix_socket import bind
from noctule.capture.files.store import safe_name
from noctule.core.errors import DeviceError

ROOT = Path(__file__).resolve().parents[3]
PACKAGE = ROOT / "daemon" / "noctule"
#: ways to have a shell, or text, become code; pickle runs what it reads.
FORBIDDEN = {
    "os.system", "os.popen", "os.execl", "os.execlp", "os.spawnl", "subprocess.getoutput",
    "subprocess.getstatusoutput",
    "asyncio.create_subprocess_shell", "pty.spawn", "eval", "exec", "compile", "__import__",
    "pickle.load", "pickle.loads", "marshal.loads", "shelve.open", "yaml.load", "numpy.load", "np.load",
    "tempfile.mktemp",
}  # fmt: skip


def calls(tree: ast.AST) -> Iterator[tuple[str, ast.Call]]:
    """(dotted name, call) of every call whose name can be read off."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            parts: list[str] = []
            target: ast.AST = node.func
            while isinstance(target, ast.Attribute):
                parts.append(target.attr)
                target = target.value
            if isinstance(target, ast.Name):
                yield ".".join([target.id, *reversed(parts)]), node


def offences(source: str) -> list[str]:
    """What a file does that nothing here may do."""
    found = []
    tree = ast.parse(source)
    for name, call in calls(tree):
        if name in FORBIDDEN:
            found.append(f"{call.lineno}: {name}")
        for keyword in call.keywords:
            if keyword.arg == "shell" and not (
                isinstance(keyword.value, ast.Constant) and keyword.value.value is False
            ):
                found.append(f"{call.lineno}: {name}(shell=…)")
        if name.startswith(("subprocess.", "asyncio.create_subprocess_exec")) and call.args:
            first = call.args[0]
            if isinstance(first, (ast.JoinedStr, ast.BinOp)) or (
                isinstance(first, ast.Constant) and isinstance(first.value, str) and name != "subprocess.list2cmdline"
            ):
                found.append(f"{call.lineno}: {name} of a text")
            if isinstance(first, (ast.List, ast.Tuple)) and first.elts:
                head = first.elts[0]
                if isinstance(head, ast.Constant) and str(head.value).rpartition("/")[2] in ("sh", "bash", "env"):
                    found.append(f"{call.lineno}: {name} of a shell")
    for node in ast.walk(tree):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names]
            found += [
                f"{node.lineno}: imports {name}" for name in names if name.split(".")[0] in ("pickle", "marshal")
            ]
    return found


def test_no_shell_and_no_text_becomes_code() -> None:
    found = {str(path.relative_to(PACKAGE)): offences(path.read_text("utf-8")) for path in PACKAGE.rglob("*.py")}
    assert len(found) > 150
    assert {name: lines for name, lines in found.items() if lines} == {}


def test_the_rule_would_notice() -> None:
    bad = [
        "import os\nos.system('ls')", "subprocess.run('ls', shell=True)", "subprocess.Popen(f'ls {x}')",
        "subprocess.run(['/bin/sh', '-c', x])", "subprocess.run(x, shell=y)", "eval(x)", "import pickle",
        "from marshal import loads",
    ]  # fmt: skip
    assert all(offences(text) for text in bad)
    assert offences("subprocess.run([program, '-x'], shell=False)") == []


def test_secrets_are_compared_in_constant_time() -> None:
    """Wherever a token is compared, hmac.compare_digest does it: no == or != with a name that holds one."""
    for path in sorted((PACKAGE / "api").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Compare) and any(isinstance(op, (ast.Eq, ast.NotEq)) for op in node.ops):
                names = {
                    part.id if isinstance(part, ast.Name) else part.attr
                    for side in (node.left, *node.comparators)
                    for part in ast.walk(side)
                    if isinstance(part, (ast.Name, ast.Attribute))
                }
                assert not {name for name in names if "token" in name.lower() or "secret" in name.lower()}, (
                    f"{path.name}:{node.lineno}"
                )
    assert "compare_digest" in (PACKAGE / "api" / "http" / "token.py").read_text()


# -- files that hold secrets -----------------------------------------------------------------------------------------


def test_a_token_file_is_made_for_its_owner_only_and_refused_when_others_may_read_it(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        token = load_token(tmp_path)
    finally:
        os.umask(old)
    path = tmp_path / "token"
    assert path.stat().st_mode & 0o777 == 0o600
    assert len(token) >= 32
    assert load_token(tmp_path) == token
    for mode in (0o640, 0o604, 0o660, 0o644):
        path.chmod(mode)
        with pytest.raises(DeviceError, match="can be read by others"):
            load_token(tmp_path)


@pytest.mark.parametrize("kind", ["link", "pipe", "folder"])
def test_a_token_is_a_plain_file_or_nothing(tmp_path: Path, kind: str) -> None:
    path, elsewhere = tmp_path / "token", tmp_path / "elsewhere"
    elsewhere.write_text("a" * 40)
    elsewhere.chmod(0o600)
    if kind == "link":
        path.symlink_to(elsewhere)
    elif kind == "pipe":
        os.mkfifo(path, 0o600)
    else:
        path.mkdir(0o700)
    with pytest.raises(DeviceError):
        load_token(tmp_path)


def test_a_credential_that_everybody_can_read_is_no_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from noctule.core.errors import NoctuleError
    from noctule.service.journal import credential

    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    (tmp_path / "noctule-token").write_text("a" * 40)
    (tmp_path / "noctule-token").chmod(0o644)
    with pytest.raises(NoctuleError, match="can be read by everybody"):
        credential("noctule-token")
    (tmp_path / "noctule-token").chmod(0o400)
    assert credential("noctule-token") == b"a" * 40
    assert credential("../noctule-token") is None


# -- the socket ------------------------------------------------------------------------------------------------------


def test_the_control_socket_is_for_its_owner_and_its_group(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        with bind(tmp_path / "control.sock", ""):
            about = (tmp_path / "control.sock").lstat()
    finally:
        os.umask(old)
    assert stat.S_ISSOCK(about.st_mode)
    assert about.st_mode & 0o777 == 0o600, "without a group nobody else may"
    assert about.st_uid == os.geteuid()
    assert [path.name for path in tmp_path.iterdir()] == ["control.sock"], "no half-made socket is left"


def test_a_file_in_the_place_of_the_socket_is_not_removed(tmp_path: Path) -> None:
    path = tmp_path / "control.sock"
    path.write_text("somebody's")
    with pytest.raises(DeviceError, match="not a socket"):
        bind(path, "")
    assert path.read_text() == "somebody's"
    path.unlink()
    path.symlink_to(tmp_path / "other")
    with pytest.raises(DeviceError, match="not a socket"):
        bind(path, "")


# -- paths -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Everything]:
    folder = tmp_path_factory.mktemp("api")
    (folder / "secret.wav").write_bytes(b"top secret")
    world = Everything(folder, read_timeout=2.0)
    with world:
        yield world
    world.eyes.close()


ESCAPES = [
    "../secret.wav", "..%2fsecret.wav", "%2e%2e%2fsecret.wav", "%2e%2e/secret.wav", "....//secret.wav",
    "..%5csecret.wav",
    "%252e%252e%252fsecret.wav", "/etc/passwd", "%2fetc%2fpasswd", "..;/secret.wav", "x%00/../secret.wav",
    "%c0%ae%c0%ae%c0%afsecret.wav",
]  # fmt: skip


@pytest.mark.parametrize("escape", ESCAPES)
@pytest.mark.parametrize("place", ["/wake/clips/{}", "/snapshot/{}", "/frame/{}.jpg", "/stream/{}.mjpg", "/{}"])
def test_no_path_leads_out(api: Everything, place: str, escape: str) -> None:
    target = place.replace("{}", escape)
    with api.connection() as sock:
        sock.sendall(f"GET {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        got = b""
        while piece := sock.recv(65536):
            got += piece
    status = int(got.split(b" ")[1])
    assert status in (400, 404, 405), target
    assert b"top secret" not in got
    assert b"root:" not in got


@pytest.mark.parametrize("escape", ["../secret", "/etc/passwd", "..", "x\0y"])
def test_no_name_in_a_body_leads_out(api: Everything, escape: str) -> None:
    for path, body in [
        ("/pause", {"source": escape}), ("/resume", {"source": escape}), ("/model", {"use": escape}),
        ("/wake", {"word": escape, "threshold": 0.5}),
    ]:  # fmt: skip
        status, answer = api.post(path, json.dumps(body).encode())
        assert status in (400, 404, 503), (path, answer)


def test_a_sources_name_is_one_folder() -> None:
    for name in ("../x", "/etc", "a/b", "..", ".hidden", "", "a\0b", "x" * 500):
        safe = safe_name(name)
        assert "/" not in safe
        assert "\0" not in safe
        assert not safe.startswith(".")
        assert 0 < len(safe) <= 80


# -- sizes -----------------------------------------------------------------------------------------------------------


def test_a_body_beyond_the_bound_is_refused_before_it_is_read(tmp_path: Path) -> None:
    with ApiWorld(tmp_path, max_body=1000, read_timeout=0.3) as world:
        status, answer = world.post("/ask", b" " * 5000)
        assert (status, answer["error"]["code"]) == (413, "too-large")
        # one that is announced and never sent costs its sender the connection, and the service nothing
        with world.connection() as sock:
            sock.sendall(b"POST /ask HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000000\r\n\r\n")
            while sock.recv(4096):
                pass
        assert world.client().get("/health") == {"ok": True}
