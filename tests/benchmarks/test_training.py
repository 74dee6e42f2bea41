"""The benchmark measures the same arithmetic in all ways, and its tables hold medians and ratios."""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from benchmarks.pages import read_raw_numbers
from benchmarks.rows import Results, Row
from benchmarks.training.__main__ import EPOCH_VARIANTS, GROWTH_VARIANTS, commands, growth, parse, profiles
from benchmarks.training.measure import command, operators
from benchmarks.training.page import (
    PAGE,
    gain,
    gain_table,
    growth_table,
    operator_tables,
    performance_figure,
    steps_table,
    targets_table,
    wait_table,
)
from benchmarks.training.ways import LOADING_IMAGES, PRECISIONS, BareLoop, Case, fit_command
from convblocks.errors import UserError
from tests.scripts import run_benchmark


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arch", "steps"),
    [
        ("batchnorm", 50),
        pytest.param("mlp", None, marks=pytest.mark.nightly),
        pytest.param("maxpool", 50, marks=pytest.mark.nightly),
    ],
)
def test_fit_ends_with_the_weights_of_the_bare_loop(workspace: Path, arch: str, steps: int | None) -> None:
    """Bit for bit; the whole epoch for the MLP."""
    loop = BareLoop(Case("bare", arch))
    loop.train(steps)
    run = fit_command(Case("fit", arch), steps, "run", "--trainer.limit_val_batches", "1")
    weights = torch.load(run.last_checkpoint, weights_only=True)["state_dict"]
    for name, value in loop.network.state_dict().items():
        assert torch.equal(weights[f"network.{name}"], value), name


def test_a_round_has_every_variant_at_every_batch_size() -> None:
    """The smallest several times, in bf16-mixed too."""
    options = parse(["--arch", "maxpool"])
    labels = [labels for labels, _ in growth(options)]
    smallest = Counter((one["variant"], one["precision"]) for one in labels if one["batch_size"] == 64)
    variants = [*((variant, "32-true") for variant in GROWTH_VARIANTS), ("bare", "bf16-mixed"), ("fit", "bf16-mixed")]
    assert smallest == dict.fromkeys(variants, 4)
    assert Counter(one["batch_size"] for one in labels) == {64: 20, 256: 3, 1024: 3, 4096: 3}
    assert [one["command"] for one, _ in commands(options)] == ["imports", "first step", "one epoch"]
    assert len(list(profiles(options))) == len(PRECISIONS) * len({1, options.threads})


def results_of(notebook: tuple[float, float] = (8.0, 24.0)) -> Results:
    """Two rounds in which every variant took twice as long as the one after it, but for the notebook's loop."""
    made = Results("a machine", "abc1234", ["--out", "docs"], 2, {"threads": 2, "steps": None}, minutes=12.3)

    def row(number: int, values: dict[str, float], part: str, **labels: Any) -> None:
        made.rows.append(Row({"part": part, "arch": "mlp", **labels}, values, number))

    for number, seconds in enumerate((1.0, 3.0)):
        for precision in PRECISIONS:
            for power, variant in enumerate(reversed(EPOCH_VARIANTS)):
                if variant not in LOADING_IMAGES or precision == "32-true":
                    own = notebook[number] if variant == "notebook" else seconds * 2**power
                    values = {"training": own, "evaluation": 0.0, "epoch": own, "memory": 1e6}
                    row(number, values, "epoch", variant=variant, precision=precision, workers=0)
        for variant, share in zip(GROWTH_VARIANTS, (2, 3, 1), strict=True):
            labels = {"variant": variant, "precision": "32-true", "batch_size": 64, "steps": 10}
            row(number, {"training": share * seconds}, "growth", **labels)
        row(number, {"seconds": seconds}, "command", command="imports", arch="")
        for name, share in {"first step": 2, "one epoch": 4, "one by one": 1, "side by side": 1}.items():
            row(number, {"seconds": share * seconds}, "command", command=name)
    for threads in (1, 2):
        for operator, microseconds in (("relu_", 100.0), ("mkldnn_convolution", 300.0)):
            labels = {"arch": "maxpool", "precision": "32-true", "threads": threads, "operator": operator}
            row(0, {"microseconds": microseconds / threads}, "operator", **labels, shape="64x32")
    return made


RESULTS = results_of()


