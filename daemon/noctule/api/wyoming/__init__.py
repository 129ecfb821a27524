"""A server of the Wyoming protocol (rhasspy/wyoming), Home Assistant's way in. docs/api.md shows its use."""
