"""Lightning's loop, without what it does at every step to no purpose."""

from contextlib import AbstractContextManager, nullcontext
from inspect import signature
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.profilers import Profiler
from lightning.pytorch.strategies import DDPStrategy
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel
from torch.optim import Optimizer

from convblocks.data.loader import Batch
from convblocks.model.classifier import DigitClassifier
from convblocks.model.distributed import needs_no_broadcast
from convblocks.training.fast.optimizer import speed_up_optimizer

NOTHING = nullcontext()

# What Lightning calls at every step of each callback, and of the module.
HOOKS_OF_A_STEP = (
    "on_train_batch_start",
    "on_before_zero_grad",
    "on_before_backward",
    "on_after_backward",
    "on_before_optimizer_step",
    "on_train_batch_end",
)


class FastClassifier(DigitClassifier):
    """A classifier that costs Lightning's loop less."""

    def __setattr__(self, name: str, value: Any) -> None:
        """Note the running hook's name, many times a step, without looking for parameters in it."""
        if name == "_current_fx_name":
            object.__setattr__(self, name, value)
        else:
            super().__setattr__(name, value)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        return super().training_step(batch, batch_idx)

    # Lightning asks for it at every step, and Python would make it anew each time.
    training_step.__signature__ = signature(training_step)  # type: ignore[attr-defined]

    def make_optimizer(self) -> Optimizer:
        optimizer = super().make_optimizer()
        speed_up_optimizer(optimizer)
        return optimizer

    def _on_before_batch_transfer(self, batch: Any, dataloader_idx: int = 0) -> Any:
        """Nothing: neither data module nor classifier has such a hook."""
        return batch

    def _apply_batch_transfer_handler(
        self, batch: Any, device: torch.device | None = None, dataloader_idx: int = 0
    ) -> Any:
        """Leave an ImageLoader's batch where it is, on the device."""
        if isinstance(batch, tuple) and all(isinstance(part, Tensor) and part.device == device for part in batch):
            return batch
        return super()._apply_batch_transfer_handler(batch, device, dataloader_idx)


class NoProfiler(Profiler):
    """Measures nothing, as Lightning's default does, but faster.

    Lightning asks its profiler for a context many times a step. The default one makes a new generator each time.
    """

    def start(self, action_name: str) -> None:
        """Nothing."""

    def stop(self, action_name: str) -> None:
        """Nothing."""

    def profile(self, action_name: str) -> AbstractContextManager[None]:  # type: ignore[override]  # a generator there
        return NOTHING


def skip_idle_hooks(trainer: Trainer, classifier: DigitClassifier) -> None:
    """Do not call the hooks of a step that are Lightning's own, which do nothing, of callbacks and classifier.

    Lightning calls what is callable, and gives each a name first.
    """
    callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]  # Lightning sets it at run time
    for owner, base in [(classifier, LightningModule), *((callback, Callback) for callback in callbacks)]:
        for hook in HOOKS_OF_A_STEP:
            if getattr(type(owner), hook) is getattr(base, hook) and hook not in vars(owner):
                object.__setattr__(owner, hook, None)  # also where a frozen dataclass is a callback


def speed_up_gradients(trainer: Trainer, classifier: DigitClassifier) -> None:
    """Leave out what DistributedDataParallel sends and copies at each step to no purpose.

    It broadcasts buffers, also where they are the same everywhere, and copies each gradient into the memory that it
    sends. A user's own arguments of DDPStrategy win. ``static_graph`` is left out: it bought nothing that could be
    measured, and breaks networks that do not use the same parameters at each step.
    """
    if not isinstance(trainer.strategy, DDPStrategy):
        return
    flags = trainer.strategy._ddp_kwargs
    flags.setdefault("gradient_as_bucket_view", True)
    names = ("forward_sync_buffers", "broadcast_buffers")  # torch 2.13 warns of the latter
    known = signature(DistributedDataParallel).parameters
    if not flags.keys() & names and needs_no_broadcast(classifier.network, classifier.hparams["sync_batchnorm"]):
        flags[next(name for name in names if name in known)] = False


def skip_sigterm_broadcast(trainer: Trainer) -> None:
    """Do not tell all processes at each step whether the first received SIGTERM, for which each of them waits.

    Only with ``Preemption``, which does so for all signals and all processes, without waiting.
    """
    trainer.fit_loop.epoch_loop._broadcast_sigterm_tensor = _nothing  # type: ignore[method-assign]


def _nothing() -> None:
    """Nothing."""
