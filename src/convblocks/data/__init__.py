"""Reads images from files, and makes batches of them: order, augmentation, normalisation."""
