"""The voice: one thread that turns the words of an answer into sound while they are still being written.

    saying = mouth.begin(started)      # any thread; `started()` is called before the first sound and may forbid it
    saying.put("It is "); saying.put("noon."); saying.close()
    while saying.wait(0.05) is None: …  # True: spoken to its end; False: interrupted

Whoever interrupts calls `stop`: the loudspeaker falls silent at once, and this thread drops the rest. What waits is
bounded: beyond `WAITING` sayings a further one is refused and counted, and the voice is never further ahead of the
loudspeaker than `AHEAD` seconds, so that an interruption wastes little work.
"""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Callable
from typing import Any

from noctule.audio.chime import RATE as CHIME_RATE
from noctule.audio.chime import chime
from noctule.audio.speaker import Loudspeaker
from noctule.core.clock import Clock
from noctule.core.errors import BusyError, NoctuleError, UnavailableError, handed_over
from noctule.core.events import Bus
from noctule.service.supervisor import Job, Part
from noctule.voice.speech_handle import SpeechHandle, Synthesis, Synthesizer

NAME = "voice"
#: seconds without work after which the thread counts as frozen, and loading and one long wait for a remote engine.
MAX_AGE, LOAD_LIMIT = 15.0, 300.0
#: sayings that may wait.
WAITING = 4
#: seconds of sound made before they are played.
AHEAD = 1.0
#: seconds of a nap while there is nothing to do.
PATIENCE, NAP = 1.0, 0.02


