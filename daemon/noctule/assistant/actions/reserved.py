"""What people say for the built-in actions: a command of an owner's own with such a phrase takes its place."""

from __future__ import annotations

REQUESTS = (
    "what time is it", "what is the time", "what's the time", "tell me the time", "what day is it",
    "what is the date", "what's the date", "what is today's date", "set a timer", "start a timer",
    "list timers", "list my timers", "how much time is left", "how long is left", "cancel the timer",
    "stop the timer", "cancel all timers", "cancel everything", "stop", "cancel", "never mind", "be quiet",
    "help", "what can you do", "repeat", "repeat that", "say that again", "louder", "quieter", "turn it up",
    "turn it down", "turn up the volume", "turn down the volume", "volume up", "volume down", "mute",
    "unmute", "mute the microphone", "unmute the microphone", "stop listening", "start listening",
    "take a picture", "take a photo", "take a snapshot", "record a clip", "record a video", "how are you",
    "status", "how hot are you", "what is your temperature", "what is your ip address",
    "how long have you been running", "yes", "no", "hello", "thank you", "thanks",
)  # fmt: skip
