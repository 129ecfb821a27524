"""Numbers that the data, the model, the exporter and the manifest share."""

from __future__ import annotations

from dataclasses import dataclass

RATE = 16_000
#: one frame: 80 ms, as Mimi's
FRAME = 1280
FRAME_RATE = RATE / FRAME
#: feature step and window, samples; eight steps a frame
HOP, WINDOW, N_FFT, MELS = 160, 400, 512, 64
STEPS = FRAME // HOP
#: codebooks, numbers a codebook is made of, levels of each number: 4 ** 5 = 1024 codes
CODEBOOKS, DIGITS, LEVELS = 8, 5, 4
CARD = LEVELS**DIGITS
#: text follows the end of its word by this many frames (0.4 s)
DELAY = 5
#: log-mel features are (log power - MEAN) / SPREAD
FLOOR, MEAN, SPREAD = 1e-6, -5.0, 4.0
#: phone labels are told for every 20 ms
PHONE_STEPS = 4


@dataclass(frozen=True)
class LmShape:
    """The speech-text model, in the terms of moshi's config.json."""

    dim: int = 192
    layers: int = 4
    heads: int = 4
    hidden: int = 384
    pieces: int = 1000
    padding: int = 3
    end_padding: int = 0
    context: int = 256
    max_period: float = 10_000.0
