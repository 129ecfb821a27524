"""A request in, an answer out. L3; see brain.py."""

from noctule.brain.brain import Brain
from noctule.brain.turn import Settings, TextModel, Turn

__all__ = ["Brain", "Settings", "TextModel", "Turn"]
