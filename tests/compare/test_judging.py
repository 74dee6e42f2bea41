"""By which metric trials are judged, where nothing names one, and what is said of a wrong one."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from convblocks.compare import command as compare
from convblocks.compare.dry_run import plans_of
from convblocks.compare.launch import Failures
from convblocks.compare.options import parse
from convblocks.compare.trials import Trial
from convblocks.errors import UserError
from convblocks.record.directory import LOGS
from convblocks.record.judge import Judge
from tests.any_task.tasks import HERE

pytestmark = pytest.mark.filterwarnings("ignore:You passed in a `val_dataloader`")

POINTS = ["--data", f"{HERE}.regression.Points", "--epochs", "2", "--seeds", "2"]


def of_model(model: str, *further: str) -> list[str]:
    return ["--model", f"{HERE}.{model}", *POINTS, *further]


@pytest.mark.slow
def test_module_that_logs_a_usual_name_is_judged_by_it_as_in_fit(workspace: Path) -> None:
    arguments = of_model("unjudged.Documented", "--name", "found")
    (plan,) = plans_of(parse(arguments).trials).values()
    assert (plan.judge, plan.is_validated) == (Judge("val_loss", "min"), True)
    assert plan.note == "judged by val_loss, less is better: --judge names another"
    compare.main(arguments)
    assert "val_loss" in (LOGS / "found" / "comparison.md").read_text()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            of_model("regression.Curve"),
            "Curve names no metric to judge it by: give --judge METRIC:min or METRIC:max, "
            "an evaluation logs val/rmse$",
        ),
        (
            of_model("unjudged.Adversaries"),
            "--judge METRIC:min or METRIC:max, such as train_loss:min$",
        ),
        (
            of_model("regression.Curve", "--judge", "val_rmse:min"),
            r"--judge val_rmse is not logged; logged are val/rmse: did you mean val/rmse\?$",
        ),
    ],
)
def test_metric_is_asked_for_before_anything_is_trained(
    arguments: list[str], message: str, workspace: Path
) -> None:
    with pytest.raises(UserError, match=message):
        compare.main(arguments)
    assert not LOGS.exists()


@pytest.mark.slow
def test_judge_that_a_first_evaluation_does_not_log_may_come_later(workspace: Path) -> None:
    arguments = of_model("unlike.Seldom", "--judge", "val/rmse:min", "--name", "seldom")
    compare.main(arguments)
    assert "test/rmse if trained" in (LOGS / "seldom" / "comparison.md").read_text()


TRIALS = [
    Trial("compare", arch, (), (("lr", rate),), seed)
    for rate in ("1", "2")
    for arch in ("a", "b")
    for seed in range(4)
]


def awaited(said: Mapping[Trial, str]) -> set[tuple[str, str]]:
    """Networks and rates whose remaining trials are not worth a try."""
    failures = Failures(TRIALS)
    for trial, failure in said.items():
        failures.note(trial, failure)
    return {(trial.arch, dict(trial.chosen)["lr"]) for trial in TRIALS if failures.awaits(trial)}


def first(arch: str, seed: int = 0) -> Trial:
    return next(trial for trial in TRIALS if (trial.arch, trial.seed) == (arch, seed))


def test_arm_whose_first_seeds_fail_alike_is_given_up() -> None:
    alike = {first("a", 0): "no memory", first("a", 1): "no memory"}
    assert awaited(alike) == {("a", "1")}
    assert awaited({first("a", 0): "no memory"}) == set()
    assert awaited(alike | {first("a", 1): "another"}) == set()
    assert awaited(alike | {first("a", 2): ""}) == set()
    assert awaited({first("a", 0): "--judge x is not logged; logged are y"}) == {("a", "1")}


def test_all_is_given_up_where_each_network_has_failed_at_a_setting_and_nothing_is_done() -> None:
    failed = {first(arch, seed): "no memory" for arch in "ab" for seed in range(2)}
    everything = {("a", "1"), ("b", "1"), ("a", "2"), ("b", "2")}
    assert awaited(failed) == everything
    done = replace(first("a"), chosen=(("lr", "2"),))
    assert awaited(failed | {done: ""}) == {("a", "1"), ("b", "1")}
