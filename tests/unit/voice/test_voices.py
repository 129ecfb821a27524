"""Who listens and who speaks: what the configuration names, what is missing, what contradicts itself."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from noctule.audio.speaker import PortAudioSpeaker, WavSpeaker
from noctule.config import Config, load_config
from noctule.config.agree import check_agreement
from noctule.core.errors import ConfigError, ModelError
from noctule.core.events import Bus, Event
from noctule.voice.engines import SpeechEngines, examine, loudspeaker, package_of
from noctule.voice.stt.local import ModelRecogniser
from noctule.voice.stt.wyoming import WyomingRecogniser
from noctule.voice.tts.local import ModelSynthesizer
from noctule.voice.tts.wyoming import WyomingSynthesizer

FIXTURES = Path(__file__).parents[2] / "fixtures"


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """Packages by name, tiny ones."""
    made = Config()
    made.speech.stt, made.speech.tts = "tiny-stt", "tiny-tts"
    made.lm.weight_cache = False
    made.service.models = [tmp_path / "models"]
    for name, package in (("tiny-stt", "stt"), ("tiny-tts", "tts")):
        shutil.copytree(FIXTURES / "kyutai-tiny-modes" / package, tmp_path / "models" / name)
        shutil.copytree(FIXTURES / "kyutai-tiny" / "codec", tmp_path / "models" / f"{name}-codec")
    return made


class Told:
    def __init__(self, config: Config) -> None:
        self.bus, self.events = Bus(), list[Event]()
        self.bus.add_sink(self.events.append)
        self.voices = SpeechEngines(lambda: config, self.bus)

    def said(self, kind: str) -> list[str]:
        return [event.message for event in self.events if event.kind == kind]


def test_packages_are_found_by_their_names(config):
    told = Told(config)
    recogniser, synthesizer = told.voices.recogniser(), told.voices.synthesizer()
    assert isinstance(recogniser, ModelRecogniser)
    assert isinstance(synthesizer, ModelSynthesizer)
    assert len(told.said("speech.loaded")) == 2
    assert told.voices.troubles == {}
    recogniser.close()
    synthesizer.close()


def test_a_missing_package_is_said_in_one_sentence_and_done_without(config, tmp_path):
    told = Told(config)
    shutil.rmtree(tmp_path / "models" / "tiny-stt")
    (tmp_path / "models" / "tiny-tts" / "model.tflite").write_bytes(b"")
    assert told.voices.recogniser() is None
    assert told.voices.synthesizer() is None
    missing = told.said("speech.missing")
    assert missing[0] == f"There is no model tiny-stt in {tmp_path / 'models'}: commands are heard but not understood"
    assert (
        missing[1].endswith("is empty, the manifest says 366512: answers are not spoken") or "is empty" in missing[1]
    )
    assert told.voices.troubles == {"stt": missing[0], "tts": missing[1]}
    assert [event.level for event in told.events] == [4, 4]
    assert told.voices.recogniser() is None
    assert told.events[-1].level == 6, "the same again is no news"


def test_what_is_there_is_told_without_loading_it(config, tmp_path):
    text = examine(config, "stt")
    assert text.startswith("kyutai-tiny-stt ")
    assert text.endswith("every file has its size and sha256")
    (tmp_path / "models" / "tiny-tts-codec" / "model.tflite").write_bytes(b"x")
    with pytest.raises(ModelError, match="the manifest says"):
        examine(config, "tts")
    config.speech.stt, config.speech.wyoming, config.speech.tts = "wyoming", "tcp://ha:10300", "off"
    assert examine(config, "stt") == "stt: the engine at tcp://ha:10300"
    assert examine(config, "tts") == ""


def test_off_is_silent_and_loads_nothing(config):
    for word in ("off", "none", ""):
        config.speech.stt = config.speech.tts = word
        told = Told(config)
        assert told.voices.recogniser() is None
        assert told.voices.synthesizer() is None
        assert told.events == []


def test_engines_and_named_packages(config, tmp_path):
    speech = config.speech
    speech.stt = speech.tts = "wyoming"
    speech.wyoming, speech.wyoming_tts = "tcp://127.0.0.1:10300", "tcp://127.0.0.1:10200"
    check_agreement(config)
    told = Told(config)
    assert isinstance(told.voices.recogniser(), WyomingRecogniser)
    assert isinstance(told.voices.synthesizer(), WyomingSynthesizer)
    speech.stt, speech.model = "model", str(tmp_path / "models" / "tiny-stt")
    speech.codec = str(FIXTURES / "kyutai-tiny" / "codec")
    assert package_of(speech, "stt") == speech.model
    recogniser = told.voices.recogniser()
    assert isinstance(recogniser, ModelRecogniser)
    recogniser.close()
    speech.stt = "tiny-tts"
    assert told.voices.recogniser() is None
    assert "tiny-tts is made for tts, not for stt" in told.said("speech.missing")[0]


def test_contradictions_are_named_all_at_once_where_they_were_written(config, tmp_path):
    check_agreement(config)
    config.speech.stt = "wyoming"
    config.speech.tts = "wyoming"
    config.speech.wyoming_tts = "http://x"
    config.audio.output = "file:answers"
    with pytest.raises(ConfigError) as caught:
        check_agreement(config)
    assert caught.value.problems == [
        'speech.wyoming: must be tcp://HOST:PORT or unix://PATH when speech.stt is "wyoming", and it is empty',
        'speech.wyoming_tts: must be tcp://HOST:PORT or unix://PATH when speech.tts is "wyoming", not "http://x"',
        'audio.output: must name a folder by its whole path, such as "file:/var/tmp", not "file:answers"',
    ]
    path = tmp_path / "noctule.toml"
    path.write_text('[speech]\nstt = "model"\ntts = "off"\n[audio]\noutput = "loud"\n')
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    assert caught.value.problems == [
        f'{path}:2: speech.model: must name a package when speech.stt is "model"',
        f'{path}:5: audio.output: must be "speaker", "off" or "file:FOLDER", not "loud"',
    ]
    config.speech.stt = "model"
    with pytest.raises(ConfigError, match=r"speech\.model"):
        package_of(config.speech, "stt")


def test_the_loudspeaker(config, tmp_path):
    assert isinstance(loudspeaker(config), PortAudioSpeaker)
    config.audio.output = "off"
    assert loudspeaker(config) is None
    config.audio.output = f"file:{tmp_path}"
    speaker = loudspeaker(config)
    assert isinstance(speaker, WavSpeaker)
    assert speaker.name == str(tmp_path)


def test_the_configured_confidence(config):
    voices = Told(config).voices
    assert voices.threshold() is None
    config.speech.confidence = 0.0
    assert voices.threshold() == 0.0
