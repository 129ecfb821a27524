"""What scripts/soak is made of: the daemon with its world, the load, the samples, and the verdict."""
