"""What buys speed by bending Lightning or the C library; only ``fit``'s runs have it, and no number depends on it."""

import ctypes
from contextlib import AbstractContextManager, nullcontext
from inspect import signature
from typing import Any

from lightning.pytorch import Trainer
from lightning.pytorch.profilers import Profiler
from lightning.pytorch.strategies import DDPStrategy
from torch.nn.parallel import DistributedDataParallel

from convblocks.model.classifier import DigitClassifier
from convblocks.model.distributed import needs_no_broadcast

NOTHING = nullcontext()

# glibc's malloc.h.
M_TRIM_THRESHOLD = -1
M_MMAP_THRESHOLD = -3

# Larger blocks than any that training asks for; mallopt takes a C int.
LARGEST_BLOCK = 2**31 - 1

# By mallopt's manual page: freed memory is never returned.
NEVER = -1


class LeanClassifier(DigitClassifier):
    """A classifier on which Lightning may note strings quickly.

    It notes the name of the running hook on the module some 40 times a step. A string is no parameter, buffer or
    submodule, and ``nn.Module`` need not find that out each time: a fifth of what the Trainer's loop costs the MLP on
    CPU (70 of 380 microseconds a step on an EPYC).
    """

    def __setattr__(self, name: str, value: Any) -> None:
        if isinstance(value, str):
            object.__setattr__(self, name, value)
        else:
            super().__setattr__(name, value)


class NoProfiler(Profiler):
    """Measures nothing, as Lightning's default does, but faster.

    Lightning asks its profiler for a context some 50 times a step. The default one makes a new generator each time: a
    fifth of what the Trainer's loop costs the MLP on CPU (80 of 380 microseconds a step on an EPYC).
    """

    def start(self, action_name: str) -> None:
        """Nothing."""

    def stop(self, action_name: str) -> None:
        """Nothing."""

    def profile(self, action_name: str) -> AbstractContextManager[None]:  # type: ignore[override]  # a generator there
        return NOTHING


def lighten_gradients(trainer: Trainer, classifier: DigitClassifier) -> None:
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


def leave_out_the_broadcast_of_sigterm(trainer: Trainer) -> None:
    """Do not tell all processes at each step whether the first received SIGTERM, for which each of them waits.

    Only with ``Preemption``, which does so for all signals and all processes, without waiting.
    """
    trainer.fit_loop.epoch_loop._broadcast_sigterm_tensor = _nothing  # type: ignore[method-assign]


def _nothing() -> None:
    """Nothing."""


def keep_freed_memory() -> None:
    """Keep freed memory in the process instead of returning it to the system after every step.

    Every step frees activations of several MB and the next one asks for as much again. By default glibc gives such
    blocks back and has them mapped and cleared anew: a quarter of the MaxPool network's time on CPU (42 to 30 ms a
    step on one thread of an EPYC). Does nothing with another C library.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # musl and macOS have no mallopt, Windows no CDLL(None)
        return
    mallopt(M_MMAP_THRESHOLD, LARGEST_BLOCK)
    mallopt(M_TRIM_THRESHOLD, NEVER)
