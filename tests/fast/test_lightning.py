"""The speed-ups of Lightning's loop and of Adam change no bit, and hide nothing from hooks and callbacks."""

import inspect
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback, LightningModule
from lightning.pytorch.callbacks import LambdaCallback
from torch import Tensor, nn
from torch.optim import Adam, Optimizer

from convblocks.fast._adam import speed_up_optimizer
from convblocks.fast.lightning import STEP_HOOKS, FastClassifier, skip_idle_hooks
from convblocks.run import fit
from convblocks.run.config import Config
from convblocks.run.run import Run
from tests.conftest import DEBUG
from tests.fast.test_network import assert_same_bits


def three_steps(options: dict[str, Any], frozen_from: int, fast: bool) -> list[Tensor]:
    """Parameters, the first of them without a gradient from a step on, and Adam's state after three steps."""
    generator = torch.Generator().manual_seed(0)
    parameters = [nn.Parameter(torch.randn(shape, generator=generator)) for shape in ((8, 4, 3, 3), (8,), ())]
    parameters[0].data = parameters[0].data.to(memory_format=torch.channels_last)
    optimizer = Adam(parameters, **options)
    if fast:
        speed_up_optimizer(optimizer)
    for step in range(3):
        optimizer.zero_grad()
        for parameter in parameters[step >= frozen_from :]:
            parameter.grad = torch.randn(parameter.shape, generator=generator)
        optimizer.step()
    states = optimizer.state_dict()["state"].values()
    assert len(states) == len(parameters) - (frozen_from == 0)
    return [*parameters, *(value for state in states for value in state.values())]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"weight_decay": 0.1, "maximize": True, "betas": (0.5, 0.9), "eps": 1e-3},
        {"amsgrad": True},
        {"weight_decay": 0.1, "decoupled_weight_decay": True},
        {"lr": torch.tensor(1e-2)},
        {"fused": False},
        {"fused": False, "foreach": True},
    ],
)
@pytest.mark.parametrize("frozen_from", [0, 1, 3])
def test_adam_steps_as_torchs(options: dict[str, Any], frozen_from: int) -> None:
    ends = [three_steps({"fused": True} | options, frozen_from, fast) for fast in (False, True)]
    for slow, fast in zip(*ends, strict=True):
        assert_same_bits(slow, fast)


@pytest.fixture
def optimizer() -> Optimizer:
    """A fast Adam of a single parameter, which has a gradient."""
    parameter = nn.Parameter(torch.ones(3))
    optimizer = Adam([parameter], fused=True)
    speed_up_optimizer(optimizer)
    parameter.grad = torch.ones(3)
    return optimizer


def parameter_of(optimizer: Optimizer) -> nn.Parameter:
    parameter: nn.Parameter = optimizer.param_groups[0]["params"][0]
    return parameter


def test_adam_leaves_a_step_out_whose_gradients_are_infinite(optimizer: Optimizer) -> None:
    """With a gradient scaler, also if the gradients were unscaled before."""
    parameter, scaler = parameter_of(optimizer), torch.amp.GradScaler("cpu")
    for value in (1.0, float("inf")):
        before = parameter.detach().clone()
        optimizer.zero_grad()
        scaler.scale((parameter * value).sum()).backward()
        scaler.unscale_(optimizer)
        scaler.step(optimizer)
        scaler.update()
    assert torch.equal(parameter, before)


def test_adam_hands_its_tensors_over_at_once(optimizer: Optimizer, monkeypatch: pytest.MonkeyPatch) -> None:
    optimizer.step()  # the first one makes its state
    monkeypatch.setattr(Adam, "_init_group", lambda *_: pytest.fail("left to torch"))
    optimizer.step()
    assert optimizer.state[parameter_of(optimizer)]["step"] == 2


