"""A request in, an answer out. L3; see brain.py."""

from noctule.assistant.brain.answer import Settings, TextModel, Answer
from noctule.assistant.brain.brain import Brain

__all__ = ["Brain", "Settings", "TextModel", "Answer"]
