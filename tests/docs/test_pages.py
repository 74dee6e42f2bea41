"""What the documentation's pages make of finished runs."""

import pytest

from convblocks.errors import UsageError
from docs import pages
from tests.comparison.test_verdicts import outcome, runs


def test_an_unknown_page_is_refused() -> None:
    with pytest.raises(UsageError, match="there is no page rates: choose from results, recipes, sprint, batches, or"):
        pages.main(["rates"])


def test_a_sprint_ends_with_the_first_epoch_above_99_percent() -> None:
    accuracies = {0: [0.98, 0.991, 0.989], 1: [0.98, 0.985, 0.987]}
    outcomes = [
        outcome(
            "maxpool",
            seed,
            course[-1],
            settings=(("trainer.precision", "32-true"),),
            epochs=tuple({"seconds": 4.0, "test/acc": one} for one in course),
        )
        for seed, course in accuracies.items()
    ]
    assert pages.sprint_rows(outcomes) == [["32-true", "0", "8.0", "98.90 %"], ["32-true", "1", "never", "98.70 %"]]


def test_the_summary_keeps_collapsed_runs_apart() -> None:
    collapsed = [outcome("maxpool", 10, 0.1135), *runs(10)]
    rows = {row[0]: row[2:] for row in pages.summary_table(collapsed).rows}
    assert rows["maxpool"][1:] == ["96.00 % to 96.06 %", "1 of 11"]
    assert rows["mlp"][1:] == ["95.00 % to 95.06 %", "0 of 10"]


def test_a_cell_for_each_batch_size_and_learning_rate() -> None:
    outcomes = [
        outcome("mlp", seed, accuracy, settings=(("batch_size", size), ("lr", rate)))
        for size, rate, accuracies in (("64", "0.01", [0.95, 0.97]), ("64", "0.04", [0.5, 0.5]))
        for seed, accuracy in enumerate(accuracies)
    ]
    table = pages.batches_table(outcomes)
    assert table.columns == ["batch size", "lr 0.01", "lr 0.04"]
    assert table.rows == [["64", "96.00 ± 1.41", "50.00 ± 0.00"]]


def test_each_claim_has_its_verdict() -> None:
    assert "- BatchNorm is much better than MaxPool: supported." in pages.claims(runs(10))
