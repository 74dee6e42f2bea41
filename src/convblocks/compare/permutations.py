"""The divisions of values into two samples that tests compare with: all of them, or random ones."""

from functools import lru_cache
from itertools import chain, combinations
from math import comb

import numpy as np
from numpy.typing import NDArray

# Beyond this number of divisions, random ones are drawn.
EXACT_DIVISIONS = 200_000
RANDOM_PERMUTATIONS = 2**16

# Divisions that are drawn or summed at a time: the memory of a large comparison stays small.
BLOCK = 4096

Mask = NDArray[np.bool_]
Numbers = NDArray[np.float64]


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


def sums(values: Numbers, chosen: Mask) -> Numbers:
    """The sums of the chosen values (k, n), for each row of a mask: (k, divisions)."""
    blocks = range(0, len(chosen), BLOCK)
    return np.concatenate([values @ chosen[start : start + BLOCK].T.astype(float) for start in blocks], axis=1)


def _mask(members: NDArray[np.int_], size: int) -> Mask:
    mask = np.zeros((len(members), size), dtype=bool)
    np.put_along_axis(mask, members, True, axis=1)
    return mask
