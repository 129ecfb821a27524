"""What is said over MQTT: topics, the state, and Home Assistant's discovery. Pure.

PREFIX/NODE/availability   "online", "offline"; retained, the latter also as the last will
PREFIX/NODE/holder         which process the board is, so that a second board of one name is noticed; retained
PREFIX/NODE/state          the facts of `facts`, as JSON; retained
PREFIX/NODE/event          each event as JSON, without a user's words unless service.log_words
PREFIX/NODE/ask            a request in words, where mqtt.commands is on
PREFIX/NODE/do/VERB        a command, where mqtt.commands is on: see verbs.py
PREFIX/NODE/reply          its answer as JSON: {"text", "reply", "ok"} or {"verb", "ok", …}; with "error": {…} if none
PREFIX/NODE/picture        the picture that the verb snapshot made, as JPEG
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from noctule.core.events import PRIVATE_FIELDS, Event
from noctule.core.names import id_of


@dataclass(frozen=True)
class Topics:
    """Every topic of one board."""

    prefix: str
    node: str
    #: as people call the board; the node where it has no other name.
    name: str = ""

    def of(self, leaf: str) -> str:
        return f"{self.prefix}/{self.node}/{leaf}"


def node_id(name: str) -> str:
    """A board's name as topics and Home Assistant's ids may have it; no two names give the same."""
    return id_of(name)


#: what `discovery` may offer: places where an earlier offer is taken back when the board has it no more.
OPTIONAL = ("notify/ask", "notify/say", "button/mute", "button/unmute", "sensor/temperature", "sensor/memory")


def facts(status: Mapping[str, Any]) -> dict[str, Any]:
    """The part of GET /status that others watch. What the board does not know is null."""
    memory = status["memory"]["resident_bytes"]
    return {
        "state": status["state"],
        "summary": status["summary"],
        "version": status["version"],
        "uptime_s": status["uptime_s"],
        "temperature_c": status["board"]["temperature_c"],
        "memory_mb": None if memory is None else round(memory / 1e6, 1),
        "answered": status["lm"]["requests"]["answered"],
        "parts": {part["name"]: part["state"] for part in status["parts"]},
    }


def public(event: Event, words: bool) -> dict[str, Any]:
    """An event as it may leave the board."""
    told = event.as_dict()
    return told if words else {**told, "fields": {k: v for k, v in event.fields.items() if k not in PRIVATE_FIELDS}}


def discovery(topics: Topics, status: Mapping[str, Any], commands: bool) -> dict[str, dict[str, Any]]:
    """Home Assistant's MQTT discovery: "COMPONENT/OBJECT" -> configuration. What the board lacks is left out."""
    device = {"identifiers": [f"noctule_{topics.node}"], "name": f"Noctule {topics.name or topics.node}",
              "manufacturer": "Noctule", "sw_version": status["version"]}  # fmt: skip
    common = {"availability_topic": topics.of("availability"), "device": device}
    state = {**common, "state_topic": topics.of("state")}
    found: dict[str, dict[str, Any]] = {
        "sensor/state": {**state, "name": "State", "value_template": "{{ value_json.state }}",
                         "json_attributes_topic": topics.of("state")},
        "binary_sensor/problem": {**state, "name": "Problem", "device_class": "problem", "payload_on": "degraded",
                                  "payload_off": "ready", "value_template": "{{ value_json.state }}"},
        "sensor/answered": {**state, "name": "Requests answered", "state_class": "total_increasing",
                            "value_template": "{{ value_json.answered }}"},
    }  # fmt: skip
    measured = facts(status)
    if measured["memory_mb"] is not None:
        found["sensor/memory"] = {**state, "name": "Memory", "device_class": "data_size",
                                  "unit_of_measurement": "MB", "state_class": "measurement",
                                  "value_template": "{{ value_json.memory_mb }}"}  # fmt: skip
    if measured["temperature_c"] is not None:
        found["sensor/temperature"] = {**state, "name": "Temperature", "device_class": "temperature",
                                       "unit_of_measurement": "°C", "state_class": "measurement",
                                       "value_template": "{{ value_json.temperature_c }}"}  # fmt: skip
    ears = status.get("ears")
    voice = (ears or status.get("speaker") or {}).get("voice")
    if commands and status["lm"].get("enabled", True):
        found["notify/ask"] = {**common, "name": "Ask", "command_topic": topics.of("ask")}
    if commands and voice is not None:
        found["notify/say"] = {**common, "name": "Say", "command_topic": topics.of("do/say")}
    if commands and ears is not None:
        found["button/mute"] = {**common, "name": "Mute", "command_topic": topics.of("do/mute"), "payload_press": ""}
        found["button/unmute"] = {**common, "name": "Unmute", "command_topic": topics.of("do/unmute"),
                                  "payload_press": ""}  # fmt: skip
    for place, config in found.items():
        config["unique_id"] = f"noctule_{topics.node}_{place.rpartition('/')[2]}"
    return found
