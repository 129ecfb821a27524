"""What a written answer sounds like: digits, signs and units as words. Pure.

    spoken("Timer set for 5 minutes.")            # timer set for five minutes
    spoken("It is 9:05, at 21.5 °C.")             # it is nine oh five <break time="0.16s"/> at twenty one point …

A model that was trained on words alone (its manifest says `streams.tts.text` = "spoken-en") reads this form: words
of a to z and inner apostrophes, single blanks, and the pauses of the script language (`words.script_entries`).
Names of files are for the eye and are left out. English only, as the shipped voice is.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable

#: the manifest's name for this form
ENGLISH = "spoken-en"
#: seconds of silence that a sign stands for
_SHORT, _LONG = 0.16, 0.32
#: from here on a number is said digit by digit
_LARGEST = 10**12


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


_ONES = _words(
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen"
    " eighteen nineteen"
)
_TENS = _words("zero ten twenty thirty forty fifty sixty seventy eighty ninety")
_SCALES = ((10**9, "billion"), (10**6, "million"), (1000, "thousand"), (100, "hundred"))
_ORDINALS = {
    "one": "first", "two": "second", "three": "third", "five": "fifth", "eight": "eighth", "nine": "ninth",
    "twelve": "twelfth",
}  # fmt: skip
_MONTHS = "january february march april may june july august september october november december"
#: after a number: (one of it, several)
_UNITS = {
    "°c": ("degree", "degrees"), "°": ("degree", "degrees"), "°f": ("degree fahrenheit", "degrees fahrenheit"),
    "%": ("percent", "percent"), "gb": ("gigabyte", "gigabytes"), "mb": ("megabyte", "megabytes"),
    "kb": ("kilobyte", "kilobytes"), "tb": ("terabyte", "terabytes"), "ms": ("millisecond", "milliseconds"),
    "s": ("second", "seconds"), "sec": ("second", "seconds"), "min": ("minute", "minutes"), "h": ("hour", "hours"),
    "km": ("kilometre", "kilometres"), "m": ("metre", "metres"), "cm": ("centimetre", "centimetres"),
    "mm": ("millimetre", "millimetres"), "kg": ("kilogram", "kilograms"), "g": ("gram", "grams"),
    "w": ("watt", "watts"), "v": ("volt", "volts"), "hz": ("hertz", "hertz"), "khz": ("kilohertz", "kilohertz"),
    "px": ("pixel", "pixels"), "fps": ("frame a second", "frames a second"),
}  # fmt: skip
_SIGNS = {"&": "and", "+": "plus", "=": "equals", "@": "at", "€": "euros", "$": "dollars", "£": "pounds"}
_ABBREVIATIONS = {"ok": "okay", "e.g.": "for example", "i.e.": "that is", "etc.": "and so on", "vs.": "versus"}

_BREAK = re.compile(r'<break\s+time="\d+(?:\.\d*)?s"\s*/?>')
# "camera-3.jpg" with the colon that announces it
_FILE = re.compile(r":?\s*(?<![\w.-])[\w/-][\w./-]*\.(?:jpe?g|png|mp4|wav|toml|json|txt|log)\b")
_PRICE = re.compile(r"([€$£])\s?(\d[\d,.]*)(?<![,.])")
_CLOCK = re.compile(r"\b([01]?\d|2[0-3]):([0-5]\d)(?::[0-5]\d)?\b")
_DATE = re.compile(rf"\b(\d{{1,2}})(?:st|nd|rd|th)? ({'|'.join(_MONTHS.split())})\b(?: (\d{{4}})\b)?", re.IGNORECASE)
_ORDINAL = re.compile(r"\b(\d{1,9})(?:st|nd|rd|th)\b")
_NUMBER = re.compile(
    r"(?<![\w.])([-\u2212])?(\d+(?:,\d{3})+|\d+)(?:\.(\d+))?"
    rf"(?:[ \u00a0]?({'|'.join(sorted((re.escape(u) for u in _UNITS), key=len, reverse=True))})(?![\w°%]))?",
    re.IGNORECASE,
)
_CAPITALS = re.compile(r"\b(?=[A-Z0-9]*[A-Z])(?:[BCDFGHJKLMNPQRSTVWXZ]{2,5}|[A-Z]{2,3})\b")
#: capitals that are words
_WORDS_IN_CAPITALS = frozenset(
    _words(
        "IT IS IN ON AM AT BE BY DO GO HE IF ME MY NO OF OR SO TO UP US WE AND FOR NOT THE YES YOU RAM GET SET OFF"
    )
)
_STOP = re.compile(r"[.!?;:\u2026]+(?=\s|$)|\s[-\u2013\u2014]+\s|[\u2013\u2014]|\n+")
_COMMA = re.compile(r",(?=\s|$)")
_WORD = re.compile(r"[a-z]+(?:'[a-z]+)*")


def spoken(text: str, *, ends: bool = True) -> str:
    """`text` as words and pauses; "" when there is nothing to say in it. ends: the text is complete; a part that
    others follow keeps the pause at its end."""
    pieces: list[str] = []
    at = 0
    for given in [*_BREAK.finditer(text), None]:
        pieces.append(_plain(text[at : given.start() if given else len(text)]))
        if given is None:
            break
        pieces.append(given.group())
        at = given.end()
    return _tidy(" ".join(pieces), ends)


def _plain(text: str) -> str:
    """Text without pauses of its own → words and pauses."""
    for sign in "\u2019\u02bc`\u2018":
        text = text.replace(sign, "'")
    # accents go first, so that every rule below sees the letters that will be read
    text = "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))
    text = _FILE.sub(" ", text)
    for short, full in _ABBREVIATIONS.items():
        text = re.sub(rf"(?<!\w){re.escape(short)}(?!\w)", f" {full} ", text, flags=re.IGNORECASE)
    text = _PRICE.sub(r"\2 \1", text)
    text = _CAPITALS.sub(_letters, text)
    for pattern, read in _READERS:
        text = pattern.sub(read, text)
    for sign, word in _SIGNS.items():
        text = text.replace(sign, f" {word} ")
    text = _STOP.sub(f" <{_LONG}> ", text)
    text = _COMMA.sub(f" <{_SHORT}> ", text)
    out: list[str] = []
    for index, part in enumerate(re.split(r"(<\d\.\d+>)", text)):
        if index % 2:  # a pause of ours; a text may have a "<" of its own
            out.append(f'<break time="{part[1:-1]}s"/>')
            continue
        # once more: an abbreviation may have stood beside what has become words by now ("0OK")
        out += (_ABBREVIATIONS.get(word, word) for word in _WORD.findall(part.casefold()))
    return " ".join(out)


def _tidy(text: str, ends: bool) -> str:
    """No pause before the first word, after the last one, or beside another pause (the longer one stays)."""
    out: list[str] = []
    for token in re.findall(r"<[^>]*>|[^\s<]+", text):
        pause = token.startswith("<")
        if pause and (not out or out[-1].startswith("<")):
            if out:
                out[-1] = max(out[-1], token, key=_seconds)
            continue
        out.append(token)
    if ends and out and out[-1].startswith("<"):
        out.pop()
    return " ".join(out)


def _seconds(pause: str) -> float:
    return float(pause.split('"')[1][:-1])


def _letters(match: re.Match[str]) -> str:
    """CPU → "c p u"; words in capitals stay."""
    word = match.group()
    counted = match.string[: match.start()].rstrip()[-1:].isdigit()
    if word in _WORDS_IN_CAPITALS or (counted and word.lower() in _UNITS):
        return word
    return " ".join(word.lower())


def cardinal(value: int) -> str:
    """0 and up in words: 125 → "one hundred twenty five"; digit by digit from 10^12 on."""
    if value >= _LARGEST:
        return digits(str(value))
    words: list[str] = []
    for scale, name in _SCALES:
        count, value = divmod(value, scale)
        if count:
            words += [cardinal(count), name]
    if value >= 20:
        words.append(_TENS[value // 10])
        value %= 10
    if value or not words:
        words.append(_ONES[value])
    return " ".join(words)


def digits(text: str) -> str:
    """Each digit by itself."""
    return " ".join(_ONES[int(digit)] for digit in text)


def ordinal(value: int) -> str:
    """1 → "first"."""
    head, _, last = cardinal(value).rpartition(" ")
    usual = f"{last[:-1]}ieth" if last.endswith("y") else f"{last}th"
    last = _ORDINALS.get(last, usual)
    return f"{head} {last}".strip()


def year(value: int) -> str:
    """2025 → "twenty twenty five", 1905 → "nineteen oh five", 2005 → "two thousand five"."""
    century, rest = divmod(value, 100)
    if century % 10 == 0 and rest < 10:
        return cardinal(value)
    if rest == 0:
        return f"{cardinal(century)} hundred"
    return f"{cardinal(century)} {'oh ' if rest < 10 else ''}{cardinal(rest)}"


def _clock(match: re.Match[str]) -> str:
    hour, minute = int(match[1]), int(match[2])
    if minute == 0:
        return f"{cardinal(hour)} o'clock" if hour else "midnight"
    return f"{cardinal(hour)} {'oh ' if minute < 10 else ''}{cardinal(minute)}"


def _date(match: re.Match[str]) -> str:
    day = f"the {ordinal(int(match[1]))} of {match[2]}"
    return f"{day} {year(int(match[3]))}" if match[3] else day


def _number(match: re.Match[str]) -> str:
    sign, whole, fraction, unit = match.groups()
    whole = whole.replace(",", "")
    # a number that begins with 0 is no quantity
    words = digits(whole) if len(whole) > 1 and whole[0] == "0" else cardinal(int(whole))
    if fraction:
        words += f" point {digits(fraction)}"
    if unit:
        one, several = _UNITS[unit.lower()]
        words += f" {one if whole == '1' and not fraction else several}"
    return f" minus {words} " if sign else f" {words} "


#: in this order: a date holds a number, a time holds two
_READERS: tuple[tuple[re.Pattern[str], Callable[[re.Match[str]], str]], ...] = (
    (_CLOCK, _clock),
    (_DATE, _date),
    (_ORDINAL, lambda match: ordinal(int(match[1]))),
    (_NUMBER, _number),
)