def test_targets_are_met_or_missed_or_undecided() -> None:
    verdicts = {row[0]: row[1] for row in targets_table(RESULTS).rows}
    assert verdicts["epoch: lightning-plain / fit"] == "4.00 [4.00, 4.00], at least 10: missed"
    assert verdicts["epoch: notebook / fit"] == "8.00 [8.00, 8.00], at least 3.5: met"
    assert verdicts["training steps: fit / bare"] == "0.50 [0.50, 0.50], at most 1.6: met"
    assert verdicts["start: fit.py to its first step / import lightning, torchvision"].endswith("at most 1.25: missed")
    page = PAGE.markdown(RESULTS)
    assert "Of 6 targets: 3 met, 3 missed, 0 undecided." in page
    assert "The training steps of `fit` and `bare` are measured\n1 times a round, 10 steps each" in page


def test_a_ratio_is_undecided_and_a_gain_uncertain_where_the_rounds_differ_too_much() -> None:
    """Ratios of 0.5 and 40 in the two rounds, and a target of 3.5."""
    results = results_of(notebook=(0.5, 120.0))
    assert targets_table(results).rows[1][1].endswith("at least 3.5: undecided")
    assert "Not certain, since the interval holds 1: mlp against the notebook's loop." in gain(results)


def test_the_tables_hold_medians() -> None:
    """Milliseconds of bare, added by loop and project, in all; a run has a start of 4 s and 5 epochs of 2 s."""
    assert gain_table(RESULTS).rows == [["mlp", "2.0", "16.0", "8.0", "8.00 [8.00, 8.00]", "4.00 [4.00, 4.00]"]]
    assert steps_table(RESULTS).rows == [["mlp", "400.00", "200.00", "-400.00", "200.00"]]
    assert wait_table(RESULTS).rows == [["mlp", "4.0 (29%)", "10.0 (71%)", "0.0 (0%)", "14.0"]]


def test_a_profile_begins_with_the_longest_operator() -> None:
    (table,) = operator_tables(RESULTS)
    assert table.columns[2:] == ["32-true, 1 thread", "32-true, 2 threads"]
    assert table.rows == [
        ["mkldnn_convolution", "64x32", "300 (75%)", "150 (75%)"],
        ["relu_", "64x32", "100 (25%)", "50 (25%)"],
    ]


def test_the_picture_has_the_numbers_of_the_tables() -> None:
    epochs, growth = performance_figure(RESULTS).axes
    names = [label.get_text() for label in epochs.get_yticklabels()]
    shown = {name: number.get_text() for name, number in zip(names, epochs.texts, strict=True)}
    medians = [float(np.asarray(line.get_xdata())[0]) for line in epochs.lines if line.get_gid() == "medians"]
    assert list(shown.values()) == [f"{seconds:.1f}" for seconds in medians]
    assert [shown[name] for name in ("fit", "notebook", "lightning-plain")] == gain_table(RESULTS).rows[0][1:4]
    rates = [float(np.asarray(line.get_ydata())[0]) for line in growth.lines if line.get_gid() == "rates"]
    assert [row[2] for row in growth_table(RESULTS).rows] == [f"{rate / 64:.1f} ({rate:,.0f})" for rate in rates]


@pytest.mark.nightly
def test_a_profile_knows_the_operators_of_a_step() -> None:
    times = {(row.labels["operator"], row.labels["shape"]): row.values for row in operators(Case("bare", "maxpool"))}
    relu, convolution = times["relu_", "64x32x14x14"], times["convolution_backward", "64x64x14x14"]
    assert 0 < relu["microseconds"] < convolution["microseconds"]


@pytest.mark.slow
def test_a_command_that_fails_is_an_error_with_its_output() -> None:
    with pytest.raises(UserError, match=r"status 2:\n.*unknown architecture 'resnet'"):
        next(command("first step", "resnet", threads=1, steps=None))


@pytest.mark.nightly
def test_the_command_measures_everything_once(tmp_path: Path) -> None:
    flags = ["--arch", "mlp", "--rounds", "1", "--steps", "2", "--out", "out"]
    finished = run_benchmark("training", *flags, cwd=tmp_path)
    assert finished.returncode == 0, finished.stderr
    written = {path.name for path in (tmp_path / "out" / "lab").iterdir()}
    assert written == {"performance-dark.png", "performance.md", "performance.png"}
    results = read_raw_numbers(tmp_path / "out" / "data", "performance", Results)
    assert set(results.different("variant", part="epoch")) == set(EPOCH_VARIANTS)
    assert results.different("precision", part="epoch") == list(PRECISIONS)
    assert set(results.different("variant", part="growth")) == set(GROWTH_VARIANTS)
    assert results.numbers("batch_size", part="growth") == [64, 256, 1024, 4096]
    measured = {"imports", "first step", "one epoch", "side by side", "one by one"}
    assert set(results.different("command", part="command")) == measured
