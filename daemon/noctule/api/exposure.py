"""What of the configuration opens the service to programs besides the control socket, in words, for `doctor`."""

from __future__ import annotations

from dataclasses import dataclass

from noctule.api.http.address import LAN_WARNING
from noctule.config import Config
from noctule.config.address import parse, wyoming_address

_HERE = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True)
class OpenDoor:
    """sentence: what listens and where; warning: why that is risky, empty if only this machine can reach it;
    network: it needs a network, if only the loopback, which the shipped unit does not give it."""

    sentence: str
    warning: str = ""
    network: bool = True


def exposed(config: Config) -> list[OpenDoor]:
    """Every server that is switched on. Raises ConfigError for an address that the service would refuse."""
    doors: list[OpenDoor] = []
    if config.api.tcp:
        address = parse(config.api.tcp, "api.tcp", config.api.lan, "api.lan")
        warning = "" if address.loopback else f"{LAN_WARNING}; whoever has the token may ask: api.tcp, api.lan"
        doors.append(OpenDoor(f"The API listens on {address}, with a token", warning))
    if config.wyoming.listen:
        place = wyoming_address(config.wyoming.listen, config.wyoming.lan)
        open_to_all = not isinstance(place, str) and not place.loopback
        warning = f"{LAN_WARNING} and without a password: wyoming.listen, wyoming.lan" if open_to_all else ""
        doors.append(OpenDoor(f"Wyoming listens on {place}", warning, network=not isinstance(place, str)))
    if config.mqtt.host:
        may = "takes requests from" if config.mqtt.commands else "reports to"
        warning = "" if config.mqtt.host in _HERE else "what is sent can be read on the way: mqtt.host"
        doors.append(OpenDoor(f"Noctule {may} the MQTT broker {config.mqtt.host}:{config.mqtt.port}", warning))
    if config.capture.enabled and config.capture.page_port:
        doors.append(OpenDoor(f"The status page listens on 127.0.0.1:{config.capture.page_port}, with a token"))
    for name, source in config.sources.items():
        if config.capture.enabled and source.kind == "network":
            doors.append(OpenDoor(f"The source {name} is fetched over the network"))
    return doors
