"""Sound in and out: sources, ring, level and rate health, end of speech, loudspeaker. Knows nothing of words."""
