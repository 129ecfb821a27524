"""What a request must not lead to, whatever a model makes of it. Rules over words; pure.

A language model that has learnt requests takes whatever looks like one: a chat that a front end wants a title for, a
question about the microphone, "add five minutes". Here is what can be told without a model. Each rule is for a kind
of request, and says why in a sentence.
"""

from __future__ import annotations

import re

from noctule.assistant.actions.registry import Call
from noctule.assistant.phrases.request import Request

#: a request is short; people's longest in the public sets have 30 words.
MOST_WORDS = 40
_SPEAKER = re.compile(
    r"(?:^|[\n.!?\"'>] *)(?:user|assistant|human|ai|bot|system|q|a|question|answer|me|you|agent|customer)\s*:", re.I
)
_LIST = re.compile(r"^\s*(?:[-*•]|\d+[.)])\s+\S", re.M)
_CODE = re.compile(r"```|~~~|<([a-z_]+)>.*</\1>|^\s*[#{}\[\]]|\{\s*\"", re.I | re.M | re.S)
#: what front ends ask of a conversation
_ABOUT = re.compile(
    r"\b(?:title|headline|summar(?:y|i[sz]e)|tags?|topics?|keywords?|categor(?:y|ies)|follow-?ups?|autocomplete"
    r"|conversation|chat (?:history|log)|transcript|translate|rewrite|rephrase|paraphrase)\b",
    re.I,
)
#: a colon that is no time of day
_COLON = re.compile(r":(?=\s|$|[\"'“])")
QUOTED = "That looks like a text about something, not a request to me, so I do nothing."

_UNIT = r"(?:seconds?|secs?|minutes?|mins?|hours?|hrs?)"
_MORE = (
    re.compile(rf"\b(?:add|append|give|tack|stick|put)\b.*\b{_UNIT}\b.*\b(?:to|on|onto)\b(?!\s+for\b).*\btimers?\b"),
    re.compile(rf"\b(?:another|more|extra|additional)\b.*\b{_UNIT}\b.*\b(?:to|on|onto)\b.*\btimers?\b"),
    re.compile(rf"\b{_UNIT}\s+(?:more|longer|extra)\b.*\btimers?\b"),
    re.compile(r"\b(?:extend|lengthen|prolong|shorten|increase|decrease|reduce|bump)\b.*\btimers?\b"),
    re.compile(rf"\b(?:take|knock|subtract|remove|shave|cut)\b.*\b{_UNIT}\b.*\b(?:off|from)\b.*\btimers?\b"),
    re.compile(rf"\btimers?\b.*\b(?:by|with)\b.*\b(?:another|more|extra)\b.*\b{_UNIT}\b"),
)
#: "put five minutes on a timer" begins one
_BEGIN = re.compile(rf"^(?:\w+ ){{0,3}}put (?!another|more|extra)(?:\w+ ){{1,3}}?{_UNIT} on (?:a|the|my) timer$")
MORE = "I cannot change a timer that runs. Cancel it and set a new one."

_CLOCK = re.compile(
    r"\b\d{1,2}(?::\d\d)?\s*(?:[ap]\.\s?m\b\.?|[ap]m\b)|\bo['’]?clock\b|\b(?:one|two|three|four|five|six|seven|eight|nine|ten"
    r"|eleven|twelve)\s+(?:[ap]\.\s?m\b|[ap]m\b)",
    re.I,
)
CLOCK = "I set timers for a length of time, not alarms for a time of day."

_STATE = re.compile(r"^(?:(?:hey|hi|ok|okay|so|and|noctule)\s+)*(?:is|are|was|were|am|did|does|has|why|how)\b")
_ASKED = re.compile(r"\b(?:about|possible|able|possibly)\b")
_CHANGES = frozenset(
    {
        "mute", "unmute", "volume.set", "volume.up", "volume.down", "volume.mute", "volume.unmute", "timer.set",
        "timer.cancel", "snapshot", "clip", "stop",
    }
)  # fmt: skip
QUESTION = "You asked about it, so I left it as it is."

_LOW = re.compile(r"\b(?:low|lower|quiet|quieter|quietly|soft|softer|softly|down|less|whisper)\b")
_HIGH = re.compile(r"\b(?:high|higher|loud|louder|loudly|up|more|raise)\b")
_COMPLAINT = re.compile(r"\b(?:too|enough|hear|so|not)\b")


def is_quoted(text: str) -> bool:
    """Whether a text quotes a conversation, a list or code, or is about one, instead of asking for something.

    text: as it came, with its lines.
    """
    if _SPEAKER.search(text) or _CODE.search(text):
        return True
    if len(_LIST.findall(text)) > 1 or sum(1 for line in text.splitlines() if line.strip()) > 3:
        return True
    about = _ABOUT.search(text)
    return about is not None and (_COLON.search(text) is not None or "\n" in text.strip())


def objection(call: Call, request: Request) -> str:
    """Why this call does not follow from this request, in a sentence; "" when nothing speaks against it."""
    plain = request.plain
    if call.action in _CHANGES and len(request.words) > MOST_WORDS:
        return QUOTED
    if call.action == "timer.set":
        if any(rule.search(plain) for rule in _MORE) and not _BEGIN.search(plain):
            return MORE
        if _CLOCK.search(request.original):
            return CLOCK
    if call.action in _CHANGES and _STATE.search(plain) and not _ASKED.search(plain):
        return QUESTION
    return ""


def set_right(call: Call, request: Request) -> Call:
    """The call with its direction as the words have it: "low volume" is not louder. Complaints ("too low") stay."""
    plain = request.plain
    if _COMPLAINT.search(plain) or bool(_LOW.search(plain)) == bool(_HIGH.search(plain)):
        return call
    wrong = "volume.up" if _LOW.search(plain) else "volume.down"
    if call.action != wrong:
        return call
    return Call("volume.down" if wrong == "volume.up" else "volume.up", call.arguments)
