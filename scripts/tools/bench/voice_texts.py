"""What `scripts/bench voice` has said: two hundred answers and sentences, the same every time."""

from __future__ import annotations

import random

_NAMES = ("pasta", "tea", "the laundry", "bread", "the oven", "eggs", "a nap", "rice", "coffee", "the garden")
_THINGS = (
    "The lights",
    "The kitchen lights",
    "The blinds",
    "The heating",
    "The fan",
    "The radio",
    "The bedroom lamp",
)
_ROOMS = ("the kitchen", "the hall", "the office", "the garage", "the bathroom", "the cellar")
_SENTENCES = (
    "I do not know how to do that yet.",
    "Please say that again, a little louder.",
    "There is no camera with that name.",
    "Nothing is playing at the moment.",
    "The microphone is switched off now.",
    "Somebody is standing at the front door.",
    "It will rain in the afternoon, so take an umbrella.",
    "The train leaves in a quarter of an hour.",
    "Your next meeting begins after lunch.",
    "The window in the bathroom is still open.",
    "Good morning, did you sleep well?",
    "The washing machine has finished its work.",
    "The battery of the smoke detector is almost empty.",
    "I have written it on your shopping list.",
    "The dog has not been fed today.",
    "Shall I close the blinds as well?",
    "The old bridge was built long before the railway came.",
    "A small boat drifted slowly down the river.",
    "She put the letter back into the drawer.",
    "The children were playing behind the house.",
    "We walked along the beach until it was dark.",
    "He never told anyone where the key was hidden.",
    "Fresh bread smells better than anything else.",
    "The market opens early on Saturday morning.",
    "My brother works in a hospital near the station.",
    "They painted the fence green last summer.",
    "The teacher asked a question that nobody could answer.",
    "Snow had covered the road during the night.",
    "You can leave your coat on the chair.",
    "The museum is closed on the first day of the week.",
    "Our neighbours have two cats and a parrot.",
    "The soup needs a little more salt.",
    "It takes patience to grow tomatoes from seed.",
    "The road over the mountain is blocked by stones.",
    "Someone has left the water running in the garden.",
    "The doctor said that she should rest for a week.",
    "There were hundreds of birds on the lake.",
    "I would rather stay at home this evening.",
    "The bus was late because of the heavy traffic.",
    "Put the plates on the table, please.",
)


def texts(count: int = 200) -> list[str]:
    """As written; figures are read by the voice's own front end."""
    rng = random.Random(20261201)

    def one() -> str:
        minutes, percent, hour, minute = (
            rng.randint(2, 59),
            rng.randint(1, 20) * 5,
            rng.randint(1, 23),
            rng.randint(1, 59),
        )
        name, thing, room = rng.choice(_NAMES), rng.choice(_THINGS), rng.choice(_ROOMS)
        return rng.choice(
            (
                f"Timer for {name} set: {minutes} minutes.",
                f"The timer for {name} has {minutes} minutes left.",
                f"The {minutes} minute timer is over.",
                f"It is {hour}:{minute:02d}.",
                f"I will remind you about {name} at {hour}:{minute:02d}.",
                f"{thing} in {room} {'are' if thing.endswith('s') else 'is'} on now.",
                f"{thing} {'are' if thing.endswith('s') else 'is'} off.",
                f"Volume is at {percent}%.",
                f"It is {rng.randint(2, 34)} degrees in {room}.",
                f"The alarm is set for {hour}:{minute:02d} tomorrow.",
                f"The processor is at {rng.randint(30, 80)} degrees, and {percent}% of the memory is free.",
                f"There are {rng.randint(2, 12)} things on your list.",
            )
        )

    out = list(_SENTENCES)
    while len(out) < count:
        if (text := one()) not in out:
            out.append(text)
    rng.shuffle(out)
    return out[:count]