def test_adam_is_watched_as_torchs(optimizer: Optimizer) -> None:
    seen: list[str] = []

    def closure() -> float:
        seen.append("closure")
        return 0.0

    optimizer.register_step_pre_hook(lambda *_: seen.append("before"))
    optimizer.register_step_post_hook(lambda *_: seen.append("after"))
    optimizer.step(closure)
    assert seen == ["before", "closure", "after"]
    assert type(optimizer).__name__ == "Adam"


def test_adam_forgets_gradients_as_torchs(optimizer: Optimizer) -> None:
    optimizer.zero_grad(set_to_none=False)
    torch.testing.assert_close(parameter_of(optimizer).grad, torch.zeros(3))
    optimizer.zero_grad()
    assert parameter_of(optimizer).grad is None


SHORT = ["--arch", "mlp", "--epochs", "1", "--trainer.limit_train_batches", "3", "--trainer.limit_val_batches", "1"]


def test_each_hook_of_a_users_callback_is_called_at_each_step(workspace: Path) -> None:
    """Callbacks with a single hook, so that all others are skipped."""
    calls: dict[str, list[int]] = {hook: [] for hook in STEP_HOOKS}
    callbacks = []
    for name in STEP_HOOKS:
        hook = partial(lambda steps, trainer, *_: steps.append(trainer.global_step), calls[name])
        callbacks.append(type(f"Of{name}", (Callback,), {name: staticmethod(hook)})())
    fit.main([*DEBUG, *SHORT, "--name", "run"], callbacks)
    assert calls == {hook: [1, 2, 3] if hook == "on_train_batch_end" else [0, 1, 2] for hook in STEP_HOOKS}


class Frozen(Callback):
    """Accepts no attributes, like a frozen dataclass."""

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(name)


def test_idle_hooks_are_skipped_and_a_users_are_not(workspace: Path) -> None:
    run = Run(Config.parse(SHORT))
    on_instance = LambdaCallback(on_after_backward=lambda *_: None)
    idle, frozen = Callback(), Frozen()
    run.trainer.callbacks += [on_instance, idle, frozen]  # type: ignore[attr-defined]  # set at run time
    run.module.on_before_backward = lambda loss: None  # type: ignore[method-assign]
    skip_idle_hooks(run.trainer, run.module)
    assert callable(on_instance.on_after_backward)
    assert not callable(on_instance.on_before_backward)
    assert [hook for hook in STEP_HOOKS if callable(getattr(idle, hook))] == []
    assert [hook for hook in STEP_HOOKS if callable(getattr(frozen, hook))] == []
    assert [hook for hook in STEP_HOOKS if callable(getattr(run.module, hook))] == ["on_before_backward"]


@pytest.mark.parametrize("base", [Callback, LightningModule])
@pytest.mark.parametrize("hook", STEP_HOOKS)
def test_skipped_hooks_are_empty_in_lightning(base: type, hook: str) -> None:
    """If this fails, Lightning's own step hooks do something now, and must not be skipped any more."""

    def empty() -> None:
        """Nothing but a docstring."""

    assert getattr(base, hook).__code__.co_code == empty.__code__.co_code


def test_lightnings_own_bookkeeping_takes_the_short_way() -> None:
    classifier, batch = FastClassifier("mlp"), (torch.zeros(2), torch.ones(2))
    assert classifier._apply_batch_transfer_handler(batch, torch.device("cpu")) is batch
    moved = classifier._apply_batch_transfer_handler(batch, torch.device("meta"))
    assert [part.device.type for part in moved] == ["meta", "meta"]
    signature = inspect.signature(classifier.training_step)
    assert list(signature.parameters) == ["batch", "batch_idx"]
    assert inspect.signature(FastClassifier.training_step) is inspect.signature(FastClassifier.training_step)
    classifier._current_fx_name = "training_step"  # neither a parameter nor a module
    classifier.network = nn.Linear(1, 1)
    assert "_current_fx_name" in vars(classifier)
    assert "network" in classifier._modules
