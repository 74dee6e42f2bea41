"""What a permutation test tries: all signs of the differences, or all divisions of the values, if not too many."""

from functools import lru_cache
from itertools import chain, combinations
from math import comb

import numpy as np
from numpy.typing import NDArray

# With more pairs, or more divisions of the two samples, this many random ones are tried.
EXACT_PAIRS = 16
EXACT_DIVISIONS = 200_000
RANDOM_ASSIGNMENTS = 2**16


@lru_cache(maxsize=4)
def sign_weights(n: int) -> NDArray[np.float64]:
    """Weights, of shape (assignments, n), with which n differences make a mean in each row. The first has no minus."""
    if n <= EXACT_PAIRS:
        flipped = np.arange(2**n)[:, np.newaxis] >> np.arange(n) & 1
    else:
        flipped = np.random.default_rng(0).integers(2, size=(RANDOM_ASSIGNMENTS, n))
        flipped[0] = 0
    return (1 - 2 * flipped) / n


@lru_cache(maxsize=4)
def division_weights(n: int, m: int) -> NDArray[np.float64]:
    """Weights, of shape (divisions, n + m), with which n + m values make a difference of means in each row.

    The first row divides them as they come: n, then m.
    """
    divisions = comb(n + m, n)
    if divisions <= EXACT_DIVISIONS:
        chosen = np.fromiter(chain.from_iterable(combinations(range(n + m), n)), dtype=int, count=divisions * n)
        members = chosen.reshape(divisions, n)
    else:
        places = np.tile(np.arange(n + m), (RANDOM_ASSIGNMENTS, 1))
        members = np.random.default_rng(0).permuted(places, axis=1)[:, :n]
        members[0] = np.arange(n)
    weights = np.full((len(members), n + m), -1 / m)
    np.put_along_axis(weights, members, 1 / n, axis=1)
    return weights
