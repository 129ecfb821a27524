"""Settings of what other programs on the network meet; see schema.py."""

from __future__ import annotations

from dataclasses import dataclass

from noctule.config.keys import key


@dataclass
class Wyoming:
    """The Wyoming protocol, Home Assistant's way in: answers to its words, and wake words in its sound."""

    listen: str = key(
        "", 'Where: "tcp://127.0.0.1:10400" or "unix:///run/noctule/wyoming.sock"; empty for none.', maximum=200
    )
    lan: bool = key(False, "Allow an address that other machines reach: it has no password and no cipher.")
    max_clients: int = key(8, "Connections served at once; further ones are closed.", minimum=1, maximum=256)
    languages: list[str] = key(["en"], "Languages it is offered for.", minimum=1, maximum=64)


@dataclass
class Mqtt:
    """An MQTT broker that is told what happens here, and may ask. Its connection is not encrypted."""

    host: str = key("", "The broker's name or address; empty for none.", maximum=253)
    port: int = key(1883, "Its port.", minimum=1, maximum=65535)
    user: str = key("", "User name; the password is the credential noctule-mqtt. Empty for none.", maximum=200)
    name: str = key("", "This board's name in topics, empty for its host name.", maximum=60)
    prefix: str = key("noctule", "How topics begin.", minimum=1, maximum=100)
    discovery: str = key("homeassistant", "Where Home Assistant looks for devices; empty for nowhere.", maximum=100)
    commands: bool = key(False, "Take requests from the broker: whoever may publish there may ask.")
