"""What several tests of speech share: the tiny codec, and what moshi answered for the tiny models in their modes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from noctule.lm.speech.codec import Codec

FIXTURES = Path(__file__).parents[1] / "fixtures"


@pytest.fixture(scope="module")
def codec() -> Iterator[Codec]:
    loaded = Codec.load(FIXTURES / "kyutai-tiny" / "codec")
    yield loaded
    loaded.close()


@pytest.fixture(scope="session")
def moshi_said() -> dict[str, np.ndarray]:
    with np.load(FIXTURES / "kyutai-tiny-modes" / "reference.npz") as z:
        return {name: z[name] for name in z.files}
