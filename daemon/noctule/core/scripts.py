"""Which script a text is written in, and whether a voice of a language can speak it."""

from __future__ import annotations

import unicodedata

#: first word of a letter's Unicode name -> what people call the script.
_SCRIPTS = {
    "LATIN": "Latin", "CYRILLIC": "Cyrillic", "GREEK": "Greek", "CJK": "Chinese", "HIRAGANA": "Japanese",
    "KATAKANA": "Japanese", "HANGUL": "Korean", "ARABIC": "Arabic", "HEBREW": "Hebrew", "DEVANAGARI": "Devanagari",
    "BENGALI": "Bengali", "TAMIL": "Tamil", "TELUGU": "Telugu", "KANNADA": "Kannada", "MALAYALAM": "Malayalam",
    "GUJARATI": "Gujarati", "GURMUKHI": "Gurmukhi", "SINHALA": "Sinhala", "THAI": "Thai", "LAO": "Lao",
    "GEORGIAN": "Georgian", "ARMENIAN": "Armenian", "ETHIOPIC": "Ethiopic", "KHMER": "Khmer", "MYANMAR": "Burmese",
    "TIBETAN": "Tibetan",
}  # fmt: skip
#: language -> the scripts it is written in, where that is not Latin.
_WRITTEN = {
    "ru": {"Cyrillic"}, "uk": {"Cyrillic"}, "bg": {"Cyrillic"}, "kk": {"Cyrillic"}, "be": {"Cyrillic"},
    "mk": {"Cyrillic"}, "sr": {"Cyrillic", "Latin"}, "el": {"Greek"}, "zh": {"Chinese"}, "cmn": {"Chinese"},
    "yue": {"Chinese"}, "ja": {"Japanese", "Chinese"}, "ko": {"Korean", "Chinese"}, "ar": {"Arabic"},
    "fa": {"Arabic"}, "ur": {"Arabic"}, "he": {"Hebrew"}, "hi": {"Devanagari"}, "ne": {"Devanagari"},
    "mr": {"Devanagari"}, "bn": {"Bengali"}, "ta": {"Tamil"}, "te": {"Telugu"}, "kn": {"Kannada"},
    "ml": {"Malayalam"}, "gu": {"Gujarati"}, "pa": {"Gurmukhi"}, "si": {"Sinhala"}, "th": {"Thai"},
    "ka": {"Georgian"}, "hy": {"Armenian"}, "am": {"Ethiopic"}, "my": {"Burmese"},
}  # fmt: skip


def scripts_of(text: str) -> list[str]:
    """The scripts of the letters of a text, in the order in which they come."""
    found: dict[str, None] = {}
    for char in text:
        if char.isalpha():
            found[_SCRIPTS.get(unicodedata.name(char, "").partition(" ")[0], "another")] = None
    return list(found)


def foreign_script(text: str, language: str) -> str:
    """The script of a text that a voice of `language` ("en-us") has no letter of; "" where it can speak some of it.

    Every voice is taken to know Latin letters; of a text without letters (figures, signs) nothing is said.
    """
    known = {"Latin"} | _WRITTEN.get(language.lower().replace("_", "-").partition("-")[0], set())
    scripts = scripts_of(text)
    return scripts[0] if scripts and not known & set(scripts) else ""
