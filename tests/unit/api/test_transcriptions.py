"""/v1/audio/transcriptions as OpenAI's own client meets it, and as those who do not behave do."""

from __future__ import annotations

import io
import itertools
import subprocess
import urllib.error
import urllib.request
import wave
from collections.abc import Callable, Iterator
from pathlib import Path

import moonshine_world as sounds
import numpy as np
import openai
import pytest
from app_world import WAIT, World

from noctule.api.tcp import TcpApi
from noctule.app import Plugged
from noctule.audio.resample import Resampler
from noctule.service.component import Host


class Port(World):
    """A service with the TCP port, and the client."""

    def __init__(self, folder: Path, more: str = "") -> None:
        super().__init__(folder)
        self.configure(f'models = ["{sounds.MODELS}"]\n{more}')
        text = self.file.read_text().replace("[service]", 'tcp = "127.0.0.1:0"\n[service]', 1)
        self.file.write_text(text)
        self.ports: list[TcpApi] = []
        self.senses = self._senses

    def _senses(self, host: Host) -> list[Plugged]:
        self.ports.append(TcpApi(host))
        return [Plugged(self.ports[-1])]

    @property
    def token(self) -> str:
        return (self.folder / "state" / "token").read_text().strip()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.ports[0].port}/v1"

    def ai(self) -> openai.OpenAI:
        return openai.OpenAI(base_url=self.url, api_key=self.token, max_retries=0, timeout=60)

    def serve(self, script: Callable[[openai.OpenAI], None]) -> None:
        def whole() -> None:
            self.until("service.ready")
            with self.ai() as ai:
                script(ai)

        assert self.run(whole).stuck == []


@pytest.fixture
def port(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Port]:
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    monkeypatch.delenv("WATCHDOG_USEC", raising=False)
    made = Port(tmp_path)
    yield made
    made.notify.close()


def wav_of(samples: np.ndarray, rate: int = 16000, channels: int = 1) -> bytes:
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes((np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes())
    return out.getvalue()


def test_openais_client_gets_every_format(port: Port) -> None:
    def script(ai: openai.OpenAI) -> None:
        with sounds.TIMER.open("rb") as file:
            found = ai.audio.transcriptions.create(file=file, model="whisper-1")
        assert found.text.endswith(sounds.TIMER_WORDS)
        data = ("order.wav", sounds.TIMER.read_bytes())
        text = ai.audio.transcriptions.create(file=data, model="moonshine-tiny-en", response_format="text")
        assert text.strip() == found.text
        whole = ai.audio.transcriptions.create(
            file=data, model="noctule", response_format="verbose_json", timestamp_granularities=["word", "segment"]
        )
        assert whole.words is not None
        assert whole.segments is not None
        assert [word.word for word in whole.words] == found.text.split()
        assert whole.words[-1].word == "minutes."
        # "minutes" is said from 2.9 to 3.3 s of the recording
        assert 2.6 < whole.words[-1].start < 3.2
        assert all(a.end <= b.start + 0.01 for a, b in itertools.pairwise(whole.words))
        assert " ".join(segment.text for segment in whole.segments) == found.text
        assert whole.duration == pytest.approx(3.3, abs=0.3)
        srt = ai.audio.transcriptions.create(file=data, model="noctule", response_format="srt")
        vtt = ai.audio.transcriptions.create(file=data, model="noctule", response_format="vtt")
        # ffmpeg, which nobody here wrote, reads both and finds the same line in them
        for name, body in (("a.srt", srt), ("a.vtt", vtt)):
            path = port.folder / name
            path.write_text(str(body))
            shown = subprocess.run(
                ["ffmpeg", "-loglevel", "error", "-i", str(path), "-f", "srt", "-"], capture_output=True, check=True
            ).stdout.decode()
            assert found.text in shown.replace("\n", " ")
        pieces = [
            event.delta
            for event in ai.audio.transcriptions.create(file=data, model="noctule", stream=True)
            if event.type == "transcript.text.delta"
        ]
        assert "".join(pieces) == found.text

    port.serve(script)


def test_sound_of_every_kind_is_heard_or_refused_in_a_sentence(port: Port) -> None:
    speech = sounds.read(sounds.TIMER)
    stereo = np.repeat(speech, 2)
    loud = np.clip(speech * 5, -1, 1)

    def heard(ai: openai.OpenAI, data: bytes, name: str = "a.wav") -> str:
        return ai.audio.transcriptions.create(file=(name, data), model="noctule").text.lower()

    def script(ai: openai.OpenAI) -> None:
        assert "timer for two minutes" in heard(ai, wav_of(speech))
        assert "timer for two minutes" in heard(ai, wav_of(stereo, channels=2))
        assert "timer for two minutes" in heard(ai, wav_of(np.repeat(speech, 3), rate=48000))
        telephone = Resampler(16000, 8000)
        narrow = np.concatenate([telephone.push(speech), telephone.finish()])
        assert "minutes" in heard(ai, wav_of(narrow, rate=8000))
        assert "timer for two minutes" in heard(ai, wav_of(speech + 0.2))
        assert "minutes" in heard(ai, wav_of(loud))
        with pytest.raises(openai.BadRequestError, match=r"a\.wav holds no audio"):
            heard(ai, wav_of(np.zeros(0)))
        assert heard(ai, wav_of(np.zeros(16000 * 120))) == ""
        with pytest.raises(openai.BadRequestError, match=r"song\.mp3") as refused:
            heard(ai, b"ID3\x04" + bytes(400), "song.mp3")
        assert "/tmp" not in str(refused.value)
        with pytest.raises(openai.NotFoundError, match="no model"):
            ai.audio.transcriptions.create(file=("a.wav", wav_of(speech)), model="whisper-9")
        with pytest.raises(openai.BadRequestError, match="English"):
            ai.audio.transcriptions.create(file=("a.wav", wav_of(speech)), model="noctule", language="de")

    port.serve(script)


def test_what_is_too_large_or_no_form_is_refused(port: Port) -> None:
    port.file.write_text(port.file.read_text().replace("[service]", "max_audio = 65536\n[service]", 1))

    def script(ai: openai.OpenAI) -> None:
        with pytest.raises(openai.APIStatusError, match="larger than 65536") as refused:
            ai.audio.transcriptions.create(file=("a.wav", wav_of(np.zeros(60_000))), model="noctule")
        assert refused.value.status_code == 413
        form = "multipart/form-data"
        for body, kind in ((b"{}", "application/json"), (b"--x\r\n", f"{form}; boundary=x"), (b"", form)):
            head = {"Authorization": f"Bearer {port.token}", "Content-Type": kind}
            request = urllib.request.Request(f"{port.url}/audio/transcriptions", body, head)
            with pytest.raises(urllib.error.HTTPError) as answer:
                urllib.request.urlopen(request, timeout=WAIT)
            with answer.value as error:
                assert error.code == 400, kind
                assert b'"message"' in error.read()

    port.serve(script)


def test_without_a_recogniser_that_writes_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    port = Port(tmp_path, '[speech]\nstt = "off"\n')

    def script(ai: openai.OpenAI) -> None:
        with pytest.raises(openai.APIStatusError, match=r"speech\.stt") as refused:
            ai.audio.transcriptions.create(file=("a.wav", sounds.TIMER.read_bytes()), model="noctule")
        assert refused.value.status_code == 503

    port.serve(script)
    port.notify.close()
