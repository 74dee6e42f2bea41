"""A comparison as text: the same tables for a terminal and for Markdown."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from convblocks.comparison.statistics import Mean, binomial_standard_error
from convblocks.comparison.trials import settings_name
from convblocks.comparison.verdicts import (
    Claim,
    Comparison,
    Difference,
    Images,
    Metric,
    Outcome,
    Reading,
    by_arch,
    by_settings,
    mean_validation,
)
from convblocks.data.description import MNIST
from convblocks.tables import Table, percent

# The figures that the course's notebook prints for its MLP: epoch-1 loss, epoch-5 loss, accuracy; one run.
NOTEBOOK_MLP = ("0.28", "0.16", "95.38 %")

METRIC_NAMES: dict[Metric, str] = {
    "first_loss": "epoch-1 train loss",
    "last_loss": "last train loss",
    "accuracy": "test accuracy",
}

PAIRS_NAMES = {"all": "all runs", "trained": "pairs in which both trained"}


def report_tables(comparisons: Mapping[str, Comparison], swept: Sequence[Outcome]) -> list[Table]:
    """All tables of a report: the runs at all points of a grid, if one was swept, then each comparison by its title."""
    tables = [grid_table(swept)] if swept else []
    for title, comparison in comparisons.items():
        for table in comparison_tables(comparison):
            tables.append(replace(table, title=f"{title}: {table.title}") if title else table)
    return tables


def comparison_tables(comparison: Comparison) -> list[Table]:
    """The notebook's table, the claims and the differences of one comparison."""
    tables = [_means(comparison)]
    if comparison.readings[0].claims:
        tables.append(_claims(comparison))
    if comparison.readings[0].differences:
        tables += [_differences(reading) for reading in comparison.readings]
    return tables


def grid_table(outcomes: Sequence[Outcome]) -> Table:
    """Every architecture at every setting, with the validation accuracy that decides where there is one."""
    rows = []
    for arch, own in by_arch(outcomes).items():
        for settings, here in by_settings(own).items():
            validated = all(outcome.validation is not None for outcome in here)
            rows.append(
                [
                    arch,
                    settings_name(settings),
                    str(len(here)),
                    percent(mean_validation(here)) if validated else "-",
                    percent(float(np.mean([outcome.accuracy for outcome in here]))),
                    percent(float(np.median([outcome.accuracy for outcome in here]))),
                    str(sum(outcome.collapsed for outcome in here)),
                ]
            )
    columns = ["network", "settings", "n", "validation accuracy", "test accuracy", "median", "collapsed"]
    return Table("Every setting", columns, rows)


def _means(comparison: Comparison) -> Table:
    rows, images = comparison.rows, comparison.images
    lines = [
        [
            row.arch,
            f"{row.parameters:,}",
            _mean(row.first_loss, 1, ".3f"),
            _mean(row.last_loss, 1, ".3f"),
            _mean(row.accuracy, 100, ".2f"),
            f"{100 * row.median:.2f}",
            f"{row.collapsed} of {row.accuracy.n}",
            str(row.accuracy.n),
        ]
        for row in rows
    ]
    is_mnist = images.description.same_images(MNIST)
    if is_mnist and any(row.arch == "mlp" for row in rows):
        lines.append(["mlp in the notebook", "79,510", *NOTEBOOK_MLP, "", "", "1"])
    best = max(row.median for row in rows)
    error = 100 * binomial_standard_error(best, images.test_images)
    columns = ["network", "parameters", "epoch-1 train loss", "last train loss", "test accuracy %", "median %"]
    notes = [
        *([] if is_mnist else [_data_note(images)]),
        "Mean ± standard deviation over seeds, and its 95 % confidence interval (Student's t). A collapsed run never "
        f"got above {100 * images.collapsed_below:.0f} % accuracy; means include collapsed runs.",
        *(
            f"{row.arch}: {row.collapsed} of {row.accuracy.n} runs collapsed, 95 % interval of the rate "
            f"{row.collapse_interval[0]:.0%} to {row.collapse_interval[1]:.0%} (Wilson)."
            for row in rows
            if row.collapsed
        ),
        *(
            f"{row.arch}: {row.accuracy.n - row.last_loss.n} runs diverged; their losses are in no mean or difference."
            for row in rows
            if row.last_loss.n < row.accuracy.n
        ),
        f"The test set itself is a sample: at {percent(best)} on {images.test_images:,} images the binomial standard "
        f"error of one run's accuracy is {error:.2f} points. It is the same sample for all runs, so differences "
        "between runs are known better than that.",
    ]
    return Table("Results", [*columns, "collapsed", "n"], lines, notes)


