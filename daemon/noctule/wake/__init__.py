"""Wake words. The front end, the package and the detector; knows nothing of microphones or sessions."""
