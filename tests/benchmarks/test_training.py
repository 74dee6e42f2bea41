"""What the benchmark measures is the same arithmetic, and its ratios are what they say."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.training.case import LOADING_IMAGES, PRECISIONS, Case, Timing
from benchmarks.training.commands import first_step_seconds
from benchmarks.training.figure import performance_figure
from benchmarks.training.loops import BareLoop
from benchmarks.training.measure import Measurement
from benchmarks.training.operators import OperatorTime, operator_times
from benchmarks.training.page import (
    gain,
    gain_table,
    growth_table,
    markdown,
    operator_tables,
    steps_table,
    targets_table,
    wait_table,
)
from benchmarks.training.projects import fit_command
from benchmarks.training.results import CommandTime, Results
from benchmarks.training.speed import EPOCH_VARIANTS, GROWTH_VARIANTS
from convblocks.errors import UserError
from tests.scripts import run_script


@pytest.mark.slow
@pytest.mark.parametrize(("arch", "steps"), [("mlp", None), ("maxpool", 50), ("batchnorm", 50)])
def test_fit_ends_with_the_weights_of_the_bare_loop(workspace: Path, arch: str, steps: int | None) -> None:
    """Bit for bit; the whole epoch for the MLP."""
    loop = BareLoop(Case("bare", arch))
    loop.train(steps)
    run = fit_command(Case("fit", arch), steps, "run")
    weights = torch.load(run.last_checkpoint, weights_only=True)["state_dict"]
    for name, value in loop.network.state_dict().items():
        assert torch.equal(weights[f"network.{name}"], value), name


@pytest.fixture
def results() -> Results:
    """Two rounds in which every variant took twice as long as the one after it."""
    made = Results("a machine", "abc1234", ["--out", "docs"], threads=2, rounds=2, steps=None)
    for seconds in (1.0, 3.0):
        for precision in PRECISIONS:
            for number, variant in enumerate(reversed(EPOCH_VARIANTS)):
                if variant in LOADING_IMAGES and precision != "32-true":
                    continue
                case = Case(variant, "mlp", precision)
                made.epochs.append(Measurement(case, Timing(seconds * 2**number, 0.0), peak_memory=10**6))
        for variant, share in zip(GROWTH_VARIANTS, (2, 3, 1), strict=True):
            timing = Timing(share * seconds, 0.0)
            made.growth.append(Measurement(Case(variant, "mlp", steps=10), timing, peak_memory=0))
        made.commands += [CommandTime("imports", "", seconds), CommandTime("first step", "mlp", 2 * seconds)]
        made.commands += [CommandTime("one epoch", "mlp", 4 * seconds)]
        made.commands += [CommandTime("one by one", "mlp", seconds), CommandTime("side by side", "mlp", seconds)]
    made.operators = [
        OperatorTime("maxpool", "32-true", threads, name, "64x32x14x14", microseconds / threads)
        for threads in (1, 2)
        for name, microseconds in (("relu_", 100.0), ("mkldnn_convolution", 300.0))
    ]
    return made


def test_targets_are_met_or_missed(results: Results) -> None:
    verdicts = {row[0]: row[1] for row in targets_table(results).rows}
    assert verdicts["epoch: lightning-plain / fit"] == "4.00 [4.00, 4.00], at least 10: missed"
    assert verdicts["epoch: notebook / fit"] == "8.00 [8.00, 8.00], at least 3.5: met"
    assert verdicts["training steps: fit / bare"] == "0.50 [0.50, 0.50], at most 1.6: met"
    assert verdicts["start: fit.py to its first step / import lightning, torchvision"].endswith("at most 1.25: missed")
    assert targets_table(results).notes[0].startswith("Of 6 targets: 3 met, 3 missed, 0 undecided.")


def test_a_target_is_undecided_where_the_rounds_differ_too_much(results: Results) -> None:
    """Ratios of 8 and 40 in the two rounds, and a target of 3.5."""
    notebook = next(one for one in results.epochs if one.case.variant == "notebook")
    results.epochs[results.epochs.index(notebook)] = replace(notebook, timing=Timing(40.0, 0.0))
    verdicts = {row[0]: row[1] for row in targets_table(results).rows}
    assert verdicts["epoch: notebook / fit"].startswith("17.89 [0.00, ")
    assert verdicts["epoch: notebook / fit"].endswith("], at least 3.5: undecided")


def test_the_page_begins_with_what_is_gained(results: Results) -> None:
    assert gain_table(results).rows == [["mlp", "2.0", "16.0", "8.0", "8.00 [8.00, 8.00]", "4.00 [4.00, 4.00]"]]
    lead, _, title = markdown(results).splitlines()[2:5]
    assert lead == (
        "An epoch takes 2.0 s for mlp; the notebook's loop takes 8.0 times as long and a usual Lightning project takes "
        "4.0 times as long."
    )
    assert title == "## How long an epoch takes"


def test_the_picture_has_the_numbers_of_the_tables(results: Results) -> None:
    epochs, growth = performance_figure(results).axes
    names = [label.get_text() for label in epochs.get_yticklabels()]
    told = {name: number.get_text() for name, number in zip(names, epochs.texts, strict=True)}
    medians = [float(np.asarray(line.get_xdata())[0]) for line in epochs.lines if line.get_gid() == "medians"]
    assert list(told.values()) == [f"{seconds:.1f}" for seconds in medians]
    assert [told[name] for name in ("fit", "notebook", "lightning-plain")] == gain_table(results).rows[0][1:4]
    rates = [float(np.asarray(line.get_ydata())[0]) for line in growth.lines if line.get_gid() == "rates"]
    assert [row[2] for row in growth_table(results).rows] == [f"{rate / 64:.1f} ({rate:,.0f})" for rate in rates]


def test_a_gain_that_is_not_certain_is_called_so(results: Results) -> None:
    """The notebook's ratios are 0.5 and 40 in the two rounds."""
    for round_, seconds in enumerate((0.5, 120.0)):
        one = results.of("notebook", "mlp", "32-true")[round_]
        results.epochs[results.epochs.index(one)] = replace(one, timing=Timing(seconds, 0.0))
    assert "Not certain, since the interval holds 1: mlp against the notebook's loop." in gain(results)


