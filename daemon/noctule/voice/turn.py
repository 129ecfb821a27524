"""One turn of the assistant: a command recognised while it is spoken, answered, the answer spoken. One thread.

    wake word -> words appear -> end of the turn -> brain -> answer, spoken while it is being written

The sound is read from the ring, so nothing is lost while the thread is busy, up to the ring's length. The turn ends
by the recogniser's own judgement or by silence, whichever comes first. A command of which the recogniser is not sure
is asked for once more instead of being acted on.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from noctule.audio.chunk import RATE
from noctule.core.errors import BusyError, CancelledError, NoctuleError
from noctule.lm.speech.stt import EndOfTurn, Reading
from noctule.lm.speech.words import Word
from noctule.voice.latency import TurnLatency
from noctule.voice.questions import GIVEN_UP, LEFT, SORRY, answer_to, question, tell_race
from noctule.voice.speech_handle import SpeechHandle
from noctule.voice.stt.base import Guided
from noctule.voice.transcript import WAKE_LAG, Spoken, Transcript, Wording
from noctule.voice.turn_context import NAME, NAP, TurnContext
from noctule.voice.utterance import Opening, Utterance

#: seconds that one wait for a remote engine may take at most (speech.timeout, and a little).
REMOTE = 130.0
#: samples given to the recogniser at once: a backlog is worked off in steps between which interruptions are seen.
BLOCK = RATE // 2


class Turn:
    """opening: what began it; noticed: when, on the monotonic clock."""

    def __init__(self, desk: TurnContext, opening: Opening, noticed: float) -> None:
        self._desk, self._opening = desk, opening
        self._ledger = TurnLatency(opening.woken, noticed)
        self._facts: dict[str, Any] = {}
        #: whether the words were told; how sure it was of words that were not sure enough.
        self._told = False
        self._unsure: float | None = None
        #: the sentence that must be asked back, "" for none.
        self._asked = ""
        #: the command as it was last shown.
        self._shown = ""
        #: the command's sound, once it has ended; how the turn ended, and where its time went.
        self.utterance: Utterance | None = None
        self.outcome: dict[str, Any] = {}

    def run(self) -> None:
        """To its end, whatever that is. Only a mistake of ours is raised, after it was told."""
        opening = self._opening
        try:
            self._steps()
        except CancelledError as error:
            self._end("session.cancelled", f"The turn was given up: {error}")
        except NoctuleError as error:
            self._end("session.failed", f"The turn failed: {error}", 4, code=error.code, hint=error.hint)
        except Exception as error:
            what = f"The turn failed: the recogniser broke ({type(error).__name__}) and is restarted"
            self._end("session.failed", what, 3, code="bug")
            raise
        finally:
            self._desk.session.done(opening.turn)

    def _end(self, kind: str, message: str, level: int = 6, **fields: Any) -> None:
        """The last event of a turn, with its ledger."""
        self._ledger.mark("total", self._desk.clock.monotonic())
        times = self._ledger.entries()
        self.outcome = {"turn": self._opening.turn, "outcome": kind.partition(".")[2], **times}
        self._desk.bus.publish(kind, NAME, message, level, turn=self._opening.turn, **fields, **times)

    def _check(self) -> None:
        if self._desk.host.over(self._opening.turn):
            raise CancelledError("a later wake word or stop word interrupted it")

    def _steps(self) -> None:
        desk = self._desk
        found = self._hear()
        if found is None:
            return  # the session has said why
        command, readings = found
        assert self.utterance is not None
        facts: dict[str, Any] = {"seconds": round(self.utterance.seconds, 2), "reason": self.utterance.reason}
        self._facts = facts
        if desk.recogniser is None:
            message = "A command was heard, but no recogniser is at work (speech.stt), so nobody understood it"
            self._end("session.unrecognised", message, 4, **facts)
            return
        wordings = command.wordings(readings)
        if not wordings[0].text:
            self._end("session.unrecognised", "The recogniser found no words", **facts)
            return
        if (wanted := self._answered(wordings)) is None:
            return
        wordings = wanted
        if len(wordings) == 1 and not self._settle(wordings[0], wordings[0].confidence):
            self._ask_again(self._begin_to_speak())
        else:
            self._respond(wordings)

    def _answered(self, wordings: tuple[Wording, ...]) -> tuple[Wording, ...] | None:
        """What is to be done after a question was asked back, or None after asking one, or where no was the
        answer."""
        desk, opening = self._desk, self._opening
        answer = answer_to(wordings[0].text) if opening.question else None
        if answer:
            return (Wording(opening.question),)
        if answer is not None or (self._asked and not opening.again):
            self._settle(wordings[0], None)
            text = LEFT if answer is not None else question(self._asked)
            spoken = self._say(text)
            told = "A question was answered with no" if answer is not None else "Asked back what was nearly clear"
            self._end("session.asked", told, 6, reply=text, spoken=spoken)
            if answer is None:
                desk.session.ask_again(opening.turn, self._asked)
            return None
        return wordings

    def _say(self, text: str) -> bool:
        """Speak a sentence; whether it was, to its end."""
        saying = self._begin_to_speak()
        if saying is None:
            return False
        saying.put(text)
        return self._spoken(saying)

    def _settle(self, wording: Wording, sure: float | None) -> bool:
        """Tell the words that are taken; whether they are sure enough. Perhaps in the brain's thread."""
        desk, facts = self._desk, self._facts
        if sure is not None:
            facts["confidence"] = round(sure, 3)
        message = f"{len(wording.text.split())} words were recognised"
        desk.bus.publish("session.words", NAME, message, turn=self._opening.turn, words=wording.text, **facts)
        self._told = True
        if sure is None or sure >= desk.least:
            return True
        self._unsure = sure
        return False

    # -- hearing -------------------------------------------------------------------------------------------------

    def _hear(self) -> tuple[Transcript, Sequence[Reading]] | None:
        """Recognise the command while it is being spoken; None when it was broken off."""
        desk, opening = self._desk, self._opening
        command = Transcript("" if opening.again else opening.phrase, opening.lead)
        desk.part.expect(REMOTE)
        listening = desk.recogniser.begin() if desk.recogniser is not None else None
        if isinstance(listening, Guided):
            listening.lead = 0.0 if opening.again else opening.lead + WAKE_LAG
        try:
            position, utterance = opening.first, None
            while utterance is None or position < utterance.last:
                desk.part.beat()
                utterance = utterance or desk.host.ended(opening.turn)
                last = utterance.last if utterance is not None else desk.ring.end
                if desk.host.over(opening.turn):
                    return None
                if last <= position:
                    if last < opening.first:
                        return None  # the source was opened anew: its numbers begin again
                    desk.host.wait(NAP)
                    continue
                samples, lost = desk.ring.read(position, min(last, position + BLOCK))
                position += lost + len(samples)
                if listening is not None:
                    self._take(command, listening.feed(samples), listening.guess)
                    if isinstance(listening, Guided):
                        desk.session.wait_for(opening.turn, listening.silence)
            self.utterance = utterance
            self._ledger.spoke = utterance.spoke
            self._ledger.mark("ended", utterance.ended)
            if listening is not None:
                desk.part.expect(REMOTE)
                self._take(command, listening.finish(max(0.0, utterance.ended - utterance.spoke)), ())
                if isinstance(listening, Guided):
                    self._asked = listening.asked
                    tell_race(desk.bus, opening.turn, listening.weighed)
                desk.part.beat()
            self._check()
            return command, listening.readings if listening is not None else ()
        finally:
            if listening is not None:
                listening.cancel()

    def _take(self, command: Transcript, heard: Sequence[Word | EndOfTurn], guess: Sequence[Word]) -> None:
        over = False
        for item in heard:
            over = over or isinstance(item, EndOfTurn)
            if command.add(item):
                self._show(command)
        ahead = command.ahead(guess)
        self._show(ahead)
        if over and ahead.words:  # what is left of the wake word is no command yet
            self._desk.session.end_of_turn(self._opening.turn)

    def _show(self, command: Transcript) -> None:
        """Tell how far the command is, when that is news: its last words may be taken back, but fewer are no news."""
        desk, text = self._desk, command.text
        if not text or f"{self._shown} ".startswith(f"{text} "):
            return
        self._shown = text
        self._ledger.mark("words", desk.clock.monotonic(), again=True)
        last = command.words[-1]
        facts = {} if last.confidence is None else {"confidence": round(last.confidence, 3)}
        desk.bus.publish(
            "speech.words", NAME, "A word was heard", 7,
            turn=self._opening.turn, words=last.text, text=text, count=len(command.words), **facts,
        )  # fmt: skip

    # -- answering -----------------------------------------------------------------------------------------------

    def _respond(self, wordings: tuple[Wording, ...]) -> None:
        desk, turn = self._desk, self._opening.turn
        saying = self._begin_to_speak()

        def emit(piece: str) -> None:
            self._ledger.mark("token", desk.clock.monotonic())
            if saying is not None:
                saying.put(piece)

        def settle(index: int, sure: float | None) -> bool:
            # a brain that only talks cannot tell: then it is the recogniser's own judgement
            return self._settle(wordings[index], wordings[index].confidence if sure is None else sure)

        try:
            result = desk.answer(Spoken(wordings, settle), emit, lambda: desk.host.over(turn), desk.part.beat)
            self._check()
            reply = str(result["reply"])
            if "token" not in self._ledger.marks and reply:
                emit(reply)
        except BaseException:
            if not self._told:
                self._settle(wordings[0], wordings[0].confidence)
            if saying is not None:
                saying.cancel()
            raise
        if self._unsure is not None:
            self._ask_again(saying)
            return
        spoken = saying is not None and self._spoken(saying) and bool(reply)
        self._check()
        self._end("session.turn", "A turn is complete", reply=reply, spoken=spoken)

    def _begin_to_speak(self) -> SpeechHandle | None:
        voice = self._desk.voice
        if voice is None or not voice.speaks:
            return None
        try:
            return voice.begin(self._first_sound)
        except BusyError as error:
            self._not_spoken(error)
            return None

    def _first_sound(self) -> bool:
        """Called in the voice's thread."""
        self._ledger.mark("sound", self._desk.clock.monotonic())
        return self._desk.session.speaking(self._opening.turn)

    def _spoken(self, saying: SpeechHandle) -> bool:
        """Wait until the answer is spoken; whether it was, to its end. A voice that fails is told, not raised."""
        saying.close()
        try:
            while (played := saying.wait(NAP)) is None:
                self._desk.part.beat()
                if self._desk.host.over(self._opening.turn):
                    saying.cancel()
        except NoctuleError as error:
            self._not_spoken(error)
            return False
        return played

    def _not_spoken(self, error: NoctuleError) -> None:
        message = f"The answer was not spoken: {error}"
        self._desk.bus.publish("voice.failed", NAME, message, 6, turn=self._opening.turn, code=error.code)

    def _ask_again(self, saying: SpeechHandle | None) -> None:
        """Once; then give up politely."""
        desk, opening, sure = self._desk, self._opening, self._unsure or 0.0
        text, spoken = GIVEN_UP if opening.again else SORRY, False
        if saying is not None:
            saying.put(text)
            spoken = self._spoken(saying)
        self._check()
        end = "given up" if opening.again else "asking again"
        self._end(
            "session.unsure",
            f"Not sure enough of the words ({sure:.2f}, at least {desk.least:.2f}): {end}",
            5,
            reply=text, spoken=spoken, confidence=round(sure, 3), threshold=round(desk.least, 3), again=opening.again,
        )  # fmt: skip
        if not opening.again:
            desk.session.ask_again(opening.turn)
