"""The speed-ups of Lightning's loop and of Adam change no bit, and hide nothing from hooks and callbacks."""

import ast
import inspect
import textwrap
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback, LightningModule
from lightning.pytorch.callbacks import LambdaCallback
from torch import Tensor, nn
from torch.optim import Adam, Optimizer

from convblocks.training.config import Config
from convblocks.training.fast import STEP_HOOKS, FastClassifier, skip_idle_hooks, speed_up_optimizer
from convblocks.training.run import Run
from tests.training.test_fast_network import assert_same_bits
from tests.training.test_fit import train


def steps_of(optimizer_of: Callable[[list[nn.Parameter]], Optimizer], frozen: bool = False) -> list[list[Tensor]]:
    """Parameters and Adam's moments after three steps, for torch's optimizer and its replacement."""
    ends = []
    for replaced in (False, True):
        generator = torch.Generator().manual_seed(0)
        parameters = [nn.Parameter(torch.randn(shape, generator=generator)) for shape in ((8, 4, 3, 3), (8,), ())]
        parameters[0].data = parameters[0].data.to(memory_format=torch.channels_last)
        optimizer = optimizer_of(parameters)
        if replaced:
            speed_up_optimizer(optimizer)
        for _ in range(3):
            for parameter in parameters[frozen:]:
                parameter.grad = torch.randn(parameter.shape, generator=generator)
            optimizer.step()
        states = optimizer.state_dict()["state"]
        assert len(states) == len(parameters) - frozen
        ends.append([*parameters, *(value for state in states.values() for value in state.values())])
    return ends


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
def test_adam_steps_as_torchs(options: dict[str, Any]) -> None:
    for one, other in zip(*steps_of(lambda parameters: Adam(parameters, **{"fused": True} | options)), strict=True):
        assert_same_bits(one, other)


def test_adam_leaves_parameters_without_gradient_alone() -> None:
    for one, other in zip(*steps_of(lambda parameters: Adam(parameters, fused=True), frozen=True), strict=True):
        assert_same_bits(one, other)


def test_adam_leaves_a_step_out_whose_gradients_are_infinite() -> None:
    """With a gradient scaler, also if the gradients were unscaled before."""
    parameter = nn.Parameter(torch.ones(3))
    optimizer = Adam([parameter], fused=True)
    speed_up_optimizer(optimizer)
    scaler = torch.amp.GradScaler("cpu")
    for value in (1.0, float("inf")):
        before = parameter.detach().clone()
        scaler.scale((parameter * value).sum()).backward()
        scaler.unscale_(optimizer)
        scaler.step(optimizer)
        scaler.update()
        optimizer.zero_grad()
    assert torch.equal(parameter, before)


def test_adam_hands_its_tensors_over_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    parameter = nn.Parameter(torch.ones(3))
    optimizer = Adam([parameter], fused=True)
    speed_up_optimizer(optimizer)
    parameter.grad = torch.ones(3)
    optimizer.step()  # the first one makes its state
    monkeypatch.setattr(Adam, "_init_group", lambda *_: pytest.fail("left to torch"))
    optimizer.step()
    assert optimizer.state[parameter]["step"] == 2


def test_adam_is_watched_as_torchs() -> None:
    parameter = nn.Parameter(torch.ones(3))
    optimizer = Adam([parameter], fused=True)
    speed_up_optimizer(optimizer)
    seen: list[str] = []
    optimizer.register_step_pre_hook(lambda *_: seen.append("before"))
    optimizer.register_step_post_hook(lambda *_: seen.append("after"))
    parameter.grad = torch.ones(3)
    optimizer.step(lambda: seen.append("closure"))
    assert seen == ["before", "closure", "after"]
    assert type(optimizer).__name__ == "Adam"


SHORT = ["--arch", "mlp", "--epochs", "1", "--trainer.limit_train_batches", "3", "--trainer.limit_val_batches", "1"]


def test_each_hook_of_a_users_callback_is_called_at_each_step(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Callbacks with a single hook, so that all others are skipped."""
    calls: dict[str, list[int]] = {hook: [] for hook in STEP_HOOKS}
    run = Run(Config.parse(SHORT))
    for name in STEP_HOOKS:
        hook = partial(lambda steps, trainer, *_: steps.append(trainer.global_step), calls[name])
        of_user = type(f"Of{name}", (Callback,), {name: staticmethod(hook)})
        run.trainer.callbacks.append(of_user())  # type: ignore[attr-defined]  # Lightning sets it at run time
    monkeypatch.setattr("convblocks.training.fit.Run", lambda _config, _callbacks: run)
    train(*SHORT)
    assert calls == {hook: [1, 2, 3] if hook == "on_train_batch_end" else [0, 1, 2] for hook in STEP_HOOKS}


def test_adam_forgets_gradients_as_torchs() -> None:
    parameter = nn.Parameter(torch.ones(3))
    optimizer = Adam([parameter], fused=True)
    speed_up_optimizer(optimizer)
    parameter.grad = torch.ones(3)
    optimizer.zero_grad(set_to_none=False)
    assert torch.equal(parameter.grad, torch.zeros(3))
    optimizer.zero_grad()
    assert parameter.grad is None


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
    (function,) = ast.parse(textwrap.dedent(inspect.getsource(getattr(base, hook)))).body
    assert isinstance(function, ast.FunctionDef)
    docstring, *statements = function.body
    assert isinstance(docstring, ast.Expr)
    assert all(isinstance(statement, ast.Pass) for statement in statements)


def test_a_batch_that_lies_on_the_device_stays_there() -> None:
    batch = torch.zeros(2), torch.ones(2)
    classifier = FastClassifier("mlp")
    assert classifier._apply_batch_transfer_handler(batch, torch.device("cpu")) is batch
    moved = classifier._apply_batch_transfer_handler(batch, torch.device("meta"))
    assert [part.device.type for part in moved] == ["meta", "meta"]


def test_lightning_asks_for_the_signature_that_it_would_find() -> None:
    found = inspect.signature(FastClassifier.training_step)
    assert found is FastClassifier.training_step.__signature__  # type: ignore[attr-defined]
    assert list(found.parameters) == ["self", "batch", "batch_idx"]


def test_the_running_hooks_name_is_not_a_parameter() -> None:
    classifier = FastClassifier("mlp")
    classifier._current_fx_name = "training_step"
    assert vars(classifier)["_current_fx_name"] == "training_step"
    classifier.network = nn.Linear(1, 1)
    assert "network" in classifier._modules
