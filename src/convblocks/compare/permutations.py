"""The permutations that tests compare with: changes of signs, and divisions into two samples; all, or random ones."""

from functools import lru_cache
from itertools import chain, combinations
from math import comb

import numpy as np
from numpy.typing import NDArray

# Beyond these numbers of pairs or divisions, random ones are drawn.
EXACT_PAIRS = 16
EXACT_DIVISIONS = 200_000
RANDOM_PERMUTATIONS = 2**16

# Permutations that are drawn or weighted at a time: the memory of a large comparison stays small.
BLOCK = 4096

Mask = NDArray[np.bool_]
Numbers = NDArray[np.float64]


@lru_cache(maxsize=4)
def flips(n: int) -> Mask:
    """Which of n differences change their sign, of shape (permutations, n); in the first none does."""
    if n <= EXACT_PAIRS:
        return np.asarray(np.arange(2**n)[:, np.newaxis] >> np.arange(n) & 1, dtype=bool)
    flipped = np.random.default_rng(0).integers(2, size=(RANDOM_PERMUTATIONS, n)).astype(bool)
    flipped[0] = False
    return flipped


@lru_cache(maxsize=4)
def divisions(n: int, m: int) -> Mask:
    """Which of n + m values belong to the first sample, of shape (divisions, n + m); in the first row the first n."""
    count = comb(n + m, n)
    if count <= EXACT_DIVISIONS:
        chosen = np.fromiter(chain.from_iterable(combinations(range(n + m), n)), dtype=int, count=count * n)
        return _mask(chosen.reshape(count, n), n + m)
    rng = np.random.default_rng(0)
    places = np.tile(np.arange(n + m), (BLOCK, 1))
    drawn = [_mask(rng.permuted(places, axis=1)[:, :n], n + m) for _ in range(RANDOM_PERMUTATIONS // BLOCK)]
    drawn[0][0] = np.arange(n + m) < n
    return np.concatenate(drawn)


def weigh(mask: Mask, inside: float, outside: float, values: Numbers) -> Numbers:
    """The sum of values (k, n), weighted by the one or the other, for each row of a mask: (k, permutations)."""
    blocks = range(0, len(mask), BLOCK)
    return np.concatenate(
        [values @ np.where(mask[start : start + BLOCK], inside, outside).T for start in blocks], axis=1
    )


def _mask(members: NDArray[np.int_], size: int) -> Mask:
    mask = np.zeros((len(members), size), dtype=bool)
    np.put_along_axis(mask, members, True, axis=1)
    return mask
