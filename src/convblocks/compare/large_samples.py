"""The tests of large samples, which need no permutations: asymptotically they agree."""

from collections.abc import Sequence

from scipy import stats

from convblocks.compare.permutations import Numbers
from convblocks.figures.estimates import CONFIDENCE, Estimate, Unit

# Samples that have more values together are large.
MOST_PERMUTED = 200


def are_large(first: Sequence[float] | Numbers, second: Sequence[float] | Numbers) -> bool:
    """Whether samples are tested without permutations; a single value has no variance, and few divisions."""
    return len(first) + len(second) > MOST_PERMUTED and min(len(first), len(second)) > 1


def welch_test(one: Numbers, other: Numbers, margin: float, unit: Unit) -> Estimate:
    """Welch's t-test of a difference of means against ``margin``, and its interval."""
    value, n = float(one.mean() - other.mean()), min(len(one), len(other))
    if not one.var() + other.var():
        return Estimate(value, value, value, n, float(value == margin), unit)
    found = stats.ttest_ind(one - margin, other, equal_var=False)
    low, high = (float(end) + margin for end in found.confidence_interval(CONFIDENCE))
    return Estimate(value, low, high, n, float(found.pvalue), unit)


def brunner_munzel_p(first: Sequence[float], second: Sequence[float], probability: float) -> float:
    """The p of large samples: 0 of those that are apart, which have no variance, and 1 of those that are all alike."""
    if probability in (0, 1):
        return 0.0
    return 1.0 if len({*first, *second}) == 1 else float(stats.brunnermunzel(first, second).pvalue)
