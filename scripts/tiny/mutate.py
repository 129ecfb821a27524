"""What people put around a request, what goes wrong in it, and how a request turns into something else."""

from __future__ import annotations

import string
from random import Random

from tiny import slots
from tiny.expand import Piece
from tiny.split import Part, Source


def _heads(text: str) -> list[str]:
    """What stands before a request, each with the space after it."""
    return [item.strip() + " " for item in text.replace("\n", "").split("|")]


def _tails(text: str) -> list[str]:
    """What stands after a request, each with the space before it."""
    return [" " + item.strip() for item in text.replace("\n", "").split("|")]


_BEFORE_IMPERATIVE = _heads("""
please|can you|could you|could you please|can you please|would you|will you|i want you to
|i'd like you to|hey noctule|noctule|ok|okay|hey|um|uh|so|just|quickly|go ahead and|hey can you
|noctule please|would you please|hello|hi can you|now|i need you to|uh can you|okay noctule
|hi noctule
""")
_BEFORE_QUESTION = _heads("""
hey|noctule|um|uh|so|okay|excuse me|hey noctule|ok|hi|hello noctule|well|and|ok noctule|sorry|listen
""")
_AFTER = _tails("""
please|now|for me|thanks|thank you|right now|quickly|if you can|will you|okay|noctule|then|again
|would you|real quick|please noctule|right away|can you
""")
_BEFORE_TEST = ["be so kind and ", "i would love you to ", "my friend please ", "alright ", "say noctule "]
_AFTER_TEST = [" if you don't mind", " when you can", " my friend", " if possible", " this minute please"]
_FILLERS = ["uh", "um", "like", "you know", "er", "well", "so"]
_SMALL = {"a", "the", "for", "me", "my", "to", "of", "is", "an", "on"}


def decorate(pieces: list[Piece], question: bool, part: Part, rng: Random) -> list[Piece]:
    """Put "please", "can you", "hey noctule" … around a request, or nothing (half of the time)."""
    draw = rng.random()
    if draw < 0.5:
        return pieces
    test = part == "test" and rng.random() < 0.5
    before = _BEFORE_TEST[2 if question else 0 :] if test else _BEFORE_QUESTION if question else _BEFORE_IMPERATIVE
    after = _AFTER_TEST if test else _AFTER
    decorated = pieces
    if draw < 0.85:
        decorated = [Piece(rng.choice(before)), *decorated]
    if draw > 0.75:
        decorated = [*decorated, Piece(rng.choice(after))]
    return decorated


def disturb(pieces: list[Piece], rng: Random) -> list[Piece]:
    """Typing mistakes, hesitation and dropped small words, in a tenth of the requests; slots stay whole."""
    draw = rng.random()
    if draw > 0.1:
        return pieces
    changed = []
    for piece in pieces:
        if piece.slot:
            changed.append(piece)
            continue
        words = piece.text.split(" ")
        real = [index for index, word in enumerate(words) if word]
        if real:
            index = rng.choice(real)
            if draw < 0.03:
                words[index] = _typo(words[index], rng)
            elif draw < 0.06:
                words[index] = f"{words[index]} {rng.choice(_FILLERS)}"
            elif draw < 0.08 and words[index] in _SMALL:
                del words[index]
            elif draw >= 0.08 and draw < 0.09:
                words[index] = f"{words[index]} {words[index]}"
        changed.append(Piece(" ".join(words)))
    return changed


def _typo(word: str, rng: Random) -> str:
    if len(word) < 4 or not word.isalpha():
        return word
    at = rng.randrange(1, len(word) - 1)
    kind = rng.randrange(4)
    if kind == 0:
        return word[:at] + word[at + 1] + word[at] + word[at + 2 :]
    if kind == 1:
        return word[:at] + word[at + 1 :]
    if kind == 2:
        return word[:at] + word[at] + word[at:]
    return word[:at] + rng.choice(string.ascii_lowercase) + word[at + 1 :]


