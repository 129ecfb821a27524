"""How a person reads a written answer: numbers, times, dates, units and abbreviations as words.

    said("It is 16:07, 21.5 °C.")    # It is sixteen oh seven, twenty one point five degrees.

For voices that take ordinary writing (`text_normalisation.spoken` is for models trained on bare words): capitals and
punctuation, which carry the melody, are kept. English only; a voice of another language reads its own figures.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable

from noctule.lm.speech.text_normalisation import cardinal, digits, ordinal, year

_MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)
_MONTH = "|".join([*_MONTHS, *(rf"{month[:3]}\.?" for month in _MONTHS)])
_UNITS = {
    "°c": ("degree", "degrees"), "°": ("degree", "degrees"), "°f": ("degree Fahrenheit", "degrees Fahrenheit"),
    "%": ("percent", "percent"), "tb": ("terabyte", "terabytes"), "gb": ("gigabyte", "gigabytes"),
    "mb": ("megabyte", "megabytes"), "kb": ("kilobyte", "kilobytes"), "kwh": ("kilowatt hour", "kilowatt hours"),
    "wh": ("watt hour", "watt hours"), "ms": ("millisecond", "milliseconds"), "s": ("second", "seconds"),
    "sec": ("second", "seconds"), "min": ("minute", "minutes"), "h": ("hour", "hours"), "hr": ("hour", "hours"),
    "hrs": ("hours", "hours"),
    "km/h": ("kilometre an hour", "kilometres an hour"), "mph": ("mile an hour", "miles an hour"),
    "m/s": ("metre a second", "metres a second"), "km": ("kilometre", "kilometres"), "m": ("metre", "metres"),
    "cm": ("centimetre", "centimetres"), "mm": ("millimetre", "millimetres"), "kg": ("kilogram", "kilograms"),
    "g": ("gram", "grams"), "mg": ("milligram", "milligrams"), "l": ("litre", "litres"),
    "ml": ("millilitre", "millilitres"),
    "kw": ("kilowatt", "kilowatts"), "w": ("watt", "watts"), "v": ("volt", "volts"), "a": ("amp", "amps"),
    "khz": ("kilohertz", "kilohertz"), "mhz": ("megahertz", "megahertz"), "ghz": ("gigahertz", "gigahertz"),
    "hz": ("hertz", "hertz"), "px": ("pixel", "pixels"), "fps": ("frame a second", "frames a second"),
    "hpa": ("hectopascal", "hectopascals"), "lb": ("pound", "pounds"), "lbs": ("pounds", "pounds"),
    "oz": ("ounce", "ounces"),
    "ft": ("foot", "feet"), "mi": ("mile", "miles"), "db": ("decibel", "decibels"), "x": ("times", "times"),
}  # fmt: skip
#: units that are a letter or a common word: only these spellings, and only right behind a number
_EXACT = {"h", "m", "s", "g", "l", "a", "v", "w", "x", "min"}
_MONEY = {"€": ("euro", "euros", "cents"), "$": ("dollar", "dollars", "cents"), "£": ("pound", "pounds", "pence")}
_SIGNS = {"&": "and", "+": "plus", "=": "equals", "@": "at", "€": "euros", "£": "pounds", "\u00d7": "times"}
_SHORT = {
    "e.g.": "for example", "i.e.": "that is", "etc.": "and so on", "vs.": "versus", "approx.": "about",
    "Mr.": "Mister",
    "Mrs.": "Missus", "Dr.": "Doctor", "Prof.": "Professor", "St.": "Saint", "min.": "minutes", "OK": "okay",
    "Wi-Fi": "wifi",
}  # fmt: skip
_DAYS = {f"{d[:3]}.": d for d in ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")}

_FILE = re.compile(r":?\s*(?<![\w.-])[\w/-][\w./-]*\.(?:jpe?g|png|mp4|wav|toml|json|txt|log)\b")
_ISO = re.compile(r"(?<![\w-])(\d{4})-(0[1-9]|1[0-2])-([0-2]\d|3[01])(?![\w-])")
_DAY_MONTH = re.compile(rf"\b(\d{{1,2}})(?:st|nd|rd|th)?(?: of)? ({_MONTH})(?![a-z])(?:,? (\d{{4}})\b)?")
_MONTH_DAY = re.compile(rf"\b({_MONTH}) (\d{{1,2}})(?:st|nd|rd|th)?\b(?!:)(?:,? (\d{{4}})\b)?")
_CLOCK = re.compile(r"(?<![\d:.])([01]?\d|2[0-4]):([0-5]\d)(?::([0-5]\d))?(?![\d:])(?: ?([AaPp])\.?[Mm]\b\.?)?")
_HOUR = re.compile(r"(?<![\d:.])(1[0-2]|[1-9]) ?([AaPp])\.?[Mm]\b\.?(?=\s|$|[,;!?])")
_PRICE = re.compile(r"([€$£])\s?(\d+(?:,\d{3})*)(?:\.(\d{2}))?(?![\d.])")
_YEAR = re.compile(r"\b(in|since|until|after|before|of) (1[5-9]\d\d|20\d\d)(?=[\s.,;!?]|$)(?! [a-z])")
_ORDINAL = re.compile(r"\b(\d{1,9})(?:st|nd|rd|th)\b")
_RANGE = re.compile(r"(?<![\w.,-])(\d+(?:\.\d+)?)\s?[-\u2013]\s?(\d+(?:\.\d+)?)(?![\w-]|\.\d)")
_VERSION = re.compile(r"(?<![\w.])\d+(?:\.\d+){2,}(?![\w.]*\d)")
_FRACTIONS = {"1/2": "a half", "1/3": "a third", "2/3": "two thirds", "1/4": "a quarter", "3/4": "three quarters"}
_FRACTION = re.compile(r"(?<![\w/.])(?:(\d+) )?(1/2|1/3|2/3|1/4|3/4)(?![\w/])")
_UNIT = "|".join(sorted((re.escape(unit) for unit in _UNITS), key=len, reverse=True))
_NUMBER = re.compile(
    r"(?<![\w.])([-\u2212+])?(\d+(?:,\d{3})+(?!\d)|\d+)(?:\.(\d+))?"
    rf"(?:([ \u00a0]?)({_UNIT})(?![\w°%/]))?",
    re.IGNORECASE,
)
_BESIDE = re.compile(r"(?<=\d)(?=[A-Za-z])|(?<=[A-Za-z])(?=\d)")
_SPACES = re.compile(r"[ \t\u00a0]+")


def said(text: str) -> str:
    """`text` with figures, signs and abbreviations as words; "" when nothing in it can be said."""
    for sign in "\u2019\u02bc`\u2018":
        text = text.replace(sign, "'")
    text = _FILE.sub(" ", text.replace("\u201c", '"').replace("\u201d", '"'))
    for short, full in (_SHORT | _DAYS).items():
        text = re.sub(rf"(?<![\w.]){re.escape(short)}(?!\w)", full, text)
    for pattern, read in _READERS:
        text = pattern.sub(read, text)
    # what is left of figures is joined to letters ("mp3", "B12"): each by itself
    text = re.sub(r"\d+", lambda found: f" {_plain(found.group())} ", _BESIDE.sub(" ", text))
    for sign, word in _SIGNS.items():
        text = text.replace(sign, f" {word} ")
    text = "".join(c if _sayable(c) else " " for c in text)
    text = re.sub(r"\s+([,.;:!?])", r"\1", _SPACES.sub(" ", text)).strip()
    return text if any(c.isalnum() for c in text) else ""


def _sayable(sign: str) -> bool:
    """Letters, figures and punctuation; no emoji, arrows, boxes, or signs nobody reads out."""
    return sign in "\n " or (unicodedata.category(sign)[0] in "LNMPZ" and sign not in "*_#|~<>\\^{}")


def _plain(figures: str) -> str:
    """A whole number; one that begins with 0, or is as long as a telephone's, digit by digit."""
    return digits(figures) if len(figures) > 9 or (len(figures) > 1 and figures[0] == "0") else cardinal(int(figures))


