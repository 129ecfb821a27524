"""The connection to the broker, in a supervised thread.

A broker that is away is a degraded part, tried again by the supervisor; nothing else waits for it. Events and
requests that wait are bounded.
"""

from __future__ import annotations

import json
import secrets
import socket
import threading
from collections import deque
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from noctule.api.http.json import error_body
from noctule.api.mqtt.topics import OPTIONAL, Topics, discovery, facts, node_id, public
from noctule.api.mqtt.verbs import Commands
from noctule.config import Config
from noctule.core.errors import BusyError, DeviceError, InputError, NoctuleError, UnavailableError
from noctule.core.events import Subscription
from noctule.service.component import Host
from noctule.service.journal import credential
from noctule.service.request import Ask
from noctule.service.supervisor import Job, Part

if TYPE_CHECKING:
    import paho.mqtt.client as paho

#: the password's name in the unit: LoadCredential=noctule-mqtt:/path
CREDENTIAL = "noctule-mqtt"
#: seconds: between two states when nothing happens, for connecting, of a turn of the loop, to say good-bye.
EVERY, CONNECT, TURN, FAREWELL = 30.0, 10.0, 0.25, 0.5
#: events and requests that may wait; of events the oldest go, requests are refused.
EVENT_QUEUE, ASK_QUEUE = 256, 4
MAX_ASK = 16_384


def load() -> Any:
    """The paho client module. Raises UnavailableError where the extra "mqtt" is not installed."""
    try:
        import paho.mqtt.client as client
    except ImportError:
        raise UnavailableError("The paho-mqtt package is not installed.", "pip install noctule[mqtt]") from None
    return client


