"""Exporting takes less memory than twice the checkpoint, however it is quantised."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from builders.export.kyutai.checkpoint import expected
from builders.export.kyutai.parse import read_config
from kyutai_checkpoints import CONFIG, bfloat16, make, save

pytestmark = [pytest.mark.host, pytest.mark.slow, pytest.mark.timeout(900)]

#: a quarter of a billion weights: large beside what the interpreter itself takes
LARGE = {
    "dim": 1024,
    "num_heads": 16,
    "num_layers": 16,
    "hidden_scale": 4.125,
    "depformer_dim": 256,
    "depformer_num_heads": 4,
    "context": 64,
    "max_period": 100000,
}
#: VmHWM, because getrusage counts what the parent held when it made this process
PROGRAM = """
import pathlib, sys
sys.path[:0] = sys.argv[1:3]
import export_lm
code = export_lm.main(sys.argv[3:])
status = dict(line.split(":", 1) for line in pathlib.Path("/proc/self/status").read_text().splitlines())
print("peak", int(status["VmHWM"].split()[0]) * 1024)
sys.exit(code)
"""


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("large")
    make(folder)
    (folder / "config.json").write_text(json.dumps({**CONFIG, **LARGE}))
    linear, other = expected(read_config(folder / "config.json"))
    rng = np.random.default_rng(0)
    save(
        folder / "model.safetensors",
        {
            name: bfloat16(rng.standard_normal(shape, np.float32) * shape[-1] ** -0.5 + ("alpha" in name))
            for name, shape in {**linear, **other}.items()
        },
    )
    return folder


@pytest.mark.parametrize("quant", ["int8", "int4"])
def test_peak_memory_is_under_twice_the_checkpoint(checkpoint: Path, tmp_path: Path, quant: str) -> None:
    root = Path(__file__).parents[2]
    paths = [str(root / "scripts"), str(root / "daemon")]
    arguments = [str(checkpoint), "-o", str(tmp_path / "out"), "--no-codec", "--quant", quant]
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *paths, *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    peak = float(done.stdout.split("peak")[-1])
    size = (checkpoint / "model.safetensors").stat().st_size
    print(f"{quant}: checkpoint {size / 1e6:.0f} MB, peak {peak / 1e6:.0f} MB")
    assert peak < 2 * size
