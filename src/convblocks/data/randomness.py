"""Generators seeded by (seed, epoch, stream)."""

import numpy as np
import torch


def epoch_generator(seed: int, epoch: int, stream: int = 0) -> torch.Generator:
    """A generator that depends on (seed, epoch) alone; streams are independent of each other.

    The numbers are mixed, not added: otherwise epoch 1 of seed 0 would repeat epoch 0 of seed 1, and runs with
    different seeds would share their shuffles.
    """
    state = np.random.SeedSequence((seed, epoch, stream)).generate_state(1, np.uint64)
    return torch.Generator().manual_seed(int(state[0]))