def _data_note(images: Images) -> str:
    return f"Images of {images.description}; {images.test_images:,} test images."


def _mean(mean: Mean, scale: float, digits: str) -> str:
    if mean.n == 0:
        return "-"
    if mean.n == 1:
        return f"{mean.mean * scale:{digits}}"
    return (
        f"{mean.mean * scale:{digits}} ± {mean.deviation * scale:{digits}} "
        f"[{mean.low * scale:{digits}}, {mean.high * scale:{digits}}]"
    )


def _claims(comparison: Comparison) -> Table:
    rows = []
    for claims in zip(*(reading.claims for reading in comparison.readings), strict=True):
        verdicts = [claim.verdict for claim in claims]
        rows.append([claims[0].text, *verdicts, _evidence(comparison, claims)])
    columns = ["claim", *(PAIRS_NAMES[reading.pairs] for reading in comparison.readings), "numbers"]
    notes = [
        "Supported: the difference has the claimed direction and p < 0.05 after Holm's correction; not supported: it "
        "has the other; undecided: neither.",
        *dict.fromkeys(_size_note(reading) for reading in comparison.readings if _too_few(reading)),
    ]
    return Table("The notebook's claims", columns, rows, notes)


def _evidence(comparison: Comparison, claims: Sequence[Claim]) -> str:
    if not claims[0].evidence:
        counts = [row.parameters for row in comparison.rows]
        return f"{min(counts):,} to {max(counts):,}: {max(counts) / min(counts) - 1:.1%} apart, at most 10 % claimed"
    parts = []
    for differences in zip(*(claim.evidence for claim in claims), strict=True):
        first = differences[0]
        readings = ["no pairs" if one.result is None else _short(one) for one in differences]
        parts.append(f"{first.first} - {first.second}: {'; '.join(dict.fromkeys(readings))}")
    return ", ".join(parts)


def _short(difference: Difference) -> str:
    assert difference.result is not None
    mean = difference.result.difference
    return f"{_signed(difference.metric, mean.mean)} (p = {_p(difference.result.p_adjusted)}, n = {mean.n})"


def _too_few(reading: Reading) -> bool:
    return reading.smallest_n < reading.sufficient_n


def _size_note(reading: Reading) -> str:
    return (
        f"With {reading.smallest_n} pairs ({PAIRS_NAMES[reading.pairs]}) not all of the {len(reading.differences)} "
        f"comparisons can be decided, even if every pair agrees: that takes {reading.sufficient_n}."
    )


def _differences(reading: Reading) -> Table:
    rows = []
    for one in reading.differences:
        name = [METRIC_NAMES[one.metric], f"{one.first} - {one.second}"]
        if one.result is None:
            rows.append([*name, "0", "no pairs", "", "", "", ""])
            continue
        mean, result = one.result.difference, one.result
        interval = "" if mean.n == 1 else f"[{_signed(one.metric, mean.low)}, {_signed(one.metric, mean.high)}]"
        better = result.improvement if one.metric == "accuracy" else 1 - result.improvement
        rows.append(
            [
                *name,
                str(mean.n),
                _signed(one.metric, mean.mean),
                interval,
                _p(result.p),
                _p(result.p_adjusted),
                f"{better:.0%}",
            ]
        )
    columns = ["metric", "difference", "n", "mean", "95 % interval", "p", "p (Holm)", "probability of improvement"]
    note = (
        f"Paired by seed: Student's t interval, sign-flip permutation test (two-sided; exact up to 16 pairs), Holm's "
        f"correction over the family of these {len(rows)} comparisons. Probability of improvement: that a random run "
        "of the first is better than a random run of the second. Accuracies in percentage points."
    )
    return Table(f"Paired differences: {PAIRS_NAMES[reading.pairs]}", columns, rows, [note])


def _signed(metric: Metric, value: float) -> str:
    return f"{100 * value:+.2f}" if metric == "accuracy" else f"{value:+.4f}"


def _p(p: float) -> str:
    return "< 0.0001" if p < 0.0001 else f"{p:.4f}"
