"""`noctule status` for people: one sentence, and below it only what matters now."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from noctule.cli.common import duration

#: °C from which a board slows itself down.
_HOT = 80.0


def brief(status: Mapping[str, Any]) -> list[str]:
    """The sentence, then a line for each thing that is wrong, given up, waiting or running."""
    return [_sentence(status), *(f"  {line}" for line in _matters(status))]


def _sentence(status: Mapping[str, Any]) -> str:
    up = duration(status["uptime_s"])
    if status["state"] in ("starting", "stopping"):
        return f"Noctule is {status['state']} (since {up})."
    well = "Noctule is ready" if status["state"] == "ready" else "Noctule works, but not all of it"
    return f"{well}: {_doing(status)}. Up {up}."


def _doing(status: Mapping[str, Any]) -> str:
    ears, asked = status.get("ears"), status["lm"].get("enabled", True)
    if ears is None:
        does = ["it answers in writing"] if asked else []
        does += ["it speaks when told to"] if status.get("speaker") else []
        return _and(does) or "it answers nobody (lm.enabled, audio.source)"
    if ears["state"] == "muted":
        return "its microphone is off (noctule mute off)"
    phrases = [f'"{word.replace("_", " ")}"' for word in ears["words"]]
    heard = f"it listens for {_and(phrases, 'or')}" if phrases else "it listens for no wake word"
    voice = ears.get("voice") or {}
    return f"{heard} and {'answers aloud' if voice.get('voice') else 'answers with a chime only'}"


def _matters(status: Mapping[str, Any]) -> list[str]:
    lines = []
    for part in status["parts"]:
        if part["reason"]:
            hint = f" ({part['hint']})" if part["hint"] else ""
            lines.append(f"{part['name']}: {part['reason']}{hint}")
    told = " ".join(lines)
    lines += [trouble for trouble in status["troubles"] if trouble not in told and told.find(trouble[-40:]) < 0]
    ears = status.get("ears") or status.get("speaker") or {}
    lines += [str(ears["remedy"])] if ears.get("remedy") else []
    lines += list(ears.get("missing", {}).values())
    voice = ears.get("voice") or {}
    lines += [str(voice["trouble"])] if voice.get("trouble") else []
    if status["lm"].get("loaded") is False and status["lm"].get("enabled", True):
        lines.append("the language model is not in memory; the next request loads it")
    lines += [
        f"to spare the board it gave up: {step['what']}, because {step['why']}"
        for step in (status.get("governor") or {}).get("steps", ())
    ]
    if "mqtt" in status and not status["mqtt"]["connected"]:
        lines.append(f"the MQTT broker {status['mqtt']['broker']} is not connected")
    lines += [
        f"{name}: {status[name]['warning']}" for name in ("tcp", "wyoming") if "warning" in status.get(name, {})
    ]
    timers = status.get("timers") or ()
    lines += [f"{len(timers)} timer{'' if len(timers) == 1 else 's'} running"] if timers else []
    degrees = status["board"]["temperature_c"]
    lines += [f"the board is hot: {degrees:.0f} °C"] if degrees is not None and degrees > _HOT else []
    waiting = status["config"]["needs_restart"]
    lines += [f"changed, and in force after a restart: {', '.join(waiting)}"] if waiting else []
    lost = status["journal"]["lost"]
    return [*lines, *([f"{lost} journal entries were lost"] if lost else [])]


def _and(words: Sequence[str], joint: str = "and") -> str:
    return f" {joint} ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)
