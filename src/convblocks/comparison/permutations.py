"""The permutations of a test: all signs of differences, or all divisions of values, or random ones if too many."""

from functools import lru_cache
from itertools import chain, combinations
from math import comb

import numpy as np
from numpy.typing import NDArray

# Beyond these numbers of pairs or divisions, random ones are drawn.
EXACT_PAIRS = 16
EXACT_DIVISIONS = 200_000
RANDOM_PERMUTATIONS = 2**16


@lru_cache(maxsize=4)
def sign_weights(n: int) -> NDArray[np.float64]:
    """Weights of shape (permutations, n): each row makes a mean of n differences, the first without a minus."""
    if n <= EXACT_PAIRS:
        flipped = np.arange(2**n)[:, np.newaxis] >> np.arange(n) & 1
    else:
        flipped = np.random.default_rng(0).integers(2, size=(RANDOM_PERMUTATIONS, n))
        flipped[0] = 0
    return (1 - 2 * flipped) / n


@lru_cache(maxsize=4)
def division_weights(n: int, m: int) -> NDArray[np.float64]:
    """Weights of shape (divisions, n + m): each row makes a difference of means of n + m values.

    The first row divides them as given: n, then m.
    """
    divisions = comb(n + m, n)
    if divisions <= EXACT_DIVISIONS:
        chosen = np.fromiter(chain.from_iterable(combinations(range(n + m), n)), dtype=int, count=divisions * n)
        members = chosen.reshape(divisions, n)
    else:
        places = np.tile(np.arange(n + m), (RANDOM_PERMUTATIONS, 1))
        members = np.random.default_rng(0).permuted(places, axis=1)[:, :n]
        members[0] = np.arange(n)
    weights = np.full((len(members), n + m), -1 / m)
    np.put_along_axis(weights, members, 1 / n, axis=1)
    return weights
