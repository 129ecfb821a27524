"""Noctule: ears, eyes and a small language brain for a Raspberry Pi or Jetson."""

__version__ = "0.1.0"
