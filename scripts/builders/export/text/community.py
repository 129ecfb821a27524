"""litert-community layout: exports of `litert_torch.generative` as packages, unchanged.

`litert_torch.generative.layers.lora` imports TensorFlow for nothing but the flatbuffer schema;
`schema_without_tensorflow` lends it ai-edge-litert's copy of the same file for that one import.
"""

from __future__ import annotations

import importlib
import sys
import types
from pathlib import Path
from typing import Any

from noctule.inference import runtime as tflite
from noctule.inference.manifest import describe_signatures


def schema_without_tensorflow() -> None:
    """Import the module that wants TensorFlow's schema, with a stand-in that is taken away again."""
    if "litert_torch.generative.layers.lora" in sys.modules:
        return
    importlib.import_module("litert_torch")
    for probes_for_tensorflow in ("torch._dynamo", "torch._dynamo.convert_frame"):
        importlib.import_module(probes_for_tensorflow)
    schema = importlib.import_module("ai_edge_litert.schema_py_generated")
    names = ["tensorflow", "tensorflow.lite", "tensorflow.lite.python"]
    for name in names:
        sys.modules[name] = types.ModuleType(name)
        sys.modules[name].__path__ = []
    sys.modules["tensorflow.lite.python"].schema_py_generated = schema  # type: ignore[attr-defined]
    sys.modules["tensorflow.lite.python.schema_py_generated"] = schema
    try:
        importlib.import_module("litert_torch.generative.layers.lora")
    finally:
        for name in [*names, "tensorflow.lite.python.schema_py_generated"]:
            sys.modules.pop(name, None)


def community_graph_entry(path: Path) -> dict[str, Any]:
    """The manifest's "graph" object of an official export."""
    with tflite.load_model(path) as model:
        return {
            "file": path.name,
            "layout": "litert-community",
            "signatures": describe_signatures(model.signatures),
        }
