"""Values for the slots of phrasings.py and outside.py. Data, and functions that draw from it."""

from __future__ import annotations

from random import Random

NAMES = """
pasta|rice|egg|eggs|tea|green tea|coffee|pizza|bread|cake|cookies|chicken|roast|potatoes|soup|stew|noodles|lasagna|laundry
|washing|dryer|oven|steak|fish|ham|turkey|beans|lentils|pie|muffins|pancakes|waffles|bacon|sourdough|dough|yeast|sauce|gravy
|vegetables|broccoli|carrots|corn|dumplings|sushi rice|porridge|oatmeal|popcorn|toast|bagels|brownies|pudding|custard|jelly
|workout|exercise|plank|push ups|yoga|stretching|meditation|nap|power nap|break|lunch break|coffee break|tea break|homework
|study|reading|piano|guitar|violin practice|chess|game|round|turn|match|meeting|call|phone call|interview|presentation|speech
|parking|parking meter|bus|train|school run|bath|shower|kids bath|bedtime|story|screen time|tv time|time out|dog|dog walk|cat
|medicine|pills|eye drops|ice pack|face mask|hair dye|nail polish|laundry machine|dishwasher|sprinkler|garden hose|pool pump
|glue|paint|varnish|concrete|film developer|fixer|print|backup|upload|build|tests|compile|render|deploy|sprint|standup|pomodoro
|first|second batch|left pan|big pot|kettle|grill|smoker|barbecue|ribs|brisket|sausages|hot dogs|burgers|fries|onions|mushrooms
|marinade|chili|curry|risotto|quinoa|couscous|polenta|grandma|baby|bottle|bottles|sterilizer|fermentation|kombucha|wine|beer
""".replace("\n", "").split("|")

TASKS = """
take out the bread|turn off the oven|check the oven|check the roast|feed the cat|feed the dog|walk the dog|call mum|call the doctor
|move the laundry|hang up the washing|water the plants|close the window|lock the door|take my pills|drink some water|stand up
|stretch|leave|go to bed|wake the kids|pick up the kids|check the mail|take out the trash|turn the steaks|flip the pancakes
|stir the soup|drain the pasta|add the salt|take the cake out|switch the hoses|move the car|feed the meter|join the meeting
|start dinner|stop working|take a break|rinse my hair|empty the dishwasher|turn off the sprinkler|check on the baby|save my work
|send the report|put the rice on|buy milk|check the chicken|open the wine|turn the compost|bring in the washing|get dressed
|catch the bus|charge my phone|put the bins out|get the pizza|pay the sitter|let the dog in|shut the gate|do my exercises
""".replace("\n", "").split("|")

CITIES = "london|paris|tokyo|new york|berlin|madrid|rome|sydney|moscow|cairo|lagos|delhi|toronto|vienna|oslo|lima|boston|chicago|dublin|seoul".split(
    "|"
)
PERSONS = "anna|ben|carla|david|emma|mister smith|napoleon|john|maria|peter|sarah|tom|grandpa|the president|the queen|einstein|uncle joe|lisa|ahmed|yuki".split(
    "|"
)
THINGS = "penguin|guitar|telescope|bicycle|umbrella|democracy|piano|rocket|volcano|dragon|ladder|robot|castle|pencil|bottle|mirror|engine|camera bag|carpet|candle|garden chair|lamp|hammer|river|sandwich|photograph album|wallet|blanket|jacket|tent".split(
    "|"
)
FOODS = "pasta|chicken|rice|salmon|apples|milk|bread|cheese|tofu|pizza|eggs|potatoes|soup|cookies|beef|spinach|ice cream|pancakes|coffee|butter|onions|tomatoes|lasagna|turkey|fish".split(
    "|"
)
SONGS = "yesterday|bohemian rhapsody|the blue danube|let it be|star wars|the lion king|titanic|happy birthday|moonlight sonata|frozen|imagine|thriller".split(
    "|"
)
WEEKDAYS = "monday|tuesday|wednesday|thursday|friday|saturday|sunday".split("|")

_ONES = "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen".split()
_TENS = "- - twenty thirty forty fifty sixty seventy eighty ninety".split()
_ONSETS = "b|c|d|f|g|h|j|k|l|m|n|p|r|s|t|v|w|z|br|ch|cl|cr|dr|fl|gr|pl|pr|sh|sl|sp|st|str|th|tr|".split("|")
_VOWELS = "a|e|i|o|u|ai|ea|ee|oa|oo|ou|y".split("|")
_CODAS = "b|ck|d|g|l|ll|m|n|nd|ng|nt|p|r|rk|s|ss|st|t|x||||".split("|")


def in_words(number: int, rng: Random) -> str:
    """0..999 spelled out, with or without "and"."""
    if number < 20:
        return _ONES[number]
    if number < 100:
        tens, ones = divmod(number, 10)
        return _TENS[tens] if ones == 0 else f"{_TENS[tens]}{rng.choice([' ', '-'])}{_ONES[ones]}"
    hundreds, rest = divmod(number, 100)
    head = f"{rng.choice(['a', _ONES[hundreds]]) if hundreds == 1 else _ONES[hundreds]} hundred"
    return head if rest == 0 else f"{head}{rng.choice([' and ', ' '])}{in_words(rest, rng)}"


def spoken(number: int, rng: Random) -> str:
    """In words or in digits."""
    return str(number) if rng.random() < 0.4 else in_words(number, rng)


