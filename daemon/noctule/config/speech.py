"""The section [speech]."""

from __future__ import annotations

from dataclasses import dataclass

from noctule.config.keys import key


@dataclass
class Speech:
    """Speech in and speech out: who turns speech into words, and words into speech."""

    stt: str = key(
        "moonshine-tiny-en",
        'Who turns speech into words: a package by name or path, "wyoming", or "off".',
        maximum=1000,
    )
    tts: str = key(
        "en_US-joe-medium",
        'Who speaks the answers: a voice or speech package by name or path, "wyoming", or "off".',
        maximum=1000,
    )
    confidence: float = key(
        -1.0,
        "Ask again, once, when the words are less sure than this; 0 never, -1 for the package's own.",
        live=True,
        minimum=-1,
        maximum=1,
    )
    partials: float = key(
        0.2,
        "Processor seconds that words may cost while they are being spoken, for each second of sound; 0 for no such"
        " words. (Packages of the kind speech-to-text.)",
        live=True,
        minimum=0,
        maximum=4,
    )
    readings: int = key(
        -1,
        "Ways to read what was said that are followed at once; 1 is fastest, -1 the package's own number.",
        minimum=-1,
        maximum=32,
    )
    wyoming: str = key("", "Address of the engine that listens: tcp://HOST:PORT or unix://PATH.")
    wyoming_tts: str = key("", "Address of the engine that speaks.")
    language: str = key("", "Language the engine that listens is told, empty to let it choose.")
    timeout: float = key(15.0, "Seconds an engine may take.", minimum=0.5, maximum=120)
    model: str = key(
        "", 'The package that "model" stands for, in stt and tts and for `noctule bench speech`; empty for none.'
    )
    codec: str = key("", "The codec package of speech.model; empty for the one that belongs to it.")
    threads: int = key(2, "Processor cores the speech model may use.", minimum=1, maximum=64)
    realtime: str = key(
        "degrade",
        "A model too slow for this board is refused, made coarser where that helps, or allowed to lag.",
        choices=("refuse", "degrade", "allow"),
    )
    voice: str = key(
        "",
        "The voice to speak with: a .safetensors voice, a .wav for models that continue one, an engine's own name.",
    )
    speaker: str = key(
        "",
        "Who speaks, of a voice with several speakers: a name or a number; empty for its first.",
        live=True,
        maximum=200,
    )
    speed: float = key(
        1.0, "How fast is spoken: 1 as the voice was made, 2 twice that.", live=True, minimum=0.3, maximum=4
    )
    volume: float = key(1.0, "How loud answers are beside the voice's own sound.", live=True, minimum=0, maximum=4)
    pause: float = key(0.15, "Seconds of silence between two sentences.", live=True, minimum=0, maximum=10)
    guidance: float = key(2.0, "How strictly text and voice are followed, where a model offers it.", minimum=0)
    text_temperature: float = key(
        -1.0, "Randomness of the text stream, -1 keeps the model's own setting.", minimum=-1, maximum=5
    )
    text_top_k: int = key(
        -1, "Choose among this many text tokens, 0 for all, -1 for its own.", minimum=-1, maximum=10**6
    )
    text_repetition_penalty: float = key(1.0, "Above 1 the text stream repeats itself less.", minimum=0.1, maximum=10)
    audio_temperature: float = key(
        -1.0, "Randomness of the audio codebooks, -1 keeps the model's own setting.", minimum=-1, maximum=5
    )
    audio_top_k: int = key(
        -1, "Choose among this many audio codes, 0 for all, -1 for its own.", minimum=-1, maximum=10**6
    )
    seed: int = key(0, "Start of the random numbers, so that the same input gives the same output.", minimum=0)
