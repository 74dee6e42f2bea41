"""The benchmark measures the same arithmetic in all ways, and its tables hold medians and ratios."""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from convblocks.errors import UserError
from lab.benchmarks.harness import in_turns
from lab.benchmarks.pages import read_raw_numbers
from lab.benchmarks.rows import Results, Row
from lab.benchmarks.training.__main__ import alternatives, commands, jobs, parse
from lab.benchmarks.training.figure import performance_figure
from lab.benchmarks.training.measure import OTHER, PARTS, arithmetic, command, operators, parts_of_steps
from lab.benchmarks.training.page import (
    PAGE,
    alternatives_table,
    epochs_table,
    gain,
    gain_table,
    limits_table,
    operator_table,
    parts_table,
    sprints_table,
    steps_table,
    targets_table,
    wait_table,
)
from lab.benchmarks.training.ways import BareLoop, Case, Variant, fit_command, train
from tests.scripts import run_benchmark

ROUNDS = 6

# How many times as long as in the second way a step takes in each.
STEPS: dict[Variant, int] = {"fit": 1, "bare": 2, "barebones": 3, "lightning-plain": 4, "notebook": 8}


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
    run = fit_command(Case("fit", arch, steps=steps, test_batches=1), "run")
    weights = torch.load(run.last_checkpoint, weights_only=True)["state_dict"]
    for name, value in loop.network.state_dict().items():
        assert torch.equal(weights[f"network.{name}"], value), name


@pytest.mark.slow
@pytest.mark.parametrize("variant", ["notebook", "lightning-plain", "bare", "barebones", "fit"])
def test_every_way_takes_one_turn_after_the_other(variant: Variant) -> None:
    case = Case(variant, "mlp", steps=2, test_batches=1)
    with in_turns(1, train, case) as take_turn:
        for _ in range(3):
            (row,) = take_turn()
            assert min(row.values.values()) >= 0, row
            assert set(row.values) == {"training", "evaluation", "memory"}


@pytest.mark.slow
def test_the_parts_of_a_step_are_all_of_it() -> None:
    """Of fit's, each is seen but for the signals, a few looks of a thousand: forward and backward are most."""
    with in_turns(1, parts_of_steps, Case("fit", "mlp", steps=400, test_batches=1)) as take_turn:
        take_turn()
        rows = {str(row.labels["of"]): row.values["seconds"] for row in take_turn()}
    assert list(rows) == [part.name for part in (*PARTS, OTHER)]
    assert rows["forward"] + rows["backward"] > 0.3 * sum(rows.values())
    assert [name for name, seconds in rows.items() if seconds == 0 and name != "signals"] == []


def test_operations_are_twice_the_multiply_adds_forward_and_twice_that_backward() -> None:
    """But for the first layer's inputs, which need no gradient: of the MLP, 64 images a step."""
    (row,) = arithmetic(Case("bare", "mlp"))
    first, second = 784 * 100, 100 * 10
    assert row.values["operations"] == 2 * 64 * (2 * first + 3 * second)


def test_commands_and_jobs_are_measured_where_their_networks_are() -> None:
    options = parse(["--arch", "maxpool", "--threads", "2"])
    assert [(one["command"], one["arch"]) for one, _ in commands(options)] == [
        ("imports", ""),
        ("first step", "maxpool"),
    ]
    assert list(jobs(options)) == []
    options = parse(["--threads", "2"])
    assert Counter(one["runs"] for one, _ in jobs(options)) == {"one": 2, "one a thread": 2}


def results_of(notebook: float | None = None) -> Results:
    """Rounds in which a step of each way took so many times as long as one of the first, or the notebook's varied."""
    made = Results("a machine", "abc1234", ["--out", "docs"], ROUNDS, {"threads": 2, "steps": None}, minutes=12.3)

    def row(number: int, values: dict[str, float], part: str, **labels: Any) -> None:
        made.rows.append(Row({"part": part, **labels}, values, number))

    for number in range(ROUNDS):
        seconds = 0.001 * (1 + number % 3)
        for threads in ("one", "all"):
            for variant, times in STEPS.items():
                step = notebook ** (number - 2) if notebook and variant == "notebook" else seconds * times
                labels = {"arch": "mlp", "variant": variant, "threads": threads, "workers": 0, "steps": 100}
                values = {"step": step, "evaluation": seconds, "epoch": 938 * step, "memory": 1e6}
                for precision in ("32-true", "bf16-mixed"):
                    row(number, values, "training", precision=precision, **labels)
            row(number, {"per_second": 1e11 / (1 + number % 3)}, "matrices", beside="mlp", threads=threads)
        for part in (*PARTS, OTHER):
            row(number, {"seconds": 0.1}, "of a step", variant="bare", steps=100, of=part.name)
            row(number, {"seconds": 0.2}, "of a step", variant="fit", steps=100, of=part.name)
        row(number, {"seconds": 1000 * seconds}, "command", command="imports", arch="")
        row(number, {"seconds": 2000 * seconds}, "command", command="first step", arch="mlp")
        for runs in ("one", "one a thread"):
            row(number, {"seconds": seconds}, "jobs", arch="mlp", runs=runs)
        row(number, {"seconds": 12 + number, "accuracy": 0.99}, "sprint", precision="bf16-mixed")
        row(number, {"seconds": 9 + 0.1 * number, "accuracy": 0.988 + 0.001 * number}, "sprint", precision="32-true")
    for operator, microseconds in (("relu_", 100.0), ("addmm", 300.0)):
        row(0, {"microseconds": microseconds}, "operator", arch="mlp", operator=operator, shape="64x32")
    row(0, {"operations": 50_000_000}, "arithmetic", arch="mlp")
    return made


RESULTS = results_of()


