"""A request in, an answer out. L3; see brain.py."""

from noctule.assistant.brain.answer import Answer, Settings, TextModel
from noctule.assistant.brain.brain import Brain

__all__ = ["Answer", "Brain", "Settings", "TextModel"]
