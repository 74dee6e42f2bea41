"""Verdicts agree with the numbers, whatever the runs look like."""

import pytest

from convblocks.comparison.report import comparison_tables, grid_table
from convblocks.comparison.verdicts import Claim, Comparison, Images, Outcome, best_settings, compare
from convblocks.data.description import MNIST, Description
from convblocks.tables import to_markdown

PARAMETERS = {"mlp": 79_510, "maxpool": 85_526, "batchnorm": 77_918}
SETTINGS = (("epochs", "5"),)


def outcome(arch: str, seed: int, accuracy: float, loss: float = 0.1, **changed: object) -> Outcome:
    """A constructed run; ``loss`` is that of its last epoch, and half that of its first."""
    values: dict[str, object] = {
        "arch": arch,
        "settings": SETTINGS,
        "seed": seed,
        "parameters": PARAMETERS[arch],
        "first_loss": 2 * loss,
        "last_loss": loss,
        "accuracy": accuracy,
        "validation": None,
        "collapsed": accuracy < 0.15,
        "seconds": 1.0,
        "epochs": ({"train/loss": 2 * loss, "test/acc": accuracy}, {"train/loss": loss, "test/acc": accuracy}),
        "images": Images(MNIST, test_images=10_000, collapsed_below=0.15),
    }
    return Outcome(**(values | changed))  # type: ignore[arg-type]  # the fields of an Outcome


def runs(seeds: int) -> list[Outcome]:
    """The pattern that the notebook claims, at every seed: batchnorm above maxpool above mlp."""
    return [
        outcome(arch, seed, accuracy=base + 0.0001 * (seed * factor % 7), loss=loss + 0.001 * (seed * factor % 5))
        for arch, base, loss, factor in (
            ("mlp", 0.95, 0.18, 3),
            ("maxpool", 0.97, 0.14, 5),
            ("batchnorm", 0.98, 0.04, 2),
        )
        for seed in range(seeds)
    ]


def verdicts(comparison: Comparison, reading: int = 0) -> list[str]:
    return [claim.verdict for claim in comparison.readings[reading].claims]


def claim_on(comparison: Comparison, words: str, reading: int) -> Claim:
    (claim,) = [claim for claim in comparison.readings[reading].claims if words in claim.text]
    return claim


def markdown(comparison: Comparison) -> str:
    return to_markdown(comparison_tables(comparison))


def test_clear_differences_at_ten_seeds_support_all_claims() -> None:
    assert verdicts(compare(runs(10))) == ["supported"] * 5


def test_differences_the_other_way_are_not_supported() -> None:
    reversed_runs = [
        outcome(one.arch, one.seed, accuracy=1.9 - one.accuracy, loss=0.25 - one.last_loss) for one in runs(10)
    ]
    assert verdicts(compare(reversed_runs)) == ["supported", *["not supported"] * 4]


def test_too_few_seeds_decide_nothing_and_say_how_many_would() -> None:
    comparison = compare(runs(5))
    assert verdicts(comparison) == ["supported", *["undecided"] * 4]
    assert "With 5 pairs (all runs) not all of the 9 comparisons can be decided" in markdown(comparison)
    assert "that takes 9." in markdown(comparison)


def test_enough_seeds_say_nothing_of_it() -> None:
    assert "can be decided" not in markdown(compare(runs(9)))


def test_one_seed_has_no_interval() -> None:
    text = markdown(compare(runs(1)))
    assert "nan" not in text
    assert "| mlp | 79,510 | 0.360 | 0.180 | 95.00 | 95.00 | 0 of 1 | 1 |" in text


def test_ties_are_undecided() -> None:
    tied = [outcome(arch, seed, 0.97) for arch in PARAMETERS for seed in range(10)]
    comparison = compare(tied)
    assert verdicts(comparison) == ["supported", *["undecided"] * 4]
    assert all(one.result is not None and one.result.improvement == 0.5 for one in comparison.readings[0].differences)


def test_a_collapsed_run_is_visible_and_both_readings_are_given() -> None:
    collapsed = [
        outcome(one.arch, one.seed, 0.1135, loss=2.3) if (one.arch, one.seed) == ("maxpool", 2) else one
        for one in runs(11)
    ]
    comparison = compare(collapsed)
    assert claim_on(comparison, "test better", reading=0).verdict == "undecided"
    assert claim_on(comparison, "test better", reading=1).verdict == "supported"
    text = markdown(comparison)
    assert "| 1 of 11 | 11 |" in text
    assert "maxpool: 1 of 11 runs collapsed, 95 % interval of the rate 2% to 38% (Wilson)" in text


def test_the_mean_includes_collapsed_runs_and_the_median_stands_beside_it() -> None:
    (row,) = compare([outcome("maxpool", 0, 0.1), outcome("maxpool", 1, 0.97), outcome("maxpool", 2, 0.98)]).rows
    assert row.accuracy.mean == pytest.approx((0.1 + 0.97 + 0.98) / 3)
    assert row.median == 0.97


def test_all_runs_collapsed_leave_no_pairs() -> None:
    comparison = compare([outcome(arch, seed, 0.1) for arch in PARAMETERS for seed in range(3)])
    assert verdicts(comparison, reading=1) == ["supported", *["undecided"] * 4]
    assert "no pairs" in markdown(comparison)


