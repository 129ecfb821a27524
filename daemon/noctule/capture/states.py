"""What a source is doing, in one word."""

CLOSED, OPENING, LIVE, LOST, PAUSED = "closed", "opening", "live", "lost", "paused"
