"""The private names of Lightning and torch that the speed-ups depend on: each stands
here once, and nowhere else in this wing.

A new version may rename or remove any of them. ``NAMES`` has all of them, which a test
looks up in the installed versions.
"""

from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.loops.optimization.automatic import _AutomaticOptimization
from lightning.pytorch.loops.progress import _OptimizerProgress
from lightning.pytorch.strategies import DDPStrategy
from torch import Tensor, nn

# What each is for, by its place: ``module:Class.attribute``. Of private classes their
# public attributes are here too.
NAMES = {
    "lightning.pytorch:LightningModule._current_fx_name": (
        "the name of the hook that runs, which self.log asks for"
    ),
    "lightning.pytorch:LightningModule._apply_batch_transfer_handler": (
        "moves a batch to the device"
    ),
    "lightning.pytorch.strategies:DDPStrategy._ddp_kwargs": (
        "the arguments with which DistributedDataParallel is made"
    ),
    "lightning.pytorch.loops:_FitLoop.epoch_loop": "leads to the optimization",
    "lightning.pytorch.loops:_TrainingEpochLoop.automatic_optimization": (
        "the optimization, for which another is put"
    ),
    "lightning.pytorch.loops:_AutomaticOptimization.run": (
        "one step of the optimization, which is overridden"
    ),
    "lightning.pytorch.loops:_AutomaticOptimization.optim_progress": (
        "leads to the counts that checkpoints hold"
    ),
    "lightning.pytorch.loops.progress:_OptimizationProgress.optimizer": (
        "the counts that checkpoints hold"
    ),
    "lightning.pytorch.loops.progress:_OptimizerProgress.step": (
        "counts the steps of the optimizer"
    ),
    "lightning.pytorch.loops.progress:_OptimizerProgress.zero_grad": (
        "counts how often gradients are dropped"
    ),
    "lightning.pytorch.loops.progress:_Progress.increment_ready": (
        "counts a step, or a dropping of gradients, that is due"
    ),
    "lightning.pytorch.loops.progress:_Progress.increment_started": (
        "counts a dropping of gradients that has begun"
    ),
    "lightning.pytorch.loops.progress:_Progress.increment_completed": (
        "counts a step, or a dropping of gradients, that is done"
    ),
    "torch.nn:Module._forward_pre_hooks": "hooks before forward",
    "torch.nn:Module._forward_hooks": "hooks after forward",
    "torch.nn:Module._backward_pre_hooks": "hooks before backward",
    "torch.nn:Module._backward_hooks": "hooks after backward",
}

# One step of training in Lightning's loop, with closures and hooks.
AutomaticOptimization = _AutomaticOptimization


def set_optimization(trainer: Trainer, optimization: AutomaticOptimization) -> None:
    """Let the Trainer train with this one."""
    trainer.fit_loop.epoch_loop.automatic_optimization = optimization


def optimizer_progress(optimization: AutomaticOptimization) -> _OptimizerProgress:
    """The counts of steps: part of every checkpoint, and the Trainer's global_step."""
    return optimization.optim_progress.optimizer


def set_running_hook(module: LightningModule, hook: str | None) -> None:
    """Say which hook of a module runs, or that none does; ``self.log`` asks for it."""
    module._current_fx_name = hook


def ddp_arguments(strategy: DDPStrategy) -> dict[str, Any]:
    """What DistributedDataParallel will be made with; it may be changed before that."""
    return strategy._ddp_kwargs


def has_hooks(module: nn.Module) -> bool:
    """Whether a module has hooks of its own, of any kind that a call runs."""
    forward = module._forward_pre_hooks or module._forward_hooks
    backward = module._backward_pre_hooks or module._backward_hooks
    return bool(forward or backward)


class LeanModule(LightningModule):
    """A LightningModule without the checks that nobody needs at every step."""

    def __setattr__(self, name: str, value: Any) -> None:
        """Skip nn.Module's checks for the name of the running hook, which Lightning
        sets many times a step.
        """
        if name == "_current_fx_name":
            object.__setattr__(self, name, value)
        else:
            super().__setattr__(name, value)

    def _apply_batch_transfer_handler(
        self, batch: Any, device: torch.device | None = None, dataloader_idx: int = 0
    ) -> Any:
        """Skip the transfer of batches that are on the device already, such as an
        ImageLoader's.
        """
        if isinstance(batch, tuple) and all(_is_on(device, part) for part in batch):
            return batch
        return super()._apply_batch_transfer_handler(batch, device, dataloader_idx)


def _is_on(device: torch.device | None, part: Any) -> bool:
    return isinstance(part, Tensor) and part.device == device
