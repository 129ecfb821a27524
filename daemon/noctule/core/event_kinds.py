"""Every kind of event, with the MESSAGE_ID and the help that `journalctl -x` shows. Data only.

A MESSAGE_ID, once shipped, keeps its meaning for ever: people filter on it. It is derived from the kind's name, so
that it cannot be mistyped, and a test holds the list of shipped ones.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass

_SPACE = uuid.UUID("6d3f1c0a-52a5-4c57-9a54-7a0b3e1f9e55")


@dataclass(frozen=True)
class Kind:
    """name: dotted; title: the catalog's subject; help: what it means and what to do."""

    name: str
    title: str
    help: str

    @property
    def message_id(self) -> str:
        """32 hex digits, as journald wants them."""
        return uuid.uuid5(_SPACE, self.name).hex


_ALL = (
    Kind("service.starting", "Noctule is starting", "The models named in the configuration are being loaded."),
    Kind("service.ready", "Noctule is ready", "Every enabled part is loaded, warmed up and at work."),
    Kind("service.stopping", "Noctule is stopping", "It was asked to stop; parts get a moment to finish."),
    Kind("service.stopped", "Noctule has stopped", "Every part has ended."),
    Kind("service.overdue", "A part did not stop in time", "It was left behind so that the service could end."),
    Kind("service.drops", "Events were dropped", "A listener was too slow; nothing else is affected."),
    Kind("config.reloaded", "The configuration was reloaded", "Keys that need a restart are named in the entry."),
    Kind(
        "config.rejected",
        "The new configuration has mistakes",
        "The old one stays in force. `noctule config check` names every mistake with its file and line.",
    ),
    Kind("config.applied", "A setting was changed", "It is in force now."),
    Kind("config.restart", "A setting needs a restart", "Type: systemctl restart noctule"),
    Kind(
        "config.failed",
        "A setting could not be put in force",
        "The entry says why. What was in force before goes on; correct the setting and reload again.",
    ),
    Kind(
        "log.level",
        "The verbosity was changed by hand",
        "Until the next reload or start; service.verbosity keeps it.",
    ),
    Kind(
        "governor.eased",
        "Noctule does less, to spare the board",
        "The board is too hot, short of power or short of memory; the entry says which and what was given up. It is"
        " undone by itself when the board is well again. If this is frequent: cooling, a stronger power supply, or a"
        " smaller model. [governor] has the thresholds.",
    ),
    Kind(
        "governor.restored", "Noctule does more again", "A step that spared the board was undone; the entry says why."
    ),
    Kind("part.started", "A part has started", "The entry names it."),
    Kind("part.failed", "A part has failed", "It will be restarted; the entry says why it failed."),
    Kind(
        "part.degraded",
        "A part is out of order",
        "It failed too often, or what it needs is missing. The service stays up without it and tries again;"
        " `noctule status` says why.",
    ),
    Kind("part.recovered", "A part works again", "It was out of order before."),
    Kind(
        "part.frozen",
        "A part is frozen",
        "It has done no work for too long, so the watchdog is no longer fed and systemd will restart the service.",
    ),
    Kind("lm.loaded", "A language model was loaded", "Its files and its golden answers were verified."),
    Kind("lm.refused", "A language model was refused", "The entry says what is wrong with it."),
    Kind(
        "lm.unloaded",
        "An idle language model left memory",
        "The next request loads it again and waits for that. lm.idle_unload and lm.keep_warm_mb decide.",
    ),
    Kind("ask.received", "A request has come", "Its words are logged only with service.log_words."),
    Kind("ask.answered", "A request was answered", "The entry has the token counts and times."),
    Kind("ask.failed", "A request could not be answered", "The entry says why."),
    Kind("ask.refused", "A request was refused", "The queue was full, or the request was not acceptable."),
    Kind("action.done", "An action was taken", "The entry names it and whether it succeeded."),
    Kind("action.failed", "An action failed", "The entry says why."),
    Kind("timer.set", "A timer was set", "It survives a restart."),
    Kind("timer.cancelled", "A timer was cancelled", "It will not fire."),
    Kind("timer.fired", "A timer has fired", "Its time is over."),
    Kind("alarm.set", "An alarm or a reminder was set", "It survives a restart and changes of the clock."),
    Kind("alarm.cancelled", "An alarm or a reminder was cancelled", "It will not ring."),
    Kind(
        "alarm.fired", "An alarm or a reminder rang", "Or it is told as missed, because the service was not running."
    ),
    Kind("audio.opened", "The microphone was opened", "It is being listened to, for wake words only."),
    Kind("audio.closed", "The microphone was closed", "Nothing is heard until it is opened again."),
    Kind(
        "audio.muted",
        "The microphone was muted",
        "The device is closed, not merely ignored, also after a restart. `noctule mute off` ends it.",
    ),
    Kind("audio.unmuted", "The microphone is on again", "It was muted before."),
    Kind("audio.trouble", "The microphone hears nothing useful", "The entry says what is wrong and what helps."),
    Kind("audio.healthy", "The microphone hears again", "It was in trouble before."),
    Kind("wake.heard", "A wake word was heard", "The entry has its score; `noctule wake threshold` tunes it."),
    Kind("wake.loaded", "The wake words were loaded", "Their files were verified."),
    Kind(
        "wake.refused", "Other wake words were refused", "The entry says what is wrong; those before go on listening."
    ),
    Kind("wake.threshold", "A wake word's threshold was changed", "It is in force at once."),
    Kind("wake.saved", "A clip of a wake word was kept", "`noctule wake review` plays and labels the clips."),
    Kind("session.nothing", "Nobody spoke after the wake word", "If this is frequent, raise the threshold."),
    Kind("session.stopped", "A stop word ended the turn", "Noctule sleeps again."),
    Kind("session.interrupted", "An answer was interrupted", "A wake or stop word came while it was being made."),
    Kind(
        "session.utterance",
        "A command was heard",
        "Its sound stays in memory unless the configuration says otherwise.",
    ),
    Kind(
        "session.unrecognised", "A command was not understood", "No recogniser is configured, or it found no words."
    ),
    Kind("session.words", "A command was understood", "The words are logged only with service.log_words."),
    Kind(
        "session.unsure", "The words were not sure enough", "It asked again, or gave up; speech.confidence tunes it."
    ),
    Kind("session.asked", "A command was asked back", "It was nearly clear; a yes acts, a no leaves it."),
    Kind(
        "speech.race", "What may have been said was weighed", "`noctule heard FILE` shows the same for a recording."
    ),
    Kind("speech.words", "A word was heard", "A command is being recognised while it is spoken."),
    Kind("speech.loaded", "A speech model was loaded", "Its files and its golden answers were verified."),
    Kind("speech.missing", "A speech model is missing", "The entry says which, and what is done without."),
    Kind("speech.announced", "Something was said unasked", "A timer that fired, or `noctule say`."),
    Kind("voice.failed", "An answer was not spoken", "The entry says why; it was still written."),
    Kind("session.cancelled", "A turn was given up", "It was interrupted before its answer was ready."),
    Kind("session.failed", "A turn failed", "The entry says why."),
    Kind(
        "session.turn",
        "A turn is complete",
        "Times are milliseconds since the end of speech; wake_ms since the wake word, total_ms from it to the end.",
    ),
    Kind(
        "state.set_aside",
        "A damaged state file was set aside",
        "It was renamed to NAME.corrupt-TIME beside its place, and the service went on without it.",
    ),
    Kind(
        "state.not_kept",
        "Something could not be written to the state folder",
        "It is in force now and will be forgotten at the next start. Is the disk full, or read-only?",
    ),
    Kind("capture.live", "A source gives pictures", "Its display, camera or stream was opened."),
    Kind(
        "capture.lost",
        "A source gives no pictures",
        "The entry says why. It is opened again when what it needs is back; until then nobody gets a picture of it.",
    ),
    Kind("capture.closed", "A source was closed", "Nobody looked at it any more, so its device was let go."),
    Kind("capture.paused", "A source is paused", "Its device is closed until `noctule resume`."),
    Kind("capture.resumed", "A source may be opened again", "It was paused before."),
    Kind("capture.stored", "A picture or clip was stored", "The entry names the file."),
    Kind("capture.full", "A picture could not be stored", "The disk or the quota is full; the entry says which."),
    Kind(
        "page.open",
        "The status page is being served",
        "Its address, with its token, is in page.url beside the socket.",
    ),
    Kind("capture.swept", "Old pictures were removed", "They were beyond capture.max_days or capture.quota_mb."),
    Kind("motion.begin", "Something moves before a camera", "The entry names the source."),
    Kind("motion.end", "Nothing moves any more before a camera", "The entry names the source."),
    Kind("scene.changed", "The picture of a source has changed altogether", "The entry names the source."),
    Kind("api.refused", "A connection was refused", "The entry says who and why."),
)

#: kind name -> Kind
KINDS: dict[str, Kind] = {kind.name: kind for kind in _ALL}


def catalog() -> str:
    """The message catalog for journalctl -x (see systemd.io/CATALOG)."""
    entries = [f"-- {kind.message_id}\nSubject: {kind.title}\nDefined-By: Noctule\n\n{kind.help}\n" for kind in _ALL]
    return "\n".join(entries)