def test_targets_are_met_or_missed_or_undecided() -> None:
    verdicts = {row[0]: row[1] for row in targets_table(RESULTS).rows}
    assert verdicts["epoch: lightning-plain / fit"] == "4.00 [4.00, 4.00], at least 10: missed"
    assert verdicts["epoch: notebook / fit"] == "8.00 [8.00, 8.00], at least 3.5: met"
    assert verdicts["training steps on one thread: fit / bare"] == "0.50 [0.50, 0.50], at most 1.3: met"
    assert verdicts["start: fit.py to its first step / import lightning, torchvision"].endswith("at most 1.25: missed")
    assert "Of 7 targets: 4 met, 3 missed, 0 undecided." in PAGE.markdown(RESULTS)


def test_a_ratio_is_undecided_and_a_gain_uncertain_where_the_rounds_differ_too_much() -> None:
    results = results_of(notebook=0.1)
    assert targets_table(results).rows[1][1].endswith("at least 3.5: undecided")
    assert "Not certain, since the interval holds 1: mlp against the notebook's loop." in gain(results)


def test_the_tables_hold_medians() -> None:
    """Milliseconds of bare, added by loop and project, in all; a run has a start of 4 s and 5 epochs of 938 steps."""
    ratios = ["8.00 [8.00, 8.00]", "4.00 [4.00, 4.00]"]
    assert gain_table(RESULTS).rows == [["mlp", "1.9", "15.0", "7.5", *ratios]]
    numbers = ["4.00", "2.00", "-4.00", "2.00", "0.50 [0.50, 0.50]: less"]
    assert steps_table(RESULTS).rows == [["mlp", "1", *numbers], ["mlp", "2", *numbers]]
    assert wait_table(RESULTS).rows == [["mlp", "4.0 (30%)", "9.4 (70%)", "0.0 (0%)", "13.4"]]
    assert epochs_table(RESULTS).rows[1] == ["mlp", "bf16-mixed", "fit", "", "1.88 + 0.00", "1"]


def test_the_parts_of_a_step_are_compared() -> None:
    assert [row[1:4] for row in parts_table(RESULTS).rows] == [["1000", "2000", "1000"]] * (len(PARTS) + 1)


def test_a_step_is_held_against_the_rate_of_matrices() -> None:
    """50 million operations take 1 ms at 50 billion a second: of 4 ms a quarter, of 2 ms the half."""
    numbers = ["50", "50", "1.00", "0.25 [0.25, 0.25]: less", "0.50 [0.50, 0.50]: less"]
    assert [row[2:] for row in limits_table(RESULTS).rows] == [numbers] * 2


def test_alternatives_are_multiples_of_the_bare_loop() -> None:
    rows = {row[1]: row[2:] for row in alternatives_table(RESULTS).rows}
    assert rows["notebook"] == ["16.00", "4.00 [4.00, 4.00]: more"]
    assert "bare" not in rows


def test_a_sprint_is_timed_and_counted_where_it_gets_to_99_percent() -> None:
    bf16, single = sprints_table(RESULTS).rows
    assert bf16 == ["bf16-mixed", "14.5 [12.5, 16.5]", "6 of 6", "99.00 [99.00, 99.00]", "at most 12: missed"]
    assert single[2] == "4 of 6"


def test_a_profile_begins_with_the_longest_operator() -> None:
    assert operator_table(RESULTS).rows == [
        ["mlp", "addmm", "64x32", "300", "75%"],
        ["mlp", "relu_", "64x32", "100", "25%"],
    ]


def test_the_picture_has_the_numbers_of_the_table() -> None:
    (epochs,) = performance_figure(RESULTS).axes
    names = [label.get_text() for label in epochs.get_yticklabels()]
    shown = {name: number.get_text() for name, number in zip(names, epochs.texts, strict=True)}
    medians = [float(np.asarray(line.get_xdata())[0]) for line in epochs.lines if line.get_gid() == "medians"]
    assert list(shown.values()) == [f"{seconds:.1f}" for seconds in medians]
    assert [shown[name] for name in ("fit", "notebook", "lightning-plain")] == gain_table(RESULTS).rows[0][1:4]


@pytest.mark.nightly
def test_a_profile_knows_the_operators_of_a_step() -> None:
    times = {(row.labels["operator"], row.labels["shape"]): row.values for row in operators(Case("bare", "maxpool"))}
    relu, convolution = times["relu_", "64x32x14x14"], times["convolution_backward", "64x64x14x14"]
    assert 0 < relu["microseconds"] < convolution["microseconds"]


@pytest.mark.slow
def test_a_command_that_fails_is_an_error_with_its_output() -> None:
    with pytest.raises(UserError, match=r"status 2:\n.*unknown architecture 'resnet'"):
        next(command("first step", "resnet", threads=1))


@pytest.mark.nightly
def test_the_command_measures_everything_once(tmp_path: Path) -> None:
    flags = ["--arch", "mlp", "--rounds", "1", "--steps", "2", "--out", "out"]
    finished = run_benchmark("training", *flags, cwd=tmp_path)
    assert finished.returncode == 0, finished.stderr
    written = {path.name for path in (tmp_path / "out" / "lab").iterdir()}
    assert written == {"performance-dark.png", "performance.md", "performance.png"}
    results = read_raw_numbers(tmp_path / "out" / "data", "performance", Results)
    assert set(results.different("variant", part="training", threads="all")) == set(STEPS)
    assert set(results.different("variant", part="training", threads="one")) == {
        *("bare", "barebones", "fit"),
        *alternatives(),
    }
    assert set(results.different("part")) == {
        *("training", "of a step", "matrices", "command", "sprint", "jobs", "operator", "arithmetic")
    }