def test_the_page_says_on_what_and_how_often_it_was_measured(results: Results) -> None:
    page = " ".join(markdown(replace(results, minutes=12.3)).split())
    assert (
        "`python scripts/benchmark.py --out docs` measured the [raw numbers](../data/performance.json) in 12 minutes"
        in page
    )
    assert "a machine; commit abc1234; 2 threads" in page
    assert "2 rounds" in page
    assert "| mlp | fit | 5.0 (320) |" in page  # 10 steps in 2 seconds


def test_a_step_of_fit_is_the_arithmetic_and_what_the_loop_and_the_project_add(results: Results) -> None:
    table = steps_table(results)
    assert table.rows == [["mlp", "400.00", "200.00", "-400.00", "200.00"]]
    assert "than one of `bare`: 100% for mlp of a step of `fit`" in table.notes[0]


def test_a_run_is_what_its_epochs_take_and_what_comes_before(results: Results) -> None:
    """Medians: a start of 4 s and 5 epochs of 2 s."""
    assert wait_table(results).rows == [["mlp", "4.0 (29%)", "10.0 (71%)", "0.0 (0%)", "14.0"]]


def test_a_profile_begins_with_what_takes_longest(results: Results) -> None:
    (table,) = operator_tables(results)
    assert table.columns[2:] == ["32-true, 1 thread", "32-true, 2 threads"]
    assert table.rows == [
        ["mkldnn_convolution", "64x32x14x14", "300 (75%)", "150 (75%)"],
        ["relu_", "64x32x14x14", "100 (25%)", "50 (25%)"],
    ]


@pytest.mark.slow
def test_a_profile_knows_the_operators_of_a_step() -> None:
    times = {(one.name, one.shape): one.microseconds for one in operator_times(Case("bare", "maxpool"), threads=1)}
    assert times["relu_", "64x32x14x14"] > 0
    assert times["convolution_backward", "64x64x14x14"] > times["relu_", "64x32x14x14"]


@pytest.mark.slow
def test_a_command_that_fails_is_told_with_its_output() -> None:
    with pytest.raises(UserError, match=r"status 2:\n.*unknown architecture 'resnet'"):
        first_step_seconds("resnet", threads=1)


@pytest.mark.slow
def test_the_command_measures_everything_once(tmp_path: Path) -> None:
    flags = ["--arch", "mlp", "--rounds", "1", "--steps", "2", "--out", "out"]
    finished = run_script("benchmark", *flags, cwd=tmp_path, timeout=600)
    assert finished.returncode == 0, finished.stderr
    assert "Ratios and targets" in finished.stdout
    assert sorted(path.name for path in (tmp_path / "out" / "lab").iterdir()) == [
        "performance-dark.png",
        "performance.md",
        "performance.png",
    ]
    measured = json.loads((tmp_path / "out" / "data" / "performance.json").read_text())
    assert {one["case"]["variant"] for one in measured["epochs"]} == set(EPOCH_VARIANTS)
    assert {one["case"]["variant"] for one in measured["growth"]} == set(GROWTH_VARIANTS)
    assert {one["case"]["precision"] for one in measured["epochs"]} == {"32-true", "bf16-mixed"}
    assert {one["case"]["batch_size"] for one in measured["growth"]} == {64, 256, 1024, 4096}
    assert {one["name"] for one in measured["commands"]} == {
        *("imports", "first step", "one epoch"),
        *("side by side", "one by one"),
    }


@pytest.mark.slow
@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--rounds", "0"], "--rounds must be at least 1, but is 0"),
        (["--arch", "resnet"], "invalid choice: 'resnet'"),
        (["--out", "/dev/null/out"], "cannot write to /dev/null/out"),
    ],
)
def test_wrong_options_are_told_in_one_line(tmp_path: Path, flags: list[str], message: str) -> None:
    finished = run_script("benchmark", *flags, cwd=tmp_path)
    assert finished.returncode != 0
    assert message in finished.stderr
    assert "Traceback" not in finished.stderr