class MqttLink:
    """A component. Raises ConfigError for a prefix that is no topic."""

    name = "mqtt"

    def __init__(self, host: Host) -> None:
        mqtt = host.config().mqtt
        self._host = host
        name = mqtt.name or socket.gethostname()
        self.topics = Topics(mqtt.prefix, node_id(name), name)
        self.client: paho.Client | None = None
        self._connected = False
        self._refusal = ""
        #: this process, on the topic `holder`: what stands there after a break tells who has our name.
        self._instance = secrets.token_hex(8).encode()
        self._held = self._taken = False
        self._asks: deque[Ask] = deque()
        self._stale = True
        self._commands: Commands | None = None
        self._counts = {"published": 0, "dropped": 0, "asked": 0, "done": 0}

    # -- the worker's thread -------------------------------------------------------------------------------------

    def _run(self, part: Part, stop: threading.Event) -> None:
        """Connect, then: let the client read and write, pass on what happened, beat."""
        client = self.client = self._make(load())
        clock = self._host.clock
        try:
            with self._host.bus.subscribe(EVENT_QUEUE) as events:
                self._connect(client, part)
                told, due = 0, 0.0
                while not stop.is_set():
                    self._turn(client)
                    if self._connected:
                        part.beat()
                        self._tell_events(client, events)
                        self._tell_answers(client)
                        self._tell_done(client)
                        if self._stale or clock.monotonic() >= due:
                            self._stale, due = False, clock.monotonic() + EVERY
                            self._publish(client, "state", facts(self._host.status()), retain=True)
                    self._counts["dropped"] += events.dropped - told
                    told = events.dropped
                self._leave(client)
        finally:
            self._connected = False
            if self._commands is not None:
                self._commands.close()
                self._commands = None
            while self._asks:
                self._asks.popleft().cancel("The connection to the broker ended.")
            self.client = None

    def _make(self, module: Any) -> paho.Client:
        mqtt = self._host.config().mqtt
        client: paho.Client = module.Client(
            module.CallbackAPIVersion.VERSION2, client_id=f"noctule-{self.topics.node}"
        )
        client.max_queued_messages_set(EVENT_QUEUE)
        client.connect_timeout = CONNECT
        client.will_set(self.topics.of("availability"), "offline", qos=1, retain=True)
        if mqtt.user:
            client.username_pw_set(mqtt.user, (credential(CREDENTIAL) or b"").decode("utf-8", "replace") or None)
        client.on_connect = self._on_connect
        client.on_message = self._on_message
        return client

    def _connect(self, client: paho.Client, part: Part) -> None:
        mqtt = self._host.config().mqtt
        part.expect(CONNECT * 2)
        self._refusal, self._taken = "", False
        try:
            client.connect(mqtt.host, mqtt.port, keepalive=30)
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", None) or str(error) or "no answer"
            raise DeviceError(
                f"The MQTT broker {mqtt.host}:{mqtt.port} cannot be reached: {why}.", "see mqtt.host, docs/api.md"
            ) from None

    def _turn(self, client: paho.Client) -> None:
        failed = client.loop(TURN) != 0
        if self._refusal:
            raise DeviceError(f"The MQTT broker refuses us: {self._refusal}.", "see mqtt.user, docs/api.md")
        if self._taken:
            raise DeviceError(
                f"Another board at the MQTT broker is called {self.topics.name} too; each throws the other out.",
                "give each board a name of its own: mqtt.name",
            )
        if failed:
            raise DeviceError("The connection to the MQTT broker is lost.", "it is tried again by itself")

    def _leave(self, client: paho.Client) -> None:
        """Say good-bye ourselves: a broker keeps the last will to itself when a client leaves in order."""
        client.publish(self.topics.of("availability"), "offline", qos=1, retain=True)
        client.publish(self.topics.of("holder"), b"", qos=1, retain=True)
        deadline = self._host.clock.monotonic() + FAREWELL
        while client.want_write() and self._host.clock.monotonic() < deadline and client.loop(0.05) == 0:
            pass
        client.disconnect()

    def _on_connect(self, client: paho.Client, data: Any, flags: Any, reason: Any, properties: Any) -> None:
        if reason.is_failure:
            self._refusal = str(reason)
            return
        mqtt, status = self._host.config().mqtt, self._host.status()
        client.subscribe(self.topics.of("holder"), qos=1)  # answers with who was here last, before we say that we are
        client.publish(self.topics.of("holder"), self._instance, qos=1, retain=True)
        if mqtt.commands:
            client.subscribe(self.topics.of("ask"), qos=1)
            client.subscribe(self.topics.of("do/+"), qos=1)
        if mqtt.discovery:
            offered = discovery(self.topics, status, mqtt.commands)
            for place in dict.fromkeys((*offered, *OPTIONAL)):
                component, _, thing = place.partition("/")
                topic = f"{mqtt.discovery}/{component}/noctule_{self.topics.node}/{thing}/config"
                # an empty one takes back what an earlier configuration offered
                client.publish(topic, json.dumps(offered[place]) if place in offered else b"", qos=1, retain=True)
        client.publish(self.topics.of("availability"), "online", qos=1, retain=True)
        self._connected = self._stale = True

    def _on_message(self, client: paho.Client, data: Any, message: Any) -> None:
        """A request. A retained one is from another time, and would be asked at each start again."""
        if message.topic == self.topics.of("holder"):
            self._taken = self._taken or (self._held and message.payload not in (b"", self._instance))
            self._held = self._held or message.payload == self._instance
            return
        if message.retain:
            return
        if message.topic != self.topics.of("ask"):
            self._command(client, message.topic.rpartition("/")[2], message.payload)
            return
        text = ""
        try:
            if len(message.payload) > MAX_ASK:
                raise InputError(f"The request is larger than {MAX_ASK} bytes.")
            text = message.payload.decode("utf-8-sig", "replace")
            if len(self._asks) >= ASK_QUEUE:
                raise BusyError(f"{ASK_QUEUE} requests from MQTT are waiting already.", "try again soon")
            limit, clock = self._host.config().lm.timeout, self._host.clock
            ask = Ask(self._host.clean(text), lambda piece: None, clock.monotonic() + limit, clock)
            self._host.submit(ask)
        except NoctuleError as error:
            self._publish(client, "reply", {"text": text, **error_body(error)})
        else:
            self._counts["asked"] += 1
            self._asks.append(ask)

    def _command(self, client: paho.Client, verb: str, payload: bytes) -> None:
        """One of the control socket's verbs."""
        try:
            if len(payload) > MAX_ASK:
                raise InputError(f"The command is larger than {MAX_ASK} bytes.")
            if self._commands is None:
                self._commands = Commands(self._host.config().api.socket)
            self._commands.put(verb, payload)
        except NoctuleError as error:
            self._publish(client, "reply", {"verb": verb[:40], **error_body(error)})

    def _tell_done(self, client: paho.Client) -> None:
        """What became of commands; a picture has a topic of its own."""
        while self._commands is not None and not self._commands.answers.empty():
            done = self._commands.answers.get_nowait()
            if isinstance(done.answer, NoctuleError):
                self._publish(client, "reply", {"verb": done.verb, **error_body(done.answer)})
                continue
            if done.picture:
                client.publish(self.topics.of("picture"), done.picture)
            self._counts["done"] += 1
            self._publish(client, "reply", {"verb": done.verb, "ok": True, **done.answer})

    def _tell_answers(self, client: paho.Client) -> None:
        """In the order in which the language worker gives them."""
        while self._asks and self._asks[0].result.done():
            ask = self._asks.popleft()
            try:
                answer = ask.result.result()
                reply = {"text": ask.text, "reply": answer["reply"], "ok": bool(answer.get("ok", True))}
            except NoctuleError as error:
                reply = {"text": ask.text, **error_body(error)}
            self._publish(client, "reply", reply)

    def _tell_events(self, client: paho.Client, events: Subscription) -> None:
        words = self._host.config().service.log_words
        for event in events.drain():
            self._publish(client, "event", public(event, words))
            self._stale = self._stale or event.kind.startswith(("part.", "service."))

    def _publish(self, client: paho.Client, leaf: str, value: Mapping[str, Any], retain: bool = False) -> None:
        client.publish(self.topics.of(leaf), json.dumps(value, ensure_ascii=False, default=str), retain=retain)
        self._counts["published"] += 1

    # -- component ---------------------------------------------------------------------------------------------------

    def jobs(self) -> Sequence[Job]:
        # Beyond the keepalive's pings nothing need happen for a while; each turn of the loop is a beat.
        return [Job(self.name, self._run, 15.0)]

    def status(self) -> Mapping[str, Any]:
        mqtt = self._host.config().mqtt
        return {"broker": f"{mqtt.host}:{mqtt.port}", "connected": self._connected, "node": self.topics.node,
                "commands": mqtt.commands, **self._counts}  # fmt: skip

    def apply(self, config: Config) -> None:
        """Nothing here changes without a restart."""

    def close(self) -> None:
        """The thread has said good-bye already."""