class SpeechWorker:
    """load: makes the synthesizer in the worker's thread, None where there is none; it says so itself."""

    def __init__(
        self, bus: Bus, clock: Clock, loudspeaker: Loudspeaker, load: Callable[[], Synthesizer | None]
    ) -> None:
        self._bus, self._clock = bus, clock
        self._loudspeaker, self._load = loudspeaker, load
        self._queue: queue.Queue[SpeechHandle | None] = queue.Queue(maxsize=WAITING)
        self._lock = threading.Lock()
        self._current: SpeechHandle | None = None
        self._waiting: list[SpeechHandle] = []
        self._synthesizer: Synthesizer | None = None
        #: whether texts can be spoken; while the voice is being loaded they can wait for it.
        self.speaks = True
        self._trouble = ""
        self._retry = False
        #: sayings that were refused because too many waited; spoken to their end; interrupted.
        self.dropped = self.spoken = self.interrupted = 0
        self.job = Job(NAME, self.run, MAX_AGE, self._wake)

    # -- any thread ----------------------------------------------------------------------------------------------

    def begin(self, started: Callable[[], bool] = lambda: True) -> SpeechHandle:
        """A new text to speak. Raises BusyError when too many wait."""
        return self._offer(SpeechHandle(started, self._clock))

    def ring(self, started: Callable[[], bool] = lambda: True) -> SpeechHandle:
        """The chime, in the place of words. Raises BusyError."""
        return self._offer(SpeechHandle(started, self._clock, ring=True))

    def _offer(self, saying: SpeechHandle) -> SpeechHandle:
        with self._lock:
            try:
                self._queue.put_nowait(saying)
            except queue.Full:
                self.dropped += 1
                raise BusyError(f"{WAITING} answers wait to be spoken already.") from None
            self._waiting.append(saying)
        return saying

    def stop(self) -> None:
        """Fall silent now, and drop what waits."""
        with self._lock:
            for saying in self._waiting:
                saying.cancel()
            if self._current is not None:
                self._loudspeaker.stop()

    def retry(self) -> None:
        """Look again for a voice that was missing: the configuration or the packages may have changed."""
        self._retry = True

    def report(self) -> dict[str, Any]:
        """For `status`."""
        synthesizer = self._synthesizer
        return {
            "voice": synthesizer.name if synthesizer is not None else None,
            "loudspeaker": self._loudspeaker.name,
            "trouble": self._trouble,
            "spoken": self.spoken,
            "interrupted": self.interrupted,
            "dropped": self.dropped,
            "underruns": getattr(self._loudspeaker, "underruns", 0),
        }

    def _wake(self) -> None:
        self.stop()
        with contextlib.suppress(queue.Full):  # full: there is something to wake up for
            self._queue.put_nowait(None)

    # -- the worker's thread -------------------------------------------------------------------------------------

    def run(self, part: Part, stop: threading.Event) -> None:
        """Load, then: wait for a text, speak it, beat."""
        part.expect(LOAD_LIMIT)
        self.speaks = True
        try:
            self._synthesizer = self._load()
            self.speaks = self._synthesizer is not None
            while not stop.is_set():
                part.beat()
                if self._retry:
                    self._retry = False
                    part.expect(LOAD_LIMIT)
                    self._synthesizer = self._synthesizer or self._load()
                    self.speaks = self._synthesizer is not None
                try:
                    saying = self._queue.get(timeout=PATIENCE)
                except queue.Empty:
                    continue
                if saying is not None:
                    self._serve(saying, part)
        finally:
            self.speaks = False
            self._drain()
            synthesizer, self._synthesizer = self._synthesizer, None
            if synthesizer is not None:
                synthesizer.close()

    def _drain(self) -> None:
        """Nobody speaks what waits any more: tell those who wait for it."""
        while True:
            try:
                saying = self._queue.get_nowait()
            except queue.Empty:
                return
            if saying is not None:
                self._forget(saying)
                saying.result.set_exception(UnavailableError("The voice is out of service.", "noctule status"))

    def _forget(self, saying: SpeechHandle) -> None:
        with self._lock:
            self._current = None
            if saying in self._waiting:
                self._waiting.remove(saying)

    def _serve(self, saying: SpeechHandle, part: Part) -> None:
        with self._lock:
            self._current = saying
        try:
            played = self._say(saying, part)
        except NoctuleError as error:
            self._tell(error)
            self._forget(saying)
            saying.result.set_exception(handed_over(error))
        except BaseException as error:
            self._forget(saying)
            failed = UnavailableError(f"The voice failed ({type(error).__name__}) and is restarted.")
            saying.result.set_exception(failed)
            raise
        else:
            self._forget(saying)
            if played:
                self._trouble = ""
            self.spoken += played
            self.interrupted += not played
            saying.result.set_result(played)
        finally:
            self._loudspeaker.close()

    def _tell(self, error: NoctuleError) -> None:
        """Once for each kind of trouble, not once for each answer."""
        level = 6 if error.message == self._trouble else 4
        self._trouble = error.message
        self._bus.publish(
            "voice.failed", NAME, f"An answer was not spoken: {error}", level, code=error.code, hint=error.hint
        )

    def _say(self, saying: SpeechHandle, part: Part) -> bool:
        """Speak one text; whether its end was reached."""
        if saying.ring:
            self._loudspeaker.start(CHIME_RATE)
            if saying.cancelled.is_set() or not saying.started():
                return False
            self._loudspeaker.write(chime())
            return self._finish(saying, part)
        if self._synthesizer is None:
            raise UnavailableError("No voice is configured (speech.tts), so nothing can be spoken.")
        part.expect(LOAD_LIMIT)  # one that is loaded with its first text
        synthesis = self._synthesizer.begin()
        try:
            return self._stream(saying, synthesis, part)
        finally:
            synthesis.cancel()

    def _stream(self, saying: SpeechHandle, synthesis: Synthesis, part: Part) -> bool:
        begun = complete = False
        while not saying.cancelled.is_set():
            part.beat()
            text, closed = saying.take()
            if text:
                synthesis.more(text)
            if closed and not complete:
                complete = True
                synthesis.close()
            sound = synthesis.step()
            if sound is None:
                if synthesis.done:
                    return self._finish(saying, part) if begun else True
                if not complete:
                    saying.moved()  # it waits for words, which is not its fault
                    saying.news.wait(NAP)
                continue
            if not begun:
                begun = True
                self._loudspeaker.start(synthesis.rate)
                if saying.cancelled.is_set() or not saying.started():
                    return False
            self._loudspeaker.write(sound)
            saying.moved()
            while self._loudspeaker.ahead() > AHEAD and not saying.cancelled.is_set():
                part.beat()
                saying.moved()
                saying.cancelled.wait(NAP)
        return False

    def _finish(self, saying: SpeechHandle, part: Part) -> bool:
        self._loudspeaker.finish()
        while not saying.cancelled.is_set() and not self._loudspeaker.played(NAP):
            part.beat()
            saying.moved()
        return not saying.cancelled.is_set()
