"""The short way of a step hides nothing from hooks and callbacks, and is left where
anything else is asked.
"""

from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
import torch
from lightning.pytorch import Callback, LightningModule
from lightning.pytorch.callbacks import GradientAccumulationScheduler, LambdaCallback
from torch import nn
from torch.optim import Adam

from convblocks.fast.lightning import STEP_HOOKS, FastClassifier, skip_idle_hooks
from convblocks.fast.lightning_private import AutomaticOptimization
from convblocks.fast.step import HOOKS_WITHIN, _is_usual
from convblocks.run import fit
from convblocks.run.make import make_run
from convblocks.settings.config import Config
from tests.conftest import DEBUG

SHORT = [
    "--arch",
    "mlp",
    "--epochs",
    "1",
    "--trainer.limit_train_batches",
    "3",
    "--trainer.limit_val_batches",
    "1",
]


class OwnAdam(Adam):
    """May do anything in its step."""


@pytest.fixture
def long_ways(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The indices of the batches that go Lightning's way."""
    batches: list[int] = []
    lightnings = AutomaticOptimization.run

    def run(self: AutomaticOptimization, optimizer: Any, batch_idx: int, kwargs: Any) -> Any:
        batches.append(batch_idx)
        return lightnings(self, optimizer, batch_idx, kwargs)

    monkeypatch.setattr(AutomaticOptimization, "run", run)
    return batches


def train(*flags: str, callbacks: tuple[Callback, ...] = ()) -> None:
    fit.main([*DEBUG, *SHORT, "--trainer.logger", "false", "--name", "run", *flags], [*callbacks])


@pytest.mark.parametrize("flags", [[], ["--optimizer", "sgd"]], ids=" ".join)
def test_no_step_of_a_usual_run_goes_lightnings_way(
    workspace: Path, long_ways: list[int], flags: list[str]
) -> None:
    """If this fails after a change of ImageClassifier or of a callback, a new hook makes every
    run slower.
    """
    train(*flags)
    assert long_ways == []


@pytest.mark.parametrize(
    "flags",
    [
        ["--optimizer", f"{__name__}.OwnAdam"],
        ["--trainer.gradient_clip_val", "1"],
        ["--trainer.accumulate_grad_batches", "2"],
        ["--trainer.precision", "bf16-mixed"],
        ["--trainer.profiler", "simple"],
    ],
    ids=" ".join,
)
def test_step_goes_lightnings_way_if_an_option_asks_for_more(
    workspace: Path, long_ways: list[int], flags: list[str]
) -> None:
    train(*flags)
    assert long_ways == [0, 1, 2]


def test_step_goes_lightnings_way_from_the_epoch_that_accumulates(
    workspace: Path, long_ways: list[int]
) -> None:
    train("--epochs", "2", callbacks=(GradientAccumulationScheduler({1: 2}),))
    assert long_ways == [0, 1, 2]


@pytest.mark.parametrize("hook", STEP_HOOKS)
def test_step_calls_each_hook_of_a_callback(
    workspace: Path, long_ways: list[int], hook: str
) -> None:
    """Of a callback with a single hook, so that all others are skipped."""
    steps: list[int] = []
    train(
        callbacks=(LambdaCallback(**{hook: lambda trainer, *_: steps.append(trainer.global_step)}),)
    )
    assert steps == ([1, 2, 3] if hook == "on_train_batch_end" else [0, 1, 2])
    assert long_ways == ([0, 1, 2] if hook in HOOKS_WITHIN else [])


def test_hooks_are_skipped_if_idle_and_not_if_a_user_sets_them(workspace: Path) -> None:
    run = make_run(Config.parse([*SHORT, "--trainer.accelerator", "cpu"]))
    on_instance = LambdaCallback(on_after_backward=lambda *_: None)
    idle, mocked = Callback(), Mock(Callback)
    run.trainer.callbacks += [on_instance, idle, mocked]  # type: ignore[attr-defined]  # is set
    run.module.on_before_backward = lambda loss: None  # type: ignore[method-assign]
    skip_idle_hooks(run.trainer, run.module)
    assert all(callable(getattr(mocked, hook)) for hook in STEP_HOOKS)
    owners: tuple[Any, ...] = (on_instance, idle, run.module)
    left = [[hook for hook in STEP_HOOKS if callable(getattr(owner, hook))] for owner in owners]
    assert left == [["on_after_backward"], [], ["on_before_backward"]]
    del run.trainer.callbacks[-3:]  # type: ignore[attr-defined]
    run.module.__class__ = FastClassifier
    assert not _is_usual(run.trainer, run.module)
    run.module.on_before_backward = None  # type: ignore[assignment,method-assign]
    assert _is_usual(run.trainer, run.module)


@pytest.mark.parametrize("base", [Callback, LightningModule])
def test_hooks_that_are_skipped_are_empty_in_lightning(base: type) -> None:
    """If this fails, Lightning's own step hooks do something now, and must not be
    skipped any more.
    """

    def empty() -> None:
        """Nothing but a docstring."""

    assert set(HOOKS_WITHIN) < set(STEP_HOOKS)
    assert {getattr(base, hook).__code__.co_code for hook in STEP_HOOKS} == {empty.__code__.co_code}


def test_fast_classifier_moves_batches_that_are_elsewhere_and_keeps_its_modules() -> None:
    classifier, batch = FastClassifier("mlp"), (torch.zeros(2), torch.ones(2))
    assert classifier._apply_batch_transfer_handler(batch, torch.device("cpu")) is batch
    moved = classifier._apply_batch_transfer_handler(batch, torch.device("meta"))
    assert [part.device.type for part in moved] == ["meta", "meta"]
    classifier.network = nn.Linear(1, 1)
    assert "network" in classifier._modules