def test_a_missing_run_leaves_the_other_pairs() -> None:
    comparison = compare([one for one in runs(10) if (one.arch, one.seed) != ("mlp", 4)])
    pairs = {
        (one.first, one.second): one.result.difference.n
        for one in comparison.readings[0].differences
        if one.metric == "accuracy" and one.result is not None
    }
    assert pairs == {("batchnorm", "maxpool"): 10, ("batchnorm", "mlp"): 9, ("maxpool", "mlp"): 9}


def test_one_architecture_alone_makes_no_claims() -> None:
    comparison = compare([one for one in runs(3) if one.arch == "mlp"])
    assert [table.title for table in comparison_tables(comparison)] == ["Results"]


def test_the_table_has_the_notebooks_columns_and_its_own_figures() -> None:
    text = markdown(compare(runs(10)))
    assert "| network | parameters | epoch-1 train loss | last train loss | test accuracy % | median % |" in text
    assert "| mlp in the notebook | 79,510 | 0.28 | 0.16 | 95.38 % |" in text
    assert "binomial standard error" in text


def test_of_other_images_than_mnists_the_report_says_what_they_are() -> None:
    """How many there are decides the standard error; the notebook's own figures are of MNIST."""
    shapes = Description(3, 32, 40, ("disc", "ring"), mean=(0.5,) * 3, std=(0.2,) * 3)
    images = Images(shapes, test_images=240, collapsed_below=0.52)
    text = markdown(compare([outcome("mlp", seed, 0.9, images=images) for seed in range(3)]))
    assert "Images of 3 x 32 x 40 pixels, 2 classes (disc, ring); 240 test images." in text
    assert "A collapsed run never got above 52 % accuracy" in text
    assert "at 90.00 % on 240 images the binomial standard error of one run's accuracy is 1.94 points" in text
    assert "in the notebook" not in text


def test_of_mnist_it_says_nothing() -> None:
    text = markdown(compare(runs(3)))
    assert "Images of" not in text
    assert "on 10,000 images" in text


def test_every_verdict_follows_from_its_numbers() -> None:
    """For random runs: supported needs every difference on the claimed side with adjusted p < 0.05, and so on."""
    for shift in (0.0, 0.002, 0.01):
        shifted = [
            outcome(one.arch, one.seed, one.accuracy + shift * (one.seed % 3 - 1), one.last_loss) for one in runs(10)
        ]
        for reading in compare(shifted).readings:
            for claim in reading.claims[1:]:
                sign = 1 if "test" in claim.text or "better" in claim.text else -1
                results = [one.result for one in claim.evidence]
                significant = [r is not None and r.p_adjusted < 0.05 for r in results]
                claimed = [r is not None and r.difference.mean * sign > 0 for r in results]
                assert (claim.verdict == "supported") == all(s and c for s, c in zip(significant, claimed, strict=True))
                assert (claim.verdict == "not supported") == any(
                    s and not c for s, c in zip(significant, claimed, strict=True)
                )


def test_the_best_setting_is_chosen_on_validation_images_alone() -> None:
    low, high = (("lr", "0.001"),), (("lr", "0.01"),)
    swept = [
        outcome("mlp", 0, accuracy=0.95, settings=low, validation=0.97),
        outcome("mlp", 0, accuracy=0.99, settings=high, validation=0.96),
        outcome("maxpool", 0, accuracy=0.95, settings=low, validation=0.90),
        outcome("maxpool", 0, accuracy=0.90, settings=high, validation=0.91),
    ]
    assert [(one.arch, one.settings) for one in best_settings(swept)] == [("mlp", low), ("maxpool", high)]
    assert "| mlp | lr=0.001 | 1 | 97.00 % | 95.00 % | 95.00 % | 0 |" in to_markdown([grid_table(swept)])


def test_a_diverged_run_has_no_loss_and_counts_as_collapsed() -> None:
    lost = [
        outcome("mlp", seed, accuracy=0.098, loss=float("nan"), collapsed=True) if seed < 3 else run
        for seed, run in enumerate(runs(10)[:10])
    ]
    comparison = compare([*lost, *runs(10)[10:]])
    row = comparison.rows[0]
    assert (row.collapsed, row.accuracy.n, row.last_loss.n) == (3, 10, 7)
    for reading in comparison.readings:
        losses = [one.result for one in reading.differences if one.metric == "last_loss" and one.second == "mlp"]
        assert [result.difference.n for result in losses if result] == [7, 7]
        assert all(result.p > 0 for result in losses if result)
    assert "mlp: 3 runs diverged; their losses are in no mean or difference." in markdown(comparison)


def test_where_every_run_of_a_network_diverged_there_is_nothing_to_compare_its_losses_by() -> None:
    lost = [outcome("mlp", seed, accuracy=0.098, loss=float("nan"), collapsed=True) for seed in range(10)]
    comparison = compare([*lost, *runs(10)[10:]])
    assert verdicts(comparison)[1:3] == ["undecided", "undecided"]
    assert "| - | - |" in markdown(comparison)