_NEGATIONS = _heads("""
don't|do not|please don't|never|you must not|i don't want you to|i didn't ask you to|no need to
|please do not|you don't have to|there's no need to|i don't want to|you shouldn't
|whatever you do don't|better not
""")
_NEGATIONS_TEST = [
    "under no circumstances ",
    "refuse to ",
    "i would hate it if you were to ",
    "i forbid you to ",
    "stop trying to ",
]
_HOW = _heads("""
how do i|how can i|how would i|how to|why did you|why do people|who can|when did i|when should i
|where can i|why would i|what happens when i|is it hard to|how do people
|have you ever seen a robot|what does it mean to|who told you to|how often do you|why can't i
|did you ever|do i have to|what's the best way to
""")
_HOW_TEST = [
    "is it rude to ",
    "how much does it cost to ",
    "what are the steps to ",
    "who is allowed to ",
    "what's a good reason to ",
]
_OTHERS = _heads("""
i forgot to|my boss told me to|i like to|i tried to|i used to|she asked him to|they wanted to
|he said to|my sister wants to|i always|yesterday i had to|nobody wants to|we used to|i can
|you could never|people|robots|the man who|i hope they|maybe i should|it is hard to|i saw a man
|my phone can|last night you tried to|i wonder why people|next week i will|tomorrow we|the children
|one day i'll
""")
_OTHERS_TEST = [
    "i regret that i had to ",
    "the neighbours ",
    "in the film they ",
    "my grandmother would ",
    "in my dream i had to ",
]
_ELSEWHERE = _tails("""
on my phone|on the tv|on the oven|on my watch|on my laptop|in the car|at my office|on the radio
|on the microwave|for the neighbours|on my tablet|in the kitchen speaker|on the dishwasher|at work
|on the xbox|of my car|on the washing machine
""")
_ELSEWHERE_TEST = [" on the fridge", " on my bike", " on the playstation", " at the hotel", " on the boat"]
# Only these make sense "on my phone"; "how hot is the cpu on the oven" would be nobody's request.
_ELSEWHERE_ACTIONS = {"timer.set", "volume.set", "volume.up", "volume.down", "volume.mute", "mute", "snapshot"}
#: "don't mute", "never stop" and the like mean too many things to be held against the model.
_NOT_MUTATED = {"stop", "help"}


def mutate(text: str, source: Source, part: Part, rng: Random) -> tuple[str, str, str]:
    """Turn a request for an action into something that asks for none. -> (text, refusal, topic)."""
    test = part == "test"
    if source.action == "time" and rng.random() < 0.7:
        return f"{text} in {rng.choice(slots.CITIES)}", "knowledge", "mutated: elsewhere"
    if source.template.question or source.action in _NOT_MUTATED:
        person = rng.choice(slots.PERSONS)
        head = rng.choice(
            [
                f"{person} asked ",
                f"ask {person} ",
                "i wrote down ",
                f"i told {person} ",
                "the next question was ",
                f"they shouted at {person} ",
            ]
        )
        return f"{head}{text}", "unable", "mutated: reported"
    kinds = ["negation", "how", "others"] + (["elsewhere"] * 2 if source.action in _ELSEWHERE_ACTIONS else [])
    kind = rng.choice(kinds)
    if kind == "negation":
        return rng.choice(_NEGATIONS_TEST if test else _NEGATIONS) + text, "negation", "mutated: negation"
    if kind == "how":
        return rng.choice(_HOW_TEST if test else _HOW) + text, "writing", "mutated: how and why"
    if kind == "others":
        return rng.choice(_OTHERS_TEST if test else _OTHERS) + text, "unable", "mutated: others"
    return text + rng.choice(_ELSEWHERE_TEST if test else _ELSEWHERE), "devices", "mutated: elsewhere"


_SALAD = """the of and to in is you that it he was for on are as with his they at be this have from or one had by but not what all
were we when your can said there use an each which she do how their if will up other about out many then them these so some her
would make like him into time has look two more write go see number no way could people my than first water been call who oil its
now find long down day did get come made may part timer picture volume stop minutes seconds sound camera screen record clock hot
""".split()


def salad(part: Part, rng: Random) -> str:
    """Words without sense: common ones, made-up ones, or both."""
    length = rng.randint(1, 9)
    invented = rng.choice([0.0, 0.3, 1.0])
    # A salad of words that do sound like a request would be mislabelled: keep at least three common words.
    if invented == 0.0:
        length = max(length, 4)
    return " ".join(slots.pseudo_word(rng) if rng.random() < invented else rng.choice(_SALAD) for _ in range(length))
