"""Whether an image looks like one of MNIST's digits at all: a network answers the others too, and may be sure of it."""

import numpy as np
from scipy import ndimage

from convblocks.handwriting.sight import Pixels

# Of MNIST's 60,000 training images fewer than 1 in 1,000 have more separate parts, fewer than 1 in 1,000 more holes,
# and as few a mean grey value, in 0..1, outside these limits.
MOST_PARTS = 3
MOST_HOLES = 4
LEAST_INK, MOST_INK = 0.0334, 0.3047

# Parts may touch at a corner, and so may not what lies between them.
TOUCHING = np.ones((3, 3))


def doubt(seen: Pixels) -> str | None:
    """What is found in fewer than 1 in 1,000 of MNIST's digits, but in this image (1, 28, 28) uint8; else None."""
    solid = seen[0] > 127
    parts = ndimage.label(solid, TOUCHING)[1]
    holes = ndimage.label(np.pad(~solid, 1, constant_values=True))[1] - 1  # without what is around the digit
    ink = float(seen.mean()) / 255
    if parts > MOST_PARTS:
        return f"{parts} separate parts"
    if holes > MOST_HOLES:
        return f"{holes} holes"
    if ink > MOST_INK:
        return f"{100 * ink:.0f} % inked"
    if ink < LEAST_INK:
        return f"only {100 * ink:.0f} % inked"
    return None
