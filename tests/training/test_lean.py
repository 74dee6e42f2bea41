"""What ``fit`` leaves out of Lightning's loop and of Adam changes no bit, and takes nothing from those who look."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback, LightningModule
from torch import Tensor, nn
from torch.optim import Adam, Optimizer

from convblocks.training.lean.optimizer import lighten_optimizer
from convblocks.training.options import parse
from convblocks.training.parts import build
from tests.training.test_fit import train
from tests.training.test_lean_network import assert_same_bits


def steps_of(optimizer_of: Callable[[list[nn.Parameter]], Optimizer], frozen: bool = False) -> list[list[Tensor]]:
    """Parameters and Adam's moments after three steps, of torch's optimizer and of the one that replaces it."""
    ends = []
    for replaced in (False, True):
        generator = torch.Generator().manual_seed(0)
        parameters = [nn.Parameter(torch.randn(shape, generator=generator)) for shape in ((8, 4, 3, 3), (8,), ())]
        parameters[0].data = parameters[0].data.to(memory_format=torch.channels_last)
        optimizer = optimizer_of(parameters)
        if replaced:
            lighten_optimizer(optimizer)
        for _ in range(3):
            for parameter in parameters[frozen:]:
                parameter.grad = torch.randn(parameter.shape, generator=generator)
            optimizer.step()
        state = [value for parameter in parameters for value in optimizer.state[parameter].values()]
        ends.append([*parameters, *state])
    return ends


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"weight_decay": 0.1, "maximize": True, "betas": (0.5, 0.9), "eps": 1e-3},
        {"amsgrad": True},
        {"lr": torch.tensor(1e-2)},
        {"fused": False},
        {"fused": False, "foreach": True},
    ],
)
def test_adam_steps_as_torchs(options: dict[str, Any]) -> None:
    for one, other in zip(*steps_of(lambda parameters: Adam(parameters, **{"fused": True} | options)), strict=True):
        assert_same_bits(one, other)


def test_adam_leaves_what_has_no_gradient() -> None:
    for one, other in zip(*steps_of(lambda parameters: Adam(parameters, fused=True), frozen=True), strict=True):
        assert_same_bits(one, other)


def test_adam_hands_its_tensors_over_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    parameter = nn.Parameter(torch.ones(3))
    optimizer = Adam([parameter], fused=True)
    lighten_optimizer(optimizer)
    parameter.grad = torch.ones(3)
    optimizer.step()  # the first one makes its state
    monkeypatch.setattr(Adam, "_init_group", lambda *_: pytest.fail("left to torch"))
    optimizer.step()
    assert optimizer.state[parameter]["step"] == 2


def test_adam_is_watched_as_torchs() -> None:
    parameter = nn.Parameter(torch.ones(3))
    optimizer = Adam([parameter], fused=True)
    lighten_optimizer(optimizer)
    seen: list[str] = []
    optimizer.register_step_pre_hook(lambda *_: seen.append("before"))
    optimizer.register_step_post_hook(lambda *_: seen.append("after"))
    parameter.grad = torch.ones(3)
    optimizer.step(lambda: seen.append("closure"))
    assert seen == ["before", "closure", "after"]
    assert type(optimizer).__name__ == "Adam"


HOOKS = ["on_train_batch_start", "on_before_zero_grad", "on_before_backward", "on_after_backward"]
HOOKS += ["on_before_optimizer_step", "on_train_batch_end"]


SHORT = ["--arch", "mlp", "--epochs", "1", "--trainer.limit_train_batches", "3", "--trainer.limit_val_batches", "1"]


def test_each_hook_of_a_users_callback_is_called_at_each_step(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of callbacks that have no other, so that their others are left out."""
    calls: dict[str, list[int]] = {hook: [] for hook in HOOKS}
    training = build(parse(SHORT))
    for name in HOOKS:
        hook = partial(lambda steps, trainer, *_: steps.append(trainer.global_step), calls[name])
        of_user = type(f"Of{name}", (Callback,), {name: staticmethod(hook)})
        training.trainer.callbacks.append(of_user())  # type: ignore[attr-defined]  # Lightning sets it at run time
    monkeypatch.setattr("convblocks.training.fit.build", lambda _options: training)
    train(*SHORT)
    assert calls == {hook: [1, 2, 3] if hook == "on_train_batch_end" else [0, 1, 2] for hook in HOOKS}


class HasNoGradients(Optimizer):
    """Forgets gradients in a way of its own."""

    forgotten = 0

    def __init__(self, params: Any, lr: float) -> None:
        super().__init__(params, {"lr": lr})

    def zero_grad(self, set_to_none: bool = True) -> None:
        type(self).forgotten += 1
        super().zero_grad(set_to_none)

    def step(self, closure: Any = None) -> Any:
        return closure()


def test_an_optimizer_that_forgets_gradients_in_its_own_way_does_so(workspace: Path) -> None:
    train(*SHORT, "--optimizer", f"{__name__}.{HasNoGradients.__name__}")
    assert HasNoGradients.forgotten == 3


def test_what_is_left_out_is_what_lightning_leaves_empty() -> None:
    """If this fails, Lightning's own hooks of a step do something now, and may no longer be left out."""
    for base in (Callback, LightningModule):
        for hook in HOOKS:
            code = getattr(base, hook).__code__
            assert code.co_consts[-1] is None, f"{base.__name__}.{hook}"
            assert len(code.co_code) <= 8, f"{base.__name__}.{hook}"
