"""A run directory: what it is called and holds, the checkpoints in it, and the machine that it ran on."""
