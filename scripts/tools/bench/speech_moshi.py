"""moshi's side of `scripts/bench speech`: python speech_moshi.py CHECKPOINT CODEBOOKS THREADS float|quantised.

PyTorch on the CPU as moshi runs there: float32, or moshi's own int8 mode (`quantize: true`, bitsandbytes). Its codec
has no quantised mode and is the same in both.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

os.environ["NO_TORCH_COMPILE"] = "1"
_SCRIPTS = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(_SCRIPTS), str(_SCRIPTS.parent / "daemon")]

import json  # noqa: E402

import torch  # noqa: E402
from moshi.models import LMGen, loaders  # noqa: E402

from builders.export.kyutai.reference import FILE_KEYS  # noqa: E402
from tools.bench.speech_protocol import Mark, now, serve  # noqa: E402


@torch.no_grad()
def main(folder: Path, codebooks: int, threads: int, mode: str) -> None:
    torch.set_num_threads(threads)
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    kwargs = {key: value for key, value in config.items() if key not in FILE_KEYS}
    torch.manual_seed(0)
    model = loaders.get_moshi_lm(None, {**kwargs, "quantize": mode == "quantised"}, dtype=torch.float32).eval()
    codec = loaders.get_mimi(folder / "mimi.safetensors", device="cpu", num_codebooks=codebooks).eval()
    marks: list[Mark] = []
    generator = LMGen(model, on_text_hook=lambda _: marks.append(now()))
    generator.streaming_forever(1)
    codec.streaming_forever(1)
    pcm = torch.randn(1, 1, codec.frame_size) * 0.1

    def frame() -> list[Mark]:
        marks[:] = [now()]
        codes = codec.encode(pcm)
        marks.append(now())
        tokens = generator.step(codes)
        marks.append(now())
        if model.dep_q and tokens is not None:
            codec.decode(tokens[:, 1:])
        marks.append(now())
        return list(marks)

    serve(frame)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4])