def pseudo_word(rng: Random) -> str:
    """A word that no dictionary has: a name the model cannot have seen."""
    return "".join(
        rng.choice(_ONSETS) + rng.choice(_VOWELS) + rng.choice(_CODAS) for _ in range(rng.choice([1, 2, 2, 3]))
    )


#: Held out: durations with these counts, percentages of these values, and every fifth name and task occur only in tests.
HELD_OUT_COUNTS = frozenset({7, 11, 14, 18, 22, 33, 35, 42, 48, 55, 70, 95})


def _count(rng: Random, held_out: bool, most: int) -> int:
    while True:
        number = (
            rng.choice([1, 2, 3, 4, 5, 6, 8, 10, 15, 20, 25, 30, 45]) if rng.random() < 0.4 else rng.randint(1, most)
        )
        if number <= most and (number in HELD_OUT_COUNTS) == held_out:
            return number


def _unit(name: str, count: float, rng: Random) -> str:
    short = {"hour": ["hr", "h", "hrs"], "minute": ["min", "mins", "m"], "second": ["sec", "secs", "s"]}
    if rng.random() < 0.08:
        return rng.choice(short[name])
    # "a five minute timer" and "five minutes" are both said; recognisers also drop the plural.
    return name if count == 1 or rng.random() < 0.2 else name + "s"


def duration(rng: Random, held_out: bool, longest: int) -> str:
    """Something a person says for a time between a second and `longest` seconds."""
    unit, most = rng.choice([("second", 120), ("minute", 90), ("minute", 90), ("minute", 60), ("hour", 24)])
    if longest <= 60:
        unit, most = "second", longest
    if rng.random() < (0.25 if longest > 60 else 0.08):
        return _fraction(rng, unit, longest)
    count = _count(rng, held_out, most)
    text = f"{spoken(count, rng)}{rng.choice([' ', ' ', ' ', '-', ''])}{_unit(unit, count, rng)}"
    # "fiveminutes" is nobody's spelling; "5min" is.
    if not text[0].isdigit():
        text = f"{spoken(count, rng)} {_unit(unit, count, rng)}"
    if longest > 60 and unit != "second" and count < 24 and rng.random() < 0.2:
        smaller = {"hour": "minute", "minute": "second"}[unit]
        extra = _count(rng, held_out, 59)
        text += rng.choice([" ", " and ", " "]) + f"{spoken(extra, rng)} {_unit(smaller, extra, rng)}"
    return text


def _fraction(rng: Random, unit: str, longest: int) -> str:
    if longest <= 60:
        return rng.choice(
            ["half a minute", "a minute", "one minute", "a second", "a quarter of a minute", "a couple of seconds"]
        )
    if unit == "second":
        unit = "minute"
    article = "an" if unit == "hour" else "a"
    few = rng.randint(2, 9)
    return rng.choice(
        [
            f"half {article} {unit}",
            f"{article} {unit} and a half",
            f"{article} {unit}",
            f"one {unit}",
            f"a half {unit}",
            f"{in_words(few, rng)} and a half {unit}s",
            f"{few}.5 {unit}s",
            f"one and a half {unit}s",
            f"{in_words(few, rng)} {unit}s and a half",
            f"a quarter of {article} {unit}",
            f"quarter of {article} {unit}",
            f"three quarters of {article} {unit}",
            f"a couple of {unit}s",
            f"{article} {unit} and a quarter",
            f"{in_words(few, rng)} point five {unit}s",
        ]
    )


def percentage(rng: Random, held_out: bool) -> str:
    """A volume level from 0 to 100."""
    if rng.random() < 0.15:
        return rng.choice(["half", "full", "maximum", "max", "minimum"])
    number = rng.choice(range(0, 101, 5)) if rng.random() < 0.5 else rng.randint(0, 100)
    if (number in HELD_OUT_COUNTS) != held_out:
        return percentage(rng, held_out)
    return spoken(number, rng) + rng.choice(["", "", " percent", " percent", "%", " per cent"])


def step(rng: Random, held_out: bool) -> str:
    """A change of volume."""
    number = rng.choice([5, 10, 15, 20, 25, 30, 50]) if not held_out else rng.choice([7, 35, 18])
    return spoken(number, rng) + rng.choice([" percent", "%", " per cent"])


def name(rng: Random, held_out: bool) -> str:
    """What a timer is for. A third are words made up on the spot, so that copying is learned and not a list."""
    if rng.random() < 0.35:
        return " ".join(pseudo_word(rng) for _ in range(rng.choice([1, 1, 2])))
    pool = [value for index, value in enumerate(NAMES) if (index % 5 == 0) == held_out]
    if rng.random() < 0.1:
        return f"{rng.choice(pool)} {rng.choice(pool)}"
    return rng.choice(pool)


def task(rng: Random, held_out: bool) -> str:
    """Something to be reminded of."""
    pool = [value for index, value in enumerate(TASKS) if (index % 5 == 0) == held_out]
    chosen = rng.choice(pool)
    if rng.random() < 0.3:
        words = chosen.split()
        words[-1] = name(rng, held_out).split()[0]
        chosen = " ".join(words)
    return chosen


def number(rng: Random) -> str:
    """Any small number, for questions that are none of our business."""
    return spoken(rng.randint(1, 200), rng)
