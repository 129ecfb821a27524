"""Speech to text by somebody else's recogniser, over the Wyoming protocol (rhasspy/wyoming). L3.

Used while Noctule has no speech model of its own in force, or when its owner prefers another engine. Each
transcription is one connection: transcribe, audio-start, audio-chunk…, audio-stop, and a transcript comes back.
"""

from __future__ import annotations

import asyncio
import warnings

from noctule.audio.chunk import RATE, Pcm
from noctule.errors import InputError, UnavailableError

#: samples in one audio-chunk event: 100 ms.
BLOCK = RATE // 10


def check_uri(uri: str) -> None:
    """Refuse an address the protocol cannot use. Raises InputError."""
    if not uri.startswith(("tcp://", "unix://")):
        raise InputError(f'"{uri}" is no Wyoming address.', "write tcp://HOST:PORT or unix:///path/of/socket")


def load() -> None:
    """Import the wyoming package. Raises UnavailableError where the extra "voice" is not installed."""
    try:
        with warnings.catch_warnings():
            # It imports audioop, which Python 3.11 and 3.12 complain about; nothing here uses it.
            warnings.simplefilter("ignore", DeprecationWarning)
            import wyoming.audio
    except ImportError:
        raise UnavailableError("The wyoming package is not installed.", "pip install noctule[voice]") from None
    assert wyoming.audio


class WyomingRecogniser:
    """uri: tcp://HOST:PORT or unix://PATH; language: "en", or "" to let the engine choose."""

    def __init__(self, uri: str, language: str = "", timeout: float = 15.0) -> None:
        check_uri(uri)
        self.uri, self._language, self._timeout = uri, language, timeout

    def transcribe(self, samples: Pcm) -> str:
        """The words in int16 mono 16 kHz `samples`, "" when there were none. Raises UnavailableError."""
        load()
        try:
            return asyncio.run(asyncio.wait_for(self._talk(samples), self._timeout))
        except (TimeoutError, asyncio.TimeoutError):
            raise UnavailableError(f"The recogniser at {self.uri} did not answer in {self._timeout:g} s.") from None
        except (OSError, ValueError, KeyError) as error:
            raise UnavailableError(f"The recogniser at {self.uri} cannot be used: {error}.") from None

    async def _talk(self, samples: Pcm) -> str:
        from wyoming.asr import Transcribe, Transcript
        from wyoming.audio import AudioChunk, AudioStart, AudioStop
        from wyoming.client import AsyncClient

        async with AsyncClient.from_uri(self.uri) as client:
            await client.write_event(Transcribe(language=self._language or None).event())
            await client.write_event(AudioStart(rate=RATE, width=2, channels=1).event())
            for start in range(0, len(samples), BLOCK):
                audio = samples[start : start + BLOCK].astype("<i2").tobytes()
                await client.write_event(AudioChunk(rate=RATE, width=2, channels=1, audio=audio).event())
            await client.write_event(AudioStop().event())
            while (event := await client.read_event()) is not None:
                if Transcript.is_type(event.type):
                    return str(Transcript.from_event(event).text).strip()
        raise ConnectionError("it closed the connection without a transcript")
