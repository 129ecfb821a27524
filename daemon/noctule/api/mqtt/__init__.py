"""An MQTT client: how a fleet of boards is seen and asked, and how Home Assistant finds them. L4. See docs/api.md."""
