"""Trained networks: restored from checkpoints, evaluated on test images, exported to files that run elsewhere."""
