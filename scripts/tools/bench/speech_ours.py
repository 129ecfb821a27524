"""Noctule's side of `scripts/bench speech`: python speech_ours.py PACKAGE THREADS CACHE_DIR."""

from __future__ import annotations

import sys
from pathlib import Path

_SCRIPTS = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(_SCRIPTS), str(_SCRIPTS.parent / "daemon")]

import numpy as np  # noqa: E402

from noctule.lm.speech.codec import Codec  # noqa: E402
from noctule.lm.speech.model import SpeechModel  # noqa: E402
from noctule.lm.speech.pair import find_codec  # noqa: E402
from noctule.lm.speech.session import Hooks  # noqa: E402
from tools.bench.speech_protocol import Mark, now, serve  # noqa: E402


def main(folder: Path, threads: int, cache_dir: Path) -> None:
    model = SpeechModel.load(folder, threads=threads, cache_dir=cache_dir)
    codec = Codec.load(find_codec(folder), threads=threads, cache_dir=cache_dir)
    layout = model.layout
    marks: list[Mark] = []

    def text(token: int) -> int:
        marks.append(now())
        return token

    session = model.session(seed=0, hooks=Hooks(text=text))
    encoder, decoder = codec.encoder(), codec.decoder() if layout.dep_q else None
    pcm = (np.random.default_rng(0).standard_normal(codec.shape.frame_samples) * 0.1).astype(np.float32)

    def frame() -> list[Mark]:
        marks[:] = [now()]
        codes = encoder.step(pcm)
        marks.append(now())
        tokens = session.step(codes[: layout.outside])
        marks.append(now())
        if decoder is not None and tokens is not None:
            decoder.step(tokens[1:])
        marks.append(now())
        return list(marks)

    serve(frame)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]))