def _month(text: str) -> str:
    return next(month for month in _MONTHS if month[:3] == text[:3])


def _date(day: str, month: str, whole_year: str | None) -> str:
    words = f"the {ordinal(int(day))} of {month}"
    return f"{words} {year(int(whole_year))}" if whole_year else words


def _clock(match: re.Match[str]) -> str:
    hour, minute, second, half = int(match[1]), int(match[2]), match[3], match[4]
    if minute:
        words = f"{cardinal(hour)} {'oh ' if minute < 10 else ''}{cardinal(minute)}"
    elif half:
        words = cardinal(hour)
    elif hour in (0, 24):
        words = "midnight"
    else:
        words = f"{cardinal(hour)} o'clock" if hour <= 12 else f"{cardinal(hour)} hundred"
    if second and int(second):
        words += f" and {cardinal(int(second))} second{'s' * (int(second) != 1)}"
    return f"{words} {half.upper()} M" if half else words


def _price(match: re.Match[str]) -> str:
    one, several, small = _MONEY[match[1]]
    whole = int(match[2].replace(",", ""))
    words = f"{cardinal(whole)} {one if whole == 1 else several}"
    return f"{words} {cardinal(int(match[3]))} {small}" if match[3] and int(match[3]) else words


def _number(match: re.Match[str]) -> str:
    sign, whole, fraction, gap, unit = match.groups()
    figures = whole.replace(",", "")
    rest = ""
    if unit and (unit.lower() not in _EXACT or unit in _EXACT or unit in "WVA"):
        one, several = _UNITS[unit.lower()]
        rest = f" {one if figures == '1' and not fraction else several}"
    elif unit:
        rest = gap + unit
    words = _plain(figures) if not fraction else f"{cardinal(int(figures))} point {digits(fraction)}"
    named = {"+": "plus ", None: ""}.get(sign, "minus ")
    return f"{named}{words}{rest}"


def _fraction(match: re.Match[str]) -> str:
    words = _FRACTIONS[match[2]]
    return f"{cardinal(int(match[1]))} and {words}" if match[1] else words


#: in this order: a date holds a number, a time holds two
_READERS: tuple[tuple[re.Pattern[str], Callable[[re.Match[str]], str]], ...] = (
    (_ISO, lambda found: _date(found[3], _MONTHS[int(found[2]) - 1], found[1])),
    (_DAY_MONTH, lambda found: _date(found[1], _month(found[2]), found[3])),
    (_MONTH_DAY, lambda found: _date(found[2], _month(found[1]), found[3])),
    (_CLOCK, _clock),
    (_HOUR, lambda found: f"{cardinal(int(found[1]))} {found[2].upper()} M"),
    (_PRICE, _price),
    (_FRACTION, _fraction),
    (_YEAR, lambda found: f"{found[1]} {year(int(found[2]))}"),
    (_ORDINAL, lambda found: ordinal(int(found[1]))),
    (_VERSION, lambda found: " point ".join(_plain(part) for part in found.group().split("."))),
    (_RANGE, lambda found: f"{found[1]} to {found[2]}"),
    (_NUMBER, _number),
)
