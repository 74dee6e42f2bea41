"""The short way of a step leaves the same weights, metrics and counts, and is left wherever anything else is asked."""

import csv
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback
from lightning.pytorch.callbacks import GradientAccumulationScheduler, LambdaCallback
from lightning.pytorch.loops.optimization.automatic import _AutomaticOptimization

from convblocks.fast import step as fast_step
from convblocks.fast.lightning import STEP_HOOKS, FastClassifier, skip_idle_hooks
from convblocks.fast.step import HOOKS_WITHIN, _is_usual
from convblocks.run import fit
from convblocks.run.config import Config
from convblocks.run.directory import RunDirectory
from convblocks.run.run import Run
from tests.conftest import DEBUG

SHORT = ["--arch", "mlp", "--epochs", "1", "--trainer.limit_train_batches", "3", "--trainer.limit_val_batches", "1"]


@pytest.fixture
def long_ways(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The indices of the batches that go Lightning's way."""
    taken: list[int] = []
    lightnings = _AutomaticOptimization.run

    def run(self: _AutomaticOptimization, optimizer: Any, batch_idx: int, kwargs: Any) -> Any:
        taken.append(batch_idx)
        return lightnings(self, optimizer, batch_idx, kwargs)

    monkeypatch.setattr(_AutomaticOptimization, "run", run)
    return taken


def parts_of(name: str, *flags: str) -> dict[str, Any]:
    """What a run leaves of its steps."""
    losses: list[float] = []
    watch = LambdaCallback(on_train_batch_end=lambda *arguments: losses.append(arguments[2]["loss"].item()))
    fit.main([*DEBUG, *SHORT, "--trainer.log_every_n_steps", "1", "--name", name, *flags], [watch])
    run = RunDirectory(name)
    checkpoint = torch.load(run.last_checkpoint, weights_only=True)
    with run.metrics.open() as file:
        rows = [{name: value for name, value in row.items() if name != "seconds"} for row in csv.DictReader(file)]
    moments = checkpoint["optimizer_states"][0]["state"]
    return {
        "tensors": checkpoint["state_dict"] | {f"{n} {name}": moments[n][name] for n in moments for name in moments[n]},
        "loops": checkpoint["loops"]["fit_loop"],
        "losses": losses,
        "metrics": rows,
    }


def test_the_short_way_changes_no_bit_and_no_count(
    workspace: Path, monkeypatch: pytest.MonkeyPatch, long_ways: list[int]
) -> None:
    short = parts_of("short")
    assert long_ways == []
    monkeypatch.setattr(fast_step, "_is_usual", lambda *_: False)
    long = parts_of("long")
    assert long_ways == [0, 1, 2]
    for name, value in long.pop("tensors").items():
        assert torch.equal(short["tensors"][name], value), name
    assert {part: short[part] for part in long} == long


@pytest.mark.parametrize(
    "flags",
    [
        ["--trainer.gradient_clip_val", "1"],
        ["--trainer.accumulate_grad_batches", "2"],
        ["--trainer.precision", "bf16-mixed"],
        ["--trainer.profiler", "simple"],
        ["--optimizer", "sgd"],
    ],
    ids=lambda flags: flags[0].rpartition(".")[2],
)
def test_an_option_beyond_the_four_calls_goes_lightnings_way(
    workspace: Path, long_ways: list[int], flags: list[str]
) -> None:
    fit.main([*DEBUG, *SHORT, "--name", "run", *flags])
    assert long_ways == [0, 1, 2]


@pytest.mark.parametrize("hook", HOOKS_WITHIN)
def test_a_hook_within_the_step_goes_lightnings_way(workspace: Path, long_ways: list[int], hook: str) -> None:
    calls: list[str] = []
    callback = type("OfOneHook", (Callback,), {hook: lambda *_: calls.append(hook)})()
    fit.main([*DEBUG, *SHORT, "--name", "run"], [callback])
    assert (long_ways, len(calls)) == ([0, 1, 2], 3)


@pytest.mark.parametrize("hook", HOOKS_WITHIN)
def test_a_hook_of_the_modules_own_goes_lightnings_way(workspace: Path, hook: str) -> None:
    run = Run(Config.parse([*SHORT, "--trainer.accelerator", "cpu"]))
    run.module.__class__ = FastClassifier
    skip_idle_hooks(run.trainer, run.module)
    assert _is_usual(run.trainer, run.module)
    object.__setattr__(run.module, hook, lambda *_: None)
    assert not _is_usual(run.trainer, run.module)


def test_what_changes_in_the_middle_of_a_run_is_seen(workspace: Path, long_ways: list[int]) -> None:
    """Two batches a step from the second epoch on."""
    fit.main([*DEBUG, *SHORT, "--epochs", "2", "--name", "run"], [GradientAccumulationScheduler({1: 2})])
    assert long_ways == [0, 1, 2]


def test_its_names_are_lightnings() -> None:
    assert set(HOOKS_WITHIN) < set(STEP_HOOKS)
