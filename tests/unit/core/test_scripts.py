"""The script of a text, and whether a voice has letters for it."""

from __future__ import annotations

import pytest

from noctule.core.scripts import foreign_script, scripts_of


@pytest.mark.parametrize(
    ("text", "language", "script"),
    [
        ("你好", "en-us", "Chinese"),
        ("Привет!", "en_US", "Cyrillic"),
        ("こんにちは", "en", "Japanese"),
        ("안녕", "de", "Korean"),
        ("Hello 你好", "en-us", ""),
        ("你好", "cmn", ""),
        ("你好", "zh_CN", ""),
        ("Привет", "ru", ""),
        ("γειά", "el", ""),
        ("25 °C ... 12:30", "en-us", ""),
        ("", "en", ""),
        ("Küche, naïve, œuvre", "en", ""),
        ("Hello", "ru", ""),
    ],
)
def test_what_a_voice_has_no_letters_for(text: str, language: str, script: str) -> None:
    assert foreign_script(text, language) == script


def test_scripts_come_in_their_order() -> None:
    assert scripts_of("Noctule 客厅 кухня Noctule") == ["Latin", "Chinese", "Cyrillic"]
