"""Training without needless work at every step, in Lightning's loop and in the memory
allocator.
"""

import ctypes
from inspect import signature
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.strategies import DDPStrategy
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel

from convblocks.data.loader import Batch
from convblocks.fast.lightning_private import DDP_ARGUMENTS, RUNNING_HOOK, TRANSFER
from convblocks.model.batch_norm import SYNCHRONIZED
from convblocks.model.classifier import ImageClassifier
from exact_resume.training import callbacks_of

# The hooks that Lightning calls at every step, on each callback and on the module.
STEP_HOOKS = (
    "on_train_batch_start",
    "on_before_zero_grad",
    "on_before_backward",
    "on_after_backward",
    "on_before_optimizer_step",
    "on_train_batch_end",
)

# The parameters of glibc's mallopt, and values for them: more than any block that
# training allocates, and never.
M_MMAP_THRESHOLD, LARGEST_BLOCK = -3, 2**31 - 1
M_TRIM_THRESHOLD, NEVER = -1, -1


class FastClassifier(ImageClassifier):
    """A classifier with less overhead in Lightning's loop."""

    def __setattr__(self, name: str, value: Any) -> None:
        """Skip nn.Module's checks for the name of the running hook, which Lightning
        sets many times a step.
        """
        if name == RUNNING_HOOK.name:
            object.__setattr__(self, name, value)
        else:
            super().__setattr__(name, value)

    def on_device(
        self, batch: Any, device: torch.device | None = None, dataloader_idx: int = 0
    ) -> Any:
        """Skip the transfer of batches that are on the device already, such as an
        ImageLoader's.
        """
        if isinstance(batch, tuple) and all(
            isinstance(part, Tensor) and part.device == device for part in batch
        ):
            return batch
        return TRANSFER.of(super())(batch, device, dataloader_idx)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        return super().training_step(batch, batch_idx)

    # Lightning reads it at every step, and Python would compute it each time.
    training_step.__signature__ = signature(training_step)  # type: ignore[attr-defined]


TRANSFER.replace(FastClassifier, FastClassifier.on_device)

# Messages name the class that it replaces.
FastClassifier.__name__ = FastClassifier.__qualname__ = ImageClassifier.__name__


def skip_idle_hooks(trainer: Trainer, module: LightningModule) -> None:
    """Set to None the step hooks that callbacks and module do not override, so that
    Lightning skips them.

    Lightning calls every hook that is callable, with some bookkeeping around it.
    """
    for owner in (module, *callbacks_of(trainer, Callback)):
        base = LightningModule if owner is module else Callback
        for hook in STEP_HOOKS:
            # A callback may be something else that behaves like one, such as a mock.
            is_empty = getattr(type(owner), hook, None) is getattr(base, hook)
            if is_empty and hook not in vars(owner):
                # Frozen dataclasses allow this too.
                object.__setattr__(owner, hook, None)


def speed_up_gradients(trainer: Trainer, classifier: ImageClassifier) -> None:
    """Turn off DistributedDataParallel's needless broadcasts and copies at each step.

    It broadcasts buffers even if they are equal in all processes, and copies each
    gradient into the buffer that it sends. A user's own arguments of DDPStrategy have
    precedence. ``static_graph`` is not set: it had no measurable effect, and breaks
    networks that use different parameters at different steps.
    """
    if not isinstance(trainer.strategy, DDPStrategy):
        return
    flags = DDP_ARGUMENTS.of(trainer.strategy)
    flags.setdefault("gradient_as_bucket_view", True)
    # torch 2.13 warns about the second.
    names = ("forward_sync_buffers", "broadcast_buffers")
    modules = classifier.network.modules()
    with_buffers = {type(module) for module in modules if [*module.buffers(recurse=False)]}
    # Batch norm that is synchronised keeps its own equal.
    are_equal = classifier.hparams["sync_batchnorm"] and with_buffers <= SYNCHRONIZED.keys()
    if are_equal and not flags.keys() & names:
        known = signature(DistributedDataParallel).parameters
        flags[next(name for name in names if name in known)] = False


def keep_freed_memory() -> None:
    """Keep freed memory in the process instead of returning it to the system after
    every step.

    Every step frees activations of several MB, and the next allocates as much. By
    default glibc returns such blocks to the system, which maps and clears them again.
    Does nothing with other C libraries.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return  # musl and macOS have no mallopt, Windows no CDLL(None)
    mallopt(M_MMAP_THRESHOLD, LARGEST_BLOCK)
    mallopt(M_TRIM_THRESHOLD, NEVER)
