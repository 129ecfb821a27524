"""Wake words. L2: the front end, the package and the detector; knows nothing of microphones or sessions."""
