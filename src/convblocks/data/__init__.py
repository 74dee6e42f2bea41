"""From files to batches: reading, augmentation, and the order of the images."""
