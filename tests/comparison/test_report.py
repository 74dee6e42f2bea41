"""What a reader of a comparison sees: on one screen, and in comparison.md."""

import io
import math
from collections.abc import Sequence

import pytest
from rich.console import Console

from convblocks.comparison.grid import analyse
from convblocks.comparison.report import conclusions, report_of
from convblocks.data.images import ImageSpec
from convblocks.runs.result import Images, Overrides, RunResult
from convblocks.tables import to_console, to_markdown
from tests.comparison.made_up import as_claimed, course, short
from tests.comparison.test_grid import BEST, grid

ROW = (
    "| maxpool | 85,526 | 20 | 7/8 [53-98 %] | 96.03 [96.01, 96.05] | 0.02 | 96.00-96.06 (1 at 11.35) "
    "| 88 % [53-98 %] | +1.00 ["
)


def on_screen(results: Sequence[RunResult]) -> str:
    return to_markdown(report_of(analyse(results)).tables)


def in_file(results: Sequence[RunResult], confirmed: Sequence[RunResult] = ()) -> str:
    return report_of(analyse(results, confirmed)).to_markdown()


def printed(results: Sequence[RunResult], width: int) -> list[str]:
    output = io.StringIO()
    console = Console(file=output, width=width, markup=False, emoji=False, highlight=False)
    report = report_of(analyse(results))
    to_console(report.tables, console)
    for line in report.sentences:
        console.print(line)
    return output.getvalue().splitlines()


def test_a_line_has_the_share_of_trained_runs_and_their_accuracy() -> None:
    text = on_screen(as_claimed(8, collapsed=1))
    assert "| trained | accuracy if trained | sd | worst - best | P(beats mlp) | minus mlp if trained |" in text
    assert ROW in text


def test_a_share_of_all_or_none_has_an_interval_too() -> None:
    assert "| mlp | 79,510 | 20 | 8/8 [68-100 %] |" in on_screen(as_claimed(8))
    assert "| mlp | 79,510 | 20 | 0/8 [0-32 %] | - | - | (8 at 10.00) |" in on_screen(
        [short("mlp", seed, 0.1) for seed in range(8)]
    )


def test_collapsed_runs_are_listed_with_their_accuracies() -> None:
    lost = [short("mlp", seed, accuracy) for seed, accuracy in enumerate((0.0980, 0.1135, 0.1028))]
    assert "| 95.00-95.00 (3 at 9.80-11.35) |" in on_screen([*lost, short("mlp", 3, 0.95)])


def test_one_run_has_no_interval() -> None:
    text = in_file(as_claimed(1))
    assert "nan" not in text
    assert "inf" not in text
    assert "| mlp | 79,510 | 20 | 1/1 [21-100 %] | 95.00 | - | 95.00-95.00 |" in text


@pytest.mark.parametrize(
    ("overrides", "is_there"),
    [
        ((("epochs", "5"), ("threads", "2")), True),
        ((("epochs", "5"), ("lr", "1e-2"), ("lr_scheduler", "constant")), True),
        ((("epochs", "5"), ("lr", "1e-3")), False),
        ((("epochs", "4"),), False),
        ((("epochs", "5"), ("lr_scheduler", "onecycle")), False),
        ((("epochs", "5"), ("config", "configs/onecycle.yaml")), False),
        ((("epochs", "5"), ("data.val_size", "5000")), False),
        ((("epochs", "5"), ("trainer.limit_train_batches", "30")), False),
    ],
)
def test_the_notebooks_own_run_is_shown_beside_runs_of_its_settings_only(overrides: Overrides, is_there: bool) -> None:
    text = in_file(as_claimed(2, overrides=overrides))
    assert ("| notebook's mlp | 79,510 | - | 1/1 | 95.38 |" in text) == is_there
    assert ("| notebook's mlp | 79,510 | 0.28 | 0.16 | 95.38 |" in text) == is_there


def test_the_verdict_over_the_trained_runs_is_in_brackets_if_it_differs() -> None:
    text = on_screen(as_claimed(8, collapsed=3))
    assert "| claim | verdict | why |" in text
    assert "| Both convolutional networks test better than the MLP | undecided (supported) | If trained: " in text
    assert "All runs: maxpool better in 62 % [" in text
    assert "(supported)" not in on_screen(as_claimed(8))


def test_a_verdict_has_its_numbers_beside_it() -> None:
    text = on_screen(as_claimed(5))
    assert "| supported | 77,918 to 85,526: 9.8 % apart. |" in text
    assert "roughly equal is at most 10 % apart, much better is by more than 1 point" in text
    assert "| BatchNorm is much better than MaxPool | supported | +2.00 points [" in text
    assert "] (p = 0.032). |" in text


def test_of_too_few_runs_the_report_says_how_many_it_takes() -> None:
    text = on_screen(as_claimed(3))
    assert "| BatchNorm is much better than MaxPool | n is too small | +1.99 points (p = 0.40). It takes 5 " in text


def test_the_claim_on_speed_says_how_it_was_judged() -> None:
    assert "train faster than the MLP (loss of epoch 1) |" in on_screen(as_claimed(5))
    cycled = as_claimed(5, lr_scheduler="onecycle", epochs=course(0.9, 0.985))
    assert "train faster than the MLP (seconds to 98 % accuracy) |" in on_screen(cycled)


