"""The documents' examples are run: configuration snippets load, commands exist, shown output is what is printed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from noctule.cli import VERBS, run_command
from noctule.config import load_config

ROOT = Path(__file__).resolve().parents[3]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def blocks(language: str) -> list[str]:
    found = []
    for document in DOCUMENTS:
        found += re.findall(rf"```{language}\n(.*?)```", document.read_text(encoding="utf-8"), re.S)
    return found


@pytest.mark.parametrize("text", blocks("toml"))
def test_every_configuration_shown_is_accepted(text: str, tmp_path: Path) -> None:
    path = tmp_path / "shown.toml"
    path.write_text(text)
    assert load_config(path).origins


def test_the_mistakes_shown_are_the_mistakes_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (shown,) = [block for block in blocks("console") if block.startswith("$ noctule config check")]
    monkeypatch.chdir(tmp_path)
    Path("noctule.toml").write_text("[lm]\nthread = 1\nqueue = 0\n")
    assert run_command(["config", "check", "noctule.toml"]) == 78
    assert shown.split("\n", 1)[1] == capsys.readouterr().err


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda p: p.name)
def test_verbs_scripts_and_links_exist(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    code = "\n".join(re.findall(r"```.*?```|`[^`\n]+`|^    .*$", text, re.S | re.M))
    for verb in re.findall(r"^(?:    |\$ |`)(?:sudo )?noctule ([a-z]+)", code, re.M):
        assert verb in VERBS, f"{document.name}: noctule {verb}"
    for script in re.findall(r"(?<![\w/.])scripts/[\w.-]+", code):
        assert (ROOT / script).exists(), f"{document.name}: {script}"
    for link in re.findall(r"\]\(([^)#:]+)\)", text):
        assert (document.parent / link).exists(), f"{document.name}: {link}"
