"""What the documentation's pages make of finished runs."""

from pathlib import Path

import pytest

from convblocks import results
from convblocks.errors import UsageError
from convblocks.runs import RunDirectory


def test_an_unknown_page_is_refused() -> None:
    with pytest.raises(UsageError, match="there is no page rates: choose from results and recipes"):
        results.main(["rates"])


def test_a_sprint_ends_with_the_first_epoch_above_99_percent(workspace: Path) -> None:
    accuracies = {0: [0.98, 0.991, 0.989], 1: [0.98, 0.985, 0.987]}
    for seed, course in accuracies.items():
        run = RunDirectory(f"sprint/maxpool/epochs=3/seed_{seed}")
        run.create()
        epochs = [{"seconds": 4.0, "test/acc": accuracy} for accuracy in course]
        run.write_summary({"arch": "maxpool", "seed": seed, "epochs": epochs, "final": {"test/acc": course[-1]}})
    assert results.sprint_table().rows == [
        ["maxpool", "0", "8.0", "98.90 %"],
        ["maxpool", "1", "never", "98.70 %"],
    ]