def test_the_conclusions_rank_the_networks_and_count_the_collapsed_runs() -> None:
    order, lost, test_set = conclusions(analyse(as_claimed(8, collapsed=2)))
    assert order.startswith("Among the runs that trained, BatchNorm is better than MaxPool by 2.00 points [1.97, 2.")
    assert "and MaxPool is better than the MLP by 1.00 points [0." in order
    assert lost == "MaxPool collapsed in 2 of 8 runs [7-59 %]."
    assert test_set.startswith("The test set is a sample too: with 10,000 other images an accuracy could come out 0.4 ")


def test_an_uncertain_order_is_called_so() -> None:
    near = [short(arch, seed, 0.95 + 0.001 * seed) for arch in ("mlp", "maxpool") for seed in range(5)]
    assert conclusions(analyse(near))[0].startswith("Among the runs that trained, it is not certain that ")
    assert "(1.01 points, from too few runs)" in conclusions(analyse(as_claimed(2)))[0]


@pytest.mark.parametrize(("loss", "note"), [(0.1, ""), (math.nan, ", all of which diverged")])
def test_without_trained_runs_networks_are_not_ranked(loss: float, note: str) -> None:
    lost = [short(arch, seed, 0.1, loss) for arch in ("mlp", "maxpool") for seed in range(3)]
    order, sentence, _ = conclusions(analyse(lost))
    assert order == "Too few networks trained to compare them."
    collapsed = f"collapsed in 3 of 3 runs [44-100 %]{note}"
    assert sentence == f"The MLP {collapsed}; MaxPool {collapsed}."


def test_of_a_grid_each_network_is_shown_at_its_own_setting_and_the_edge_is_reported() -> None:
    text = in_file(grid(BEST))
    assert text.startswith("## Each network at its own best setting: epochs 5\n")
    assert "| mlp | lr 3e-3, onecycle | 79,510 | 20 | 5/5 [57-100 %] | 98.00 |" in text
    assert "- Extend the grid: the best value lies at its edge for maxpool (lr 1e-3, look below)." in text
    assert "## Every setting: epochs 5\n" in text
    assert "| mlp | lr 1e-3, constant - lr 3e-3, constant | 5/5, 5/5 | 5 | -0.10" in text


def test_the_report_says_that_chosen_settings_were_confirmed() -> None:
    confirmed = "These are runs with fresh seeds, on all training images."
    fresh = [short(arch, 5, 0.9, overrides=(("lr", rate), ("lr_scheduler", on))) for arch, (rate, on) in BEST.items()]
    text = in_file(grid(BEST), fresh)
    assert confirmed in text
    assert "| mlp | lr 3e-3, onecycle | 79,510 | 20 | 1/1 [21-100 %] | 90.00 |" in text
    assert confirmed not in in_file(grid(BEST))


def test_of_a_grid_from_which_nothing_may_be_chosen_all_settings_are_shown() -> None:
    text = in_file(grid(BEST, validated=False))
    assert text.startswith("## Every setting: epochs 5\n")
    assert "best setting" not in text
    assert "- Nothing was chosen from the grid, since that takes validation images: add --data.val_size 5000." in text
    assert "## lr 1e-3, onecycle: All differences" in text


def test_the_details_have_the_notebooks_table_and_all_differences() -> None:
    text = in_file(as_claimed(8, collapsed=1))
    assert "| network | parameters | epoch-1 train loss | last train loss | test accuracy % | trained |" in text
    assert "| 96.03 ± 0.02 [96.01, 96.05] | 7 of 8 |" in text
    assert "| test accuracy | batchnorm - maxpool | 8, 7 | +2.00 [" in text
    assert "| maxpool | 0 of 8 | - | - |" in text


def test_a_run_that_died_is_named() -> None:
    dead = short("maxpool", 3, 0.0980, epochs=course(0.95, 0.0980))
    assert "maxpool, seed 3: learned, then died in epoch 2." in in_file([short("mlp", 3, 0.95), dead])


def test_a_diverged_run_is_in_no_mean() -> None:
    text = in_file([*(short("mlp", seed, 0.098, loss=math.nan) for seed in range(2)), *as_claimed(4)[2:]])
    assert "nan" not in text
    assert "| 2 of 4 |" in text


def test_of_other_images_than_mnists_the_report_says_what_they_are() -> None:
    shapes = ImageSpec(3, 32, 40, ("disc", "ring"), mean=(0.5,) * 3, std=(0.2,) * 3)
    images = Images(shapes, train=1200, test=240)
    text = in_file([short("mlp", seed, 0.9, images=images, chance_threshold=0.52) for seed in range(3)])
    assert "Images of 3 x 32 x 40 pixels, 2 classes (disc, ring); 240 test images." in text
    assert "ends at or below 52.0 % accuracy" in text
    assert "with 240 other images an accuracy could come out 3.8 points higher or lower" in text
    assert "notebook's mlp" not in text
    assert "Images of" not in on_screen(as_claimed(3))


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize("swept", [False, True])
def test_nothing_is_cut_off(width: int, swept: bool) -> None:
    lines = printed(grid(BEST) if swept else as_claimed(8, collapsed=2), width)
    assert max(map(len, lines)) <= width
    assert not any("…" in line for line in lines)


def test_a_wide_terminal_has_all_columns_and_a_narrow_one_names_those_that_it_drops() -> None:
    wide, narrow = (printed(as_claimed(8, collapsed=2), width) for width in (120, 80))
    assert not any("Columns dropped" in line for line in wide)
    assert "Columns dropped: sd, s a run, parameters, worst - best." in narrow


def test_the_report_fits_on_one_screen() -> None:
    assert len(printed(as_claimed(8, collapsed=3), 120)) <= 50
