"""The service with a real (tiny, random) model that can chat."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from app_world import World

from noctule.app import Needs
from noctule.assistant.engine import build_engine
from noctule.assistant.worker import Engine

FIXTURES = Path(__file__).resolve().parents[1] / "fixtures"
CHAT = {
    "template": {
        "begin": "<s>",
        "user": {"prefix": "U: ", "suffix": "\n"},
        "assistant": {"prefix": "A: ", "suffix": "\n"},
    },
    "stop": [],
}


def package(folder: Path, change: Callable[[Path, dict[str, Any]], None] = lambda f, m: None) -> Path:
    """A copy of a random two-layer model which can chat; `change` may spoil its files and manifest."""
    shutil.copytree(FIXTURES / "llama-tiny", folder)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest |= {"name": folder.name, "chat": CHAT}
    change(folder, manifest)
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


class RealWorld(World):
    def build(self, needs: Needs) -> Engine:
        return build_engine(needs)

    def configure(self, text: str) -> None:
        super().configure(f'models = ["{self.folder}/models"]\n[lm]\nmodel = "talker"\nthreads = 1\n{text}')

    def ask(self, text: str, **options: Any) -> dict[str, Any]:
        return self.client().post("/ask", {"text": text, "stream": False, **options})
