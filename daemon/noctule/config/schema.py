"""Every setting Noctule has: the one table that drives the file, the checks, `config show` and reload.

A section is a dataclass; its docstring is the section's comment in the shipped file. To add a setting, add a
`key(...)` line; `scripts/render_config` rewrites config/noctule.toml from this table and a test compares them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from noctule.config.keys import key
from noctule.config.scan import split_name
from noctule.config.schema_health import GovernorConfig, Supervision
from noctule.config.schema_network import Mqtt, Wyoming
from noctule.config.speech import Speech


@dataclass
class ServiceConfig:
    """The service as a whole."""

    state_dir: Path = key(Path("/var/lib/noctule"), "Where timers and other lasting state are kept.")
    models: list[Path] = key(
        [Path("/var/lib/noctule/models"), Path("/usr/share/noctule/models")],
        "Folders searched, in order, for a model given by name.",
    )
    verbosity: str = key(
        "info", "Least important messages shown.", live=True, choices=("error", "warning", "notice", "info", "debug")
    )
    log_words: bool = key(
        False, "Write what was said and answered to the journal. Off: words never leave memory.", live=True
    )
    stop_timeout: float = key(
        1.5, "Seconds that parts get to finish when the service stops.", minimum=0.1, maximum=60.0
    )


@dataclass
class Lm:
    """The language model that turns requests into actions and answers."""

    enabled: bool = key(True, "Run a language model at all.")
    model: str = key(
        "noctule-tiny", "A model's name in the model folders, or the path of a package.", live=True, minimum=1
    )
    threads: int = key(2, "Processor cores the model may use.", live=True, minimum=1, maximum=64)
    weight_cache: bool = key(
        True, "Keep the unpacked weights in a file under the state folder: less memory, faster starts.", live=True
    )
    context: int = key(
        0, "Most tokens kept in mind, 0 for what the model allows.", live=True, minimum=0, maximum=1_048_576
    )
    idle_unload: float = key(
        900.0,
        "Seconds without a request after which a large model leaves memory until the next one, 0 for never.",
        live=True,
        minimum=0,
        maximum=604_800,
    )
    keep_warm_mb: int = key(
        300, "A model of at most this many megabytes is never unloaded for idleness.", live=True, minimum=0
    )
    when_full: str = key(
        "refuse",
        "A conversation longer than the context is refused, or slides on and forgets its oldest part.",
        live=True,
        choices=("refuse", "slide"),
    )
    max_tokens: int = key(256, "Longest answer, in tokens.", live=True, minimum=1, maximum=65536)
    max_prompt: int = key(4096, "Longest request, in characters.", live=True, minimum=1, maximum=1_000_000)
    temperature: float = key(
        -1.0,
        "Randomness: 0 always picks the likeliest token, -1 keeps the model's own setting.",
        live=True,
        minimum=-1,
        maximum=5,
    )
    top_k: int = key(
        -1,
        "Choose among this many likeliest tokens, 0 for all, -1 for the model's own setting.",
        live=True,
        minimum=-1,
        maximum=1_048_576,
    )
    seed: int = key(
        0, "Start of the random numbers, so that the same requests give the same answers.", live=True, minimum=0
    )
    queue: int = key(
        32, "Requests that may wait; further ones are refused at once.", live=True, minimum=1, maximum=1024
    )
    timeout: float = key(60.0, "Seconds after which an answer is cut off.", live=True, minimum=0.1, maximum=3600)


@dataclass
class Api:
    """The control socket, for the noctule command and programs on this board; and a port for those without one."""

    socket: Path = key(Path("/run/noctule/control.sock"), "Where the control socket is.")
    group: str = key("noctule", "Members of this group may use the socket, as may root.")
    max_clients: int = key(64, "Connections served at once; further ones get an error.", minimum=1, maximum=4096)
    max_body: int = key(65536, "Largest request, in bytes.", minimum=256, maximum=16_777_216)
    max_audio: int = key(
        67_108_864, "Largest recording sent to be written down, in bytes.", minimum=65536, maximum=4_294_967_296
    )
    read_timeout: float = key(5.0, "Seconds a client may take to send its request.", minimum=0.1, maximum=300)
    tcp: str = key("", 'Port for programs with a token, such as "127.0.0.1:8642", empty for none; see docs/api.md.')
    lan: bool = key(False, "Allow tcp to be an address that other machines reach, unencrypted.")
    origins: list[str] = key([], 'Web pages that may use tcp, by origin such as "http://localhost:3000".', maximum=16)


@dataclass
class Actions:
    """What the assistant may do when asked."""

    allow: list[str] = key(
        ["time", "date", "timer", "alarm", "snapshot", "clip", "status", "volume", "mute", "help", "stop", "command"],
        "Kinds of action that may be taken; others are refused in words.",
        live=True,
    )
    max_timers: int = key(32, "Timers that may run at once.", live=True, minimum=1, maximum=1000)
    mixer: str = key("", "ALSA mixer control for the volume, empty for the first of Master, PCM, Speaker.", live=True)


@dataclass
class Audio:
    """The microphone and the loudspeaker."""

    source: str = key(
        "microphone",
        "Where sound comes from: a microphone, or path (a WAV file, a named pipe or a socket of raw 16 kHz PCM).",
        choices=("none", "microphone", "path"),
    )
    path: Path = key(Path(), "The file, pipe or socket when source is path.")
    device: str = key("", "Part of the microphone's name, empty for the board's default.")
    rate: int = key(0, "Samples a second, 0 to choose.", minimum=0, maximum=384_000)
    channel: int = key(1, "Which channel of the microphone, from 1; 0 mixes them all.", minimum=0, maximum=64)
    muted: bool = key(False, "Start with the microphone closed.")
    speaker: str = key("", "Part of the loudspeaker's name, empty for the board's default.")
    output: str = key(
        "speaker",
        'Where answers are heard: "speaker", "off", or "file:FOLDER" for a WAV file each.',
        maximum=1000,
    )


@dataclass
class Wake:
    """The words it wakes for."""

    enabled: bool = key(True, "Listen for wake words.")
    words: list[str] = key(
        ["hey_noctule"],
        "Wake words: names in the model folders, or paths of packages.",
        live=True,
        minimum=1,
        maximum=8,
    )
    stop_words: list[str] = key([], "Words among them that only end a turn.", live=True, maximum=8)
    threshold: float = key(
        0.0, "Score above which a word is heard, 0 for each package's own.", live=True, minimum=0, maximum=1
    )
    pre_roll: float = key(0.2, "Seconds kept from before the wake word was decided.", minimum=0, maximum=5)
    silence: float = key(0.7, "Seconds of silence that end a command.", minimum=0.2, maximum=5)
    patience: float = key(4.0, "Seconds to wait for the first word after the wake word.", minimum=0.5, maximum=30)
    longest: float = key(12.0, "Longest command, in seconds.", minimum=1, maximum=60)
    save: bool = key(False, "Keep clips of what woke it, for review and retraining.", live=True)
    save_quota: int = key(64, "Most megabytes of such clips.", live=True, minimum=1, maximum=100_000)
    save_days: int = key(30, "Days after which such clips are deleted.", live=True, minimum=1, maximum=3650)


@dataclass
class CommandConfig:
    """A command of your own: one section [commands.NAME] each."""

    phrases: list[str] = key([], "What you say to run it.", live=True, minimum=1, maximum=100)
    run: list[str] = key([], "Program and arguments; no shell reads them.", live=True, minimum=1, maximum=100)
    timeout: float = key(10.0, "Seconds it may run.", live=True, minimum=0.1, maximum=3600)
    reply: str = key("Done.", "What is answered when it succeeds.", live=True, maximum=500)


@dataclass
class Capture:
    """Eyes: what is common to all displays and cameras."""

    enabled: bool = key(True, "Allow pictures at all.")
    folder: Path = key(Path("/var/lib/noctule/pictures"), "Where pictures and clips are kept, a folder per source.")
    quota_mb: int = key(512, "Most megabytes kept per source; the oldest go first.", live=True, minimum=1)
    max_days: float = key(30.0, "Pictures older than this many days are removed, 0 keeps them.", live=True, minimum=0)
    min_free_mb: int = key(500, "Nothing is written when less than this is free on the disk.", live=True, minimum=0)
    max_age: float = key(
        2.0, "Oldest picture, in seconds, that counts as the present one.", live=True, minimum=0.1, maximum=3600
    )
    timeout: float = key(
        10.0, "Seconds a picture is waited for while its source opens.", live=True, minimum=0.5, maximum=120
    )
    linger: float = key(5.0, "Seconds a source stays open after its last viewer.", minimum=0, maximum=3600)
    stall: float = key(1.0, "Seconds without a picture after which a source is opened anew.", minimum=0.2, maximum=60)
    quality: int = key(80, "Quality of JPEG pictures.", live=True, minimum=1, maximum=100)
    max_clip: float = key(120.0, "Longest clip, in seconds.", live=True, minimum=1, maximum=3600)
    thumbnails: bool = key(
        False, "Keep a small picture of each motion and new scene. Off: events carry words only.", live=True
    )
    page_port: int = key(0, "Port of the status page on 127.0.0.1, 0 for none.", minimum=0, maximum=65535)


@dataclass
class SourceConfig:
    """A display, camera, stream or file: one section [sources.NAME] each. Without any: `display` and `camera`."""

    kind: str = key(
        "display",
        "What it is; display and camera take the first that works.",
        choices=("display", "camera", "x11", "wayland", "kms", "v4l2", "picamera2", "jetson", "network", "file"),
    )
    address: str = key("", "Which: :0, wayland-0, /dev/video0, a camera's number, rtsp://..., a file.", maximum=2048)
    width: int = key(0, "Wanted width in pixels, 0 for its own.", minimum=0, maximum=16384)
    height: int = key(0, "Wanted height in pixels, 0 for its own.", minimum=0, maximum=16384)
    fps: float = key(0.0, "Wanted pictures per second, 0 for its own (displays: 30).", minimum=0, maximum=240)
    format: str = key("", "Wanted camera format, empty: the best.", choices=("", "mjpeg", "yuyv422", "nv12", "h264"))
    rotate: int = key(0, "Degrees, clockwise, that make it upright: 0, 90, 180, 270.", minimum=0, maximum=270)
    masks: list[str] = key(
        [], "Parts painted over at once: x,y,width,height in fractions of the picture.", maximum=32
    )
    cursor: bool = key(False, "Show the mouse pointer of a display.")
    preroll: float = key(
        0.0, "Seconds of video kept in memory for clips; above 0 the source is always open.", minimum=0, maximum=60
    )
    controls: list[str] = key([], 'Controls of a Raspberry Pi camera, such as "ExposureTime=10000".', maximum=64)
    motion: bool = key(False, "Watch it and say when something moves; the source is then always open.")
    scenes: bool = key(False, "Watch it and say when the scene changes; the source is then always open.")


@dataclass
class Config:
    """All sections. `commands` maps the NAME of each [commands.NAME] to its section, and so does `sources`."""

    service: ServiceConfig = field(default_factory=ServiceConfig)
    lm: Lm = field(default_factory=Lm)
    api: Api = field(default_factory=Api)
    actions: Actions = field(default_factory=Actions)
    supervision: Supervision = field(default_factory=Supervision)
    governor: GovernorConfig = field(default_factory=GovernorConfig)
    capture: Capture = field(default_factory=Capture)
    audio: Audio = field(default_factory=Audio)
    wake: Wake = field(default_factory=Wake)
    speech: Speech = field(default_factory=Speech)
    wyoming: Wyoming = field(default_factory=Wyoming)
    mqtt: Mqtt = field(default_factory=Mqtt)
    commands: dict[str, CommandConfig] = field(default_factory=dict)
    sources: dict[str, SourceConfig] = field(default_factory=dict)
    #: slots.NAME: what a {NAME} of a command's phrases may be
    slots: dict[str, list[str]] = field(default_factory=dict)

    def get(self, dotted: str) -> Any:
        """The value at "section.key" or "section.NAME.key"."""
        value: Any = self
        for part in split_name(dotted):
            value = value[part] if isinstance(value, dict) else getattr(value, part)
        return value


#: section name -> its class
SECTIONS: dict[str, type[Any]] = {
    "service": ServiceConfig,
    "lm": Lm,
    "api": Api,
    "actions": Actions,
    "supervision": Supervision,
    "governor": GovernorConfig,
    "capture": Capture,
    "audio": Audio,
    "wake": Wake,
    "speech": Speech,
    "wyoming": Wyoming,
    "mqtt": Mqtt,
}
#: section name -> class of each named sub-section ([commands.NAME])
TABLES: dict[str, type[Any]] = {"commands": CommandConfig, "sources": SourceConfig}
