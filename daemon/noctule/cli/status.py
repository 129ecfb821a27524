"""`noctule status`: how every part does, for people (or --json)."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from typing import Any

from noctule.cli.common import client, duration, printable, say, size, socket_argument
from noctule.cli.status_brief import brief

HELP = "show how the daemon and its parts do"


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print everything as one JSON object")
    parser.add_argument("-v", "--verbose", action="store_true", help="every part with its counts and times")
    socket_argument(parser)


def run(options: argparse.Namespace) -> int:
    status = client(options).get("/status")
    if options.json:
        say(json.dumps(status, ensure_ascii=False))
    else:
        lines = words(status) if options.verbose else brief(status)
        say("\n".join(printable(line) for line in lines))
    return 0


def words(status: Mapping[str, Any]) -> list[str]:
    """The lines shown. Facts the board does not offer are left out, not invented."""
    lines = [f"noctule {status['version']}: {status['state']}, up {duration(status['uptime_s'])}"]
    lines += [f"  trouble: {trouble}" for trouble in status["troubles"]]
    for part in status["parts"]:
        age = "never worked" if part["last_work_s"] is None else f"worked {duration(part['last_work_s'])} ago"
        line = f"  {part['name']:<8} {part['state']:<10} {age}, {_count(part['restarts'], 'restart')}"
        lines.append(line)
        if part["reason"]:
            lines.append(f"           {part['reason']}" + (f" ({part['hint']})" if part["hint"] else ""))
    lines += _model(status["lm"])
    lines += _governor(status.get("governor", {}))
    lines += _ears(status["ears"]) if "ears" in status else []
    speaker = status.get("speaker")
    if speaker is not None:
        lines += _speaks(speaker["voice"])
        lines += [f"           missing: {sentence}" for sentence in speaker["missing"].values()]
    counts = status["lm"]["requests"]
    shown = ", ".join(f"{counts[key]} {key}" for key in ("received", "answered", "failed", "refused", "cancelled"))
    lines.append(f"  requests {shown}, {status['lm']['waiting']} waiting")
    api = status["api"]
    lines.append(f"  socket   {api['socket']}: {_count(api['clients'], 'client')}, {api['refused']} refused")
    lines += [line for name in ("tcp", "wyoming") if name in status for line in _port(name, status[name])]
    lines += _broker(status["mqtt"]) if "mqtt" in status else []
    facts = []
    if status["memory"]["resident_bytes"] is not None:
        facts.append(f"{size(status['memory']['resident_bytes'])} resident")
    if status["board"]["temperature_c"] is not None:
        facts.append(f"{status['board']['temperature_c']:.0f} °C")
    if status.get("timers"):
        facts.append(_count(len(status["timers"]), "timer"))
    if status["journal"]["lost"]:
        facts.append(f"{status['journal']['lost']} journal entries lost")
    lines += [f"  board    {', '.join(facts)}"] if facts else []
    waiting = status["config"]["needs_restart"]
    lines += [f"  changed but not in force until a restart: {', '.join(waiting)}"] if waiting else []
    return lines


def _model(lm: Mapping[str, Any]) -> list[str]:
    if not lm["enabled"]:
        return ["  model    switched off (lm.enabled)"]
    if "model" not in lm:
        return []
    facts = [f"{lm['model']} {lm.get('version', '')}".strip()]
    if "sha256" in lm:
        facts.append(f"sha256 {str(lm['sha256'])[:12]}")
    if "threads" in lm:
        facts.append(_count(lm["threads"], "thread"))
    if "context" in lm:
        facts.append(f"context {lm['context']}")
    if "runtime" in lm:
        facts.append(str(lm["runtime"]))
    lines = [f"  model    {', '.join(facts)}"]
    if lm.get("loaded") is False:
        lines.append("           not in memory: nobody asked for a while; the next request loads it")
    if "configured" in lm:
        lines.append(f"           chosen by hand; the configuration names {lm['configured']}")
    times = [f"loaded in {lm['load_s']:.2f} s"] if "load_s" in lm else []
    times += [f"first word after {lm['first_s']:.2f} s"] if "first_s" in lm else []
    return [*lines, *([f"           {', '.join(times)}"] if times else [])]


def _governor(governor: Mapping[str, Any]) -> list[str]:
    """What was given up to spare the board, and why."""
    if not governor.get("enabled", True):
        return ["  governor switched off (governor.enabled)"]
    return [
        f"  spares   {step['what']}, because {step['why']} (for {duration(step['since_s'])})"
        for step in governor.get("steps", ())
    ]


def _ears(ears: Mapping[str, Any]) -> list[str]:
    level = f", level {ears['level_db']:g} dB" if "level_db" in ears else ""
    holes = f", {_count(ears['gaps'], 'gap')}" if ears.get("gaps") else ""
    lines = [f"  hears    {ears['source']}: {ears['state']}{level}{holes}; {ears['session']['state']}"]
    lines += [f"           {ears['remedy']}"] if ears.get("remedy") else []
    words = ", ".join(f"{word} above {threshold:g}" for word, threshold in ears["words"].items())
    lines += [f"  wakes    for {words}"] if words else []
    lines += ["           chosen by hand, until the next start"] if ears.get("chosen") else []
    lines += [f"  listens  with {ears['recogniser']}"] if ears.get("recogniser") else []
    lines += _speaks(ears["voice"]) if ears.get("voice") else []
    lines += [f"           missing: {sentence}" for sentence in ears.get("missing", {}).values()]
    return lines + (_turn(ears["last_turn"]) if ears.get("last_turn") else [])


def _speaks(voice: Mapping[str, Any]) -> list[str]:
    who = voice["voice"] or "a chime only"
    counts = f"{voice['spoken']} spoken, {voice['interrupted']} interrupted"
    lines = [f"  speaks   with {who} through {voice['loudspeaker']}: {counts}"]
    return [*lines, f"           {voice['trouble']}"] if voice["trouble"] else lines


_STAGES = (("words_ms", "last word"), ("ended_ms", "end noticed"), ("token_ms", "first token"),
           ("sound_ms", "first sound"))  # fmt: skip


def _turn(turn: Mapping[str, Any]) -> list[str]:
    """Where the time of the last turn went."""
    since = ", ".join(f"{name} {turn[key]} ms" for key, name in _STAGES if key in turn)
    after = f"; after the end of speech: {since}" if since else ""
    return [f"  last     turn {turn['turn']}: {turn['outcome']}, {turn['total_ms']} ms in all{after}"]


def _broker(mqtt: Mapping[str, Any]) -> list[str]:
    taken = f"{_count(mqtt['asked'], 'request')} taken" if mqtt["commands"] else "takes no requests"
    doing = "connected" if mqtt["connected"] else "not connected"
    return [f"  mqtt     {mqtt['broker']} as {mqtt['node']}: {doing}, {mqtt['dropped']} events dropped, {taken}"]


def _port(name: str, port: Mapping[str, Any]) -> list[str]:
    """A server besides the socket; what makes it risky has a line of its own."""
    doing = f"{_count(port['clients'], 'client')}, {port['refused']} refused" if port["open"] else "not open"
    lines = [f"  {name:<8} {port['address']}: {doing}"]
    return [*lines, f"           warning: {port['warning']}"] if "warning" in port else lines


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
