"""Moonshine speech recognisers to `speech-to-text` packages, with numpy and the flatbuffer schema alone."""
