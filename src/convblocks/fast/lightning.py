"""Training without needless work at every step, in Lightning's loop and in the memory
allocator.
"""

import ctypes
from inspect import signature

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.strategies import DDPStrategy
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from convblocks.data.loader import Batch
from convblocks.fast.lightning_private import LeanModule, ddp_arguments
from convblocks.model.batch_norm import SYNCHRONIZED
from convblocks.model.classifier import ImageClassifier

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


class FastClassifier(LeanModule, ImageClassifier):
    """A classifier with less overhead in Lightning's loop."""

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        return super().training_step(batch, batch_idx)

    # Lightning reads it at every step, and Python would compute it each time.
    training_step.__signature__ = signature(training_step)  # type: ignore[attr-defined]


# Messages name the class that it replaces.
FastClassifier.__name__ = FastClassifier.__qualname__ = ImageClassifier.__name__


def skip_idle_hooks(trainer: Trainer, module: LightningModule) -> None:
    """Set to None the step hooks that callbacks and module do not override, so that
    Lightning skips them.

    Lightning calls every hook that is callable, with some bookkeeping around it.
    """
    _skip_idle_hooks(module, LightningModule)
    # Lightning sets them at run time
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        _skip_idle_hooks(callback, Callback)


def _skip_idle_hooks(owner: object, base: type) -> None:
    for hook in STEP_HOOKS:
        is_overridden = getattr(type(owner), hook) is not getattr(base, hook)
        if not is_overridden and hook not in vars(owner):
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
    flags = ddp_arguments(trainer.strategy)
    flags.setdefault("gradient_as_bucket_view", True)
    # torch 2.13 warns about the second.
    names = ("forward_sync_buffers", "broadcast_buffers")
    is_synchronized = classifier.hparams["sync_batchnorm"]
    have_equal_buffers = is_synchronized and _are_of_batch_norm(classifier.network)
    if have_equal_buffers and not flags.keys() & names:
        known = signature(DistributedDataParallel).parameters
        name = next(name for name in names if name in known)
        flags[name] = False


def _are_of_batch_norm(network: nn.Module) -> bool:
    """Whether all of a network's buffers are of batch norm, which keeps them equal in
    all processes if it is synchronised.
    """
    return all(
        type(module) in SYNCHRONIZED
        for module in network.modules()
        if [*module.buffers(recurse=False)]
    )


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
