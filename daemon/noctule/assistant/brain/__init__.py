"""A request in, an answer out. See brain.py."""

from noctule.assistant.brain.answer import Answer, Settings, TextModel
from noctule.assistant.brain.brain import Brain

__all__ = ["Answer", "Brain", "Settings", "TextModel"]
