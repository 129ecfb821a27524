"""Every action Noctule declares. Data only; docs/brain.md explains the format.

The shipped model, noctule-tiny, is trained on exactly this table: after a change of names, arguments or replies,
build it anew with scripts/build_lm.py.
"""

from __future__ import annotations

from noctule.assistant.actions.registry import Argument, Spec

#: Longest timer, in seconds.
LONGEST_TIMER = 86400.0
#: Longest clip, in seconds.
LONGEST_CLIP = 60.0

_NAME = Argument("name", "words", most_words=6)
_LENGTH = Argument("duration", "duration", minimum=1, maximum=LONGEST_TIMER)
_SOURCE = Argument("source", "choice", required=True, choices=("camera", "display"))
_STEP = Argument("step", "percent", minimum=1, maximum=100)

#: The refusals. The first is the one given when the model is not sure enough of anything else.
REFUSALS = {
    "unable": "I can't do that. Ask for help to hear what I can do.",
    "knowledge": "I don't know. I work without the internet and answer only from this board.",
    "devices": "I can't control other devices.",
    "media": "I can't play music, films or games.",
    "people": "I can't call, write to anyone or buy things.",
    "writing": "I can't write or explain things.",
    "negation": "All right, I leave it.",
    "greeting": "Hello. What can I do for you?",
    "thanks": "You're welcome.",
    "self": "I'm Noctule, a small assistant that lives on this board.",
    "timers": "With timers I can only set, list and cancel.",
    "unclear": "I did not understand that.",
}

SPECS: tuple[Spec, ...] = (
    Spec("none", "say that something is beyond me", replies=tuple(REFUSALS.values())),
    Spec("time", "tell the time", replies=("It is {time}.", "Sure, it is {time}."), fields=("time",)),
    Spec(
        "date",
        "tell the date",
        (Argument("day", "choice", required=True, choices=("yesterday", "today", "tomorrow")),),
        ("{date}.",),
        ("date",),
    ),
    Spec(
        "timer.set",
        "set a timer",
        (_LENGTH, _NAME),
        (
            "Timer set for {length}.",
            "Of course. Timer set for {length}.",
            "Timer for {name} set: {length}.",
            "Of course. Timer for {name} set: {length}.",
        ),
        ("length",),
    ),
    Spec("timer.list", "say how long timers have left", (_NAME,), ("{timers}.",), ("timers",)),
    Spec(
        "timer.cancel",
        "cancel timers",
        (Argument("which", "choice", choices=("all",)), _LENGTH, _NAME),
        ("Cancelled {cancelled}.", "Sure, cancelled {cancelled}."),
        ("cancelled",),
    ),
    Spec(
        "snapshot",
        "take a picture with the camera or of the display",
        (_SOURCE,),
        ("I took a picture of the {source}: {file}.",),
        ("file",),
    ),
    Spec(
        "clip",
        "record a clip",
        (_SOURCE, Argument("duration", "duration", minimum=1, maximum=LONGEST_CLIP)),
        ("I recorded {length} from the {source}: {file}.",),
        ("length", "file"),
    ),
    Spec(
        "status",
        "report temperature, memory, disk and uptime",
        (Argument("what", "choice", required=True, choices=("all", "temperature", "memory", "disk", "uptime")),),
        ("{status}.",),
        ("status",),
    ),
    Spec(
        "volume.set",
        "set the volume",
        (Argument("level", "percent", minimum=0, maximum=100),),
        ("Volume at {volume}.", "Sure, volume at {volume}."),
        ("volume",),
    ),
    Spec("volume.up", "turn the volume up", (_STEP,), ("Volume up to {volume}.",), ("volume",)),
    Spec("volume.down", "turn the volume down", (_STEP,), ("Volume down to {volume}.",), ("volume",)),
    Spec("volume.mute", "silence the loudspeaker", replies=("Sound off.",)),
    Spec("volume.unmute", "switch the loudspeaker on again", replies=("Sound on.",)),
    Spec("mute", "close the microphone", replies=("The microphone is off.",)),
    Spec("unmute", "open the microphone again", replies=("The microphone is on.",)),
    Spec("help", "say what I can do", replies=("{abilities}.",), fields=("abilities",)),
    Spec("stop", "be quiet", replies=("Okay.",)),
)

_OF = Argument("of", "duration", minimum=1, maximum=LONGEST_TIMER)
_AT = Argument("at", "words", required=True, most_words=12)

#: Actions that rules over words read (brain/rules.py); the model is not trained on them.
RULE_SPECS: tuple[Spec, ...] = (
    Spec("alarm.set", "set an alarm", (_AT, _NAME), ("{alarm}.",), ("alarm",), True),
    Spec(
        "alarm.remind",
        "remind you of something at a time of day",
        (_AT, Argument("text", "words", required=True, most_words=60)),
        ("{alarm}.",),
        ("alarm",),
        True,
    ),
    Spec("alarm.list", "say which alarms are set", (), ("{alarms}.",), ("alarms",), True),
    Spec(
        "alarm.cancel",
        "cancel alarms",
        (Argument("which", "choice", choices=("all",)), Argument("at", "words", most_words=12), _NAME),
        ("Cancelled {cancelled}.",),
        ("cancelled",),
        True,
    ),
    Spec(
        "timer.add",
        "add time to a timer",
        (Argument("duration", "duration", True, (), 1, LONGEST_TIMER), _OF, _NAME),
        ("{timer}.",),
        ("timer",),
        True,
    ),
    Spec(
        "timer.subtract",
        "take time from a timer",
        (Argument("duration", "duration", True, (), 1, LONGEST_TIMER), _OF, _NAME),
        ("{timer}.",),
        ("timer",),
        True,
    ),
    Spec(
        "time.elsewhere",
        "tell the time in other places",
        (Argument("place", "words", required=True, most_words=5),),
        ("{time}.",),
        ("time",),
        True,
    ),
)
