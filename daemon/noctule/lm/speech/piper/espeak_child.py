"""The process that holds espeak-ng: one line of JSON in, one out. Run by its path; imports the standard library only.

    {"voice": "en-us", "text": "Hello, you."}  ->  {"clauses": [["həlˈoʊ", ",", false], ["juː", ".", true]]}

espeak-ng (GPL-3) is a library of the system, in a process of its own. Its releases differ. Before 1.52 a clause's
punctuation is not told, but shows in the text it has consumed; the glide between "the" and "old" is named in its own
alphabet (";") and left out of the IPA, so both are asked for; and American "for" is written with another vowel.
What is given here is what 1.52 gives.
"""

import ctypes
import json
import re
import sys

LIBRARIES = ("libespeak-ng.so.1", "libespeak-ng.so")
#: output modes of espeak_TextToPhonemes: IPA, and a sign put between phonemes
_IPA, _SEPARATOR = 0x02, "|"
_UTF8, _NO_SOUND = 1, 2
_MARKS = ".,:;?!\u2026\u2013\u2014"
#: what ends a clause: only spaces and quotes follow it, and before a further clause one letter of that
_END = re.compile(rf"([{_MARKS}]+)(?:\s+[\u2013\u2014]+)?[^\w{_MARKS}]*\w?\Z")
_LAST = re.compile(rf"([{_MARKS}]+)(?:\s+[\u2013\u2014]+)?[^\w{_MARKS}]*\Z")
_MEANT = {"\u2013": ";", "\u2014": ";", "\u2026": ""}
_STRESS = "',%="
#: American words whose pronunciation has changed
_NEWER = (("oːɹ", "ɔːɹ"), ("hˈæzbiːn", "hɐzbɪn"))


class EspeakLibrary:
    """The library. Raises OSError when it or its data is missing."""

    def __init__(self) -> None:
        for name in LIBRARIES:
            try:
                self._library = ctypes.CDLL(name)
                break
            except OSError:
                continue
        else:
            raise OSError("espeak-ng's library is not installed")
        if self._library.espeak_Initialize(_NO_SOUND, 0, None, 0) < 0:
            raise OSError("espeak-ng's data is not installed")
        self._convert = self._library.espeak_TextToPhonemes
        self._convert.restype = ctypes.c_char_p
        self._convert.argtypes = (ctypes.POINTER(ctypes.c_void_p), ctypes.c_int, ctypes.c_int)
        self._voice = ""

    def clauses(self, voice: str, text: str) -> "list[tuple[str, str, bool]]":
        """(IPA, the sign that ended it, whether a sentence ended) of each clause. Raises LookupError for a voice."""
        if voice != self._voice:
            if self._library.espeak_SetVoiceByName(voice.encode()) != 0:
                raise LookupError(voice)
            self._voice = voice
        separator = ord(_SEPARATOR) << 8
        signs = self._run(text, _IPA | separator)
        names = self._run(text, separator)
        out = []
        for number, (phonemes, consumed) in enumerate(signs):
            own = names[number][0] if len(names) == len(signs) else ""
            mark, ends = ending(consumed, last=number + 1 == len(signs))
            out.append((self._newer(merged(phonemes, own)), mark, ends))
        return out

    def _run(self, text: str, mode: int) -> "list[tuple[str, str]]":
        """(phonemes, text consumed) of each clause."""
        data = text.replace("\0", " ").encode("utf-8", "replace")
        buffer = ctypes.create_string_buffer(data + b"\0")
        start = ctypes.addressof(buffer)
        pointer, at, out = ctypes.c_void_p(start), 0, []
        while pointer.value:
            phonemes = self._convert(ctypes.byref(pointer), _UTF8, mode) or b""
            end = pointer.value - start if pointer.value else len(data)
            out.append((phonemes.decode("utf-8", "replace"), data[at:end].decode("utf-8", "replace")))
            at = end
        return out

    def _newer(self, phonemes: str) -> str:
        if self._voice in ("en-us", "en"):
            for old, new in _NEWER:
                phonemes = phonemes.replace(old, new)
        return phonemes


def ending(consumed: str, *, last: bool) -> "tuple[str, bool]":
    """(the sign that ends a clause: one of . ? ! , : ; or none, whether a sentence ends), from the text it took."""
    found = (_LAST if last else _END).search(consumed)
    if found is None:
        return "", last or "\n" in consumed
    marks = found.group(1)
    if marks.startswith("..."):
        return "", False
    sign = _MEANT.get(marks[0], marks[0])
    return sign, sign in (".", "?", "!")


def merged(signs: str, names: str) -> str:
    """IPA without separators, and with the glides that are only in espeak-ng's own alphabet."""
    words, others = signs.split(" "), names.split(" ")
    if len(words) != len(others):
        return signs.replace(_SEPARATOR, "")
    out = []
    for word, other in zip(words, others, strict=True):
        parts, own = word.split(_SEPARATOR), other.split(_SEPARATOR)
        if len(parts) == len(own):
            parts = ["ʲ" if name.strip(_STRESS) == ";" else part for part, name in zip(parts, own, strict=True)]
        out.append("".join(parts))
    return " ".join(out)


def main() -> int:
    """Answer until the other side closes the pipe."""
    try:
        espeak = EspeakLibrary()
    except OSError as error:
        print(json.dumps({"error": str(error)}), flush=True)
        return 1
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        asked = json.loads(line)
        answer: dict[str, object]
        try:
            answer = {"clauses": espeak.clauses(asked["voice"], asked["text"])}
        except LookupError as error:
            answer = {"unknown": str(error.args[0])}
        print(json.dumps(answer), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
