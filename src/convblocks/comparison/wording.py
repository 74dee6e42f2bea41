"""The words and numbers of a report: names, settings, intervals."""

import math
from collections.abc import Sequence

from convblocks.comparison.statistics import Difference, Mean, Superiority, Test, wilson_interval
from convblocks.comparison.trials import PATHS, ROOT, Settings, is_number
from convblocks.comparison.verdicts import GOAL, Comparison, Measure
from convblocks.data.image_spec import MNIST

NOTEBOOK = "notebook's mlp"

# What the course's notebook prints for its MLP, after these epochs of one run: parameters, losses, accuracy.
NOTEBOOK_MLP = ("79,510", "0.28", "0.16", "95.38")

# The settings of that run, as far as they change anything; any other option must not be set.
NOTEBOOK_SETTINGS = {
    "epochs": "5",
    "lr": "0.01",
    "batch_size": "64",
    "optimizer": "adam",
    "lr_scheduler": "constant",
    "data.val_size": "0",
}
CHANGES_NOTHING = ("threads", ROOT)

# Networks in the middle of a sentence.
NAMES = {"mlp": "the MLP", "maxpool": "MaxPool", "batchnorm": "BatchNorm"}

# In a table, what is not there.
NOTHING = "-"

# Smaller p-values all say the same.
LEAST_P = 0.0001

MEASURES: dict[Measure, str] = {
    "first_loss": "epoch-1 train loss",
    "last_loss": "last train loss",
    "seconds_to_goal": f"seconds to {100 * GOAL:.0f} % accuracy",
    "accuracy": "test accuracy",
}


UNITS: dict[Measure, str] = {"first_loss": "", "last_loss": "", "seconds_to_goal": " s", "accuracy": " points"}


def name_of(arch: str) -> str:
    """A network in the middle of a sentence."""
    return NAMES.get(arch, arch)


def sentence(text: str) -> str:
    """A text that begins with a capital letter and ends with a full stop."""
    return f"{text[0].upper()}{text[1:]}."


def accuracy_text(mean: Mean | None) -> str:
    """A mean accuracy in per cent and its interval, which ends at 100; without one where n = 1."""
    if mean is None:
        return NOTHING
    interval = f" [{100 * mean.low:.2f}, {min(100 * mean.high, 100):.2f}]" if mean.n > 1 else ""
    return f"{100 * mean.mean:.2f}{interval}"


def spread_text(mean: Mean) -> str:
    """A mean accuracy in per cent and its standard deviation; without one where n = 1."""
    return f"{100 * mean.mean:.2f}{f' ± {100 * mean.deviation:.2f}' if mean.n > 1 else ''}"


def difference_text(result: Test | Difference, measure: Measure) -> str:
    """A difference and its interval, that of its test if it has one; without one where n is too small for any."""
    interval = f" [{signed(result.low, measure)}, {signed(result.high, measure)}]"
    return f"{signed(result.difference, measure)}{interval if math.isfinite(result.low + result.high) else ''}"


def lead_text(result: Test, sign: int) -> str:
    """How far ahead the better one is, in points with the interval: ``0.29 points [0.24, 0.34]``.

    ``sign`` is 1 where the better one is the first, else -1; without an interval where n is too small for any.
    """
    low, high = sorted((100 * sign * result.low, 100 * sign * result.high))
    interval = f" [{low:.2f}, {high:.2f}]" if math.isfinite(low + high) else ", from too few runs"
    return f"{100 * sign * result.difference:.2f} points{interval}"


def signed(value: float, measure: Measure) -> str:
    """A difference: of accuracies in points, of losses as they are, of times in seconds."""
    if measure == "accuracy":
        return f"{100 * value:+.2f}"
    return f"{value:+.1f}" if measure == "seconds_to_goal" else f"{value:+.3f}"


def probability_text(result: Superiority) -> str:
    """A probability and its interval: ``80 % [49-94 %]``."""
    return f"{100 * result.probability:.0f} % {shares(result.low, result.high)}"


def rate_text(count: int, total: int) -> str:
    """A count and Wilson's interval of its share: ``4 of 12 [14-61 %]``."""
    return f"{count} of {total} {shares(*wilson_interval(count, total))}"


def shares(low: float, high: float) -> str:
    """An interval of shares: ``[49-94 %]``."""
    return f"[{100 * low:.0f}-{100 * high:.0f} %]"


def p_text(p: float) -> str:
    return f"p {number(p)}" if p < LEAST_P else f"p = {number(p)}"


def number(p: float) -> str:
    """A p-value, to two digits where it matters."""
    if p < LEAST_P:
        return f"< {LEAST_P}"
    return f"{p:.2g}" if p < 0.1 else f"{p:.2f}"


def settings_text(settings: Settings, options: Sequence[str]) -> str:
    """Settings for people: ``lr 1e-2, onecycle``."""
    chosen = [pair for pair in settings if pair[0] in options]
    return ", ".join(_setting(option, value) for option, value in chosen) or "none"


def _setting(option: str, value: str) -> str:
    if option == "lr_scheduler":
        return value
    return f"{option} {value.rstrip('/').rpartition('/')[2] if option in PATHS else value}"


def is_notebooks(comparisons: Sequence[Comparison]) -> bool:
    """Whether the MLP was run as in the notebook: its own figures are of these settings, and of MNIST."""
    images, row = comparisons[0].images, comparisons[0].rows[0]
    same = (images.image_spec, images.test_images) == (MNIST, 10_000)
    return len(comparisons) == 1 and row.arch == "mlp" and same and _are_notebooks(row.settings)


def _are_notebooks(settings: Settings) -> bool:
    given = {option: value for option, value in settings if option not in CHANGES_NOTHING}
    return given.get("epochs") == "5" and all(
        _same(value, NOTEBOOK_SETTINGS.get(option, "")) for option, value in given.items()
    )


def _same(one: str, other: str) -> bool:
    return float(one) == float(other) if is_number(one) and is_number(other) else one == other
