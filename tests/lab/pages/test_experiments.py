"""What the experiments' page shows of their runs."""

import shlex
from dataclasses import replace

import pytest

from convblocks.compare.options import parse
from lab.pages.experiments import EXPERIMENTS, channels_tables, command_of, sources, time_tables
from lab.pages.writing import DATA
from lab.results import read_results
from tests.made_up import MACHINE, course, provenance, result


def test_the_origins_count_the_runs_of_each_machine() -> None:
    origins = [*[provenance()] * 30, provenance(commit=None), provenance("one", commit=None, threads=2)]
    origins += [provenance("another", commit, threads) for commit, threads in zip("abc", (1, 4, 1), strict=True)]
    runs = [result("mlp", seed, 0.9, provenance=one) for seed, one in enumerate(origins)]
    first, *lines = sources("long", runs).split("\n")
    assert first.startswith(f"`python scripts/compare.py {EXPERIMENTS['long'].arguments}`: n = 35 runs, ")
    assert first.endswith(
        "[each with all its numbers](../data/long.jsonl). "
        "One run alone, the first of them: `python scripts/fit.py --epochs=5 --arch mlp --seed 0`."
    )
    assert lines == [
        "",
        f"- 30 runs on {MACHINE}, one thread each, commit abc1234.",
        f"- 1 run on {MACHINE}, one thread each, commit unknown.",
        "- 1 run on one, 2 threads each, commit unknown.",
        "- 3 runs on another, 1 and 4 threads each, commits a, b and c.",
    ]


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_the_command_trains_the_runs_that_are_kept(name: str) -> None:
    commands = EXPERIMENTS[name].commands
    trials = [trial for command in commands for trial in parse(shlex.split(command)).trials]
    kept = [(one.arch, one.seed, {*one.overrides}) for one in read_results(DATA / f"{name}.jsonl")]
    for trial in trials:
        assert any((trial.arch, trial.seed) == (arch, seed) and {*trial.overrides} <= own for arch, seed, own in kept)


def test_a_run_is_repeated_alone_with_the_options_of_its_record() -> None:
    """The config comes first, since later options win; a registered network takes no arguments."""
    overrides = (("config", "configs/long.yaml"), ("network.width", "3"), ("trainer.precision", "bf16-mixed"))
    assert command_of(result("maxpool", 7, 0.99, overrides)) == (
        "python scripts/fit.py --config=configs/long.yaml --epochs=5 --trainer.precision=bf16-mixed "
        "--arch maxpool --seed 7"
    )


def test_the_time_to_an_accuracy_ends_with_the_first_epoch_above_it() -> None:
    precision = (("trainer.precision", "32-true"),)
    runs = [
        result("maxpool", seed, accuracies[-1], precision, course(*accuracies, seconds=4.0))
        for seed, accuracies in enumerate([(0.98, 0.991, 0.989), (0.98, 0.985, 0.989), (0.99,)])
    ]
    runs[2] = replace(runs[2], provenance=provenance("1 CPU (Other), Linux, python 3.11.2"))
    here, elsewhere = time_tables(runs, 0.99)
    assert here.rows == [["32-true", "1 of 2", "8.0", "98.90 [98.90, 98.90]"]]
    assert elsewhere.rows == [["32-true", "1 of 1", "4.0", "99.00"]]
    assert (here.title, elsewhere.title) == ("2 CPUs (AMD EPYC 9R45), Linux", "1 CPU (Other), Linux")


def test_the_two_orders_of_memory_are_compared_seed_by_seed() -> None:
    first, last = (
        [result("batchnorm", seed, accuracy + seed / 1000) for seed in range(8)] for accuracy in (0.982, 0.981)
    )
    (table,) = channels_tables(first, last[1:])
    assert table.rows[2] == ("first - last", "7 pairs", "+0.10 [+0.10, +0.10]")
    assert "sign-flip test (p = 0.016)" in table.notes[0]
    assert "Channels first should be the default" in table.notes[0]


@pytest.mark.parametrize(
    ("half_width", "verdict"), [(0.0005, "They are equivalent within 0.10 points."), (0.002, "That is undecided: ")]
)
def test_without_a_difference_only_a_narrow_interval_is_equivalence(half_width: float, verdict: str) -> None:
    """Eight differences around 0, so that the interval of the sign-flip test is about as wide as they spread."""
    first = [result("batchnorm", seed, 0.98 + half_width * (-1) ** seed) for seed in range(8)]
    (table,) = channels_tables(first, [result("batchnorm", seed, 0.98) for seed in range(8)])
    assert verdict in table.notes[0]
