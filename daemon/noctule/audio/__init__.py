"""Sound in and out: sources, ring, level and rate health, end of speech, loudspeaker. L2; knows nothing of words."""
