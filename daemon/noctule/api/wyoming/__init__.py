"""A server of the Wyoming protocol (rhasspy/wyoming), Home Assistant's way in. L4. docs/api.md shows its use."""
