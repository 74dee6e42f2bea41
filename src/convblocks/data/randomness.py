"""Random numbers that depend on nothing but what they are for."""

import numpy as np
import torch


def epoch_generator(seed: int, epoch: int, stream: int = 0) -> torch.Generator:
    """A random generator that is a function of (seed, epoch) alone; streams draw independently of each other.

    The numbers are mixed rather than added, or epoch 1 of seed 0 would repeat epoch 0 of seed 1 and runs that are
    compared over seeds would share their shuffles.
    """
    state = np.random.SeedSequence((seed, epoch, stream)).generate_state(1, np.uint64)
    return torch.Generator().manual_seed(int(state[0]))
