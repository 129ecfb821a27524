"""An MQTT client: how a fleet of boards is seen and asked, and how Home Assistant finds them. See docs/api.md."""
