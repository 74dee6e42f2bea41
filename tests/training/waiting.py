"""A callback that finds, on a CPU, operations that would make the CPU wait for a GPU, or copy to it."""

import json
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch.utils._python_dispatch import TorchDispatchMode

# What needs a tensor's values outside the device, and what makes a tensor of Python's numbers there.
WAITS = {"_local_scalar_dense", "is_nonzero", "nonzero", "equal", "masked_select", "unique_dim", "_unique2"}
COPIES = {"lift_fresh", "scalar_tensor"}


class Recorded(TorchDispatchMode):
    """Records the operations of WAITS and COPIES."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # not in torch's types
        self.found: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.name().removeprefix("aten::").partition(".")[0]
        if name in WAITS | COPIES and not is_the_signals_message(args):
            self.found.append(name)
        return func(*args, **(kwargs or {}))


def is_the_signals_message(arguments: Any) -> bool:
    """Whether this is AgreedSignal's message, which stays on the CPU."""
    message = arguments[0]
    return isinstance(message, torch.Tensor) and message.dtype == torch.float64 and message.shape == (2,)


class Waiting(Callback):
    """Writes the operations of the steps from FIRST to LAST, including fetching batches, to a file per process.

    By default the Trainer logs none of these steps, but the 50th.
    """

    FIRST, LAST = 5, 45

    def __init__(self) -> None:
        self.recorded = Recorded()

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        if batch_idx == self.FIRST:
            self.recorded.__enter__()  # type: ignore[no-untyped-call]  # nor here
        elif batch_idx == self.LAST:
            self.recorded.__exit__(None, None, None)  # type: ignore[no-untyped-call]  # nor here
            Path(f"waits_of_{trainer.global_rank}.json").write_text(json.dumps(self.recorded.found))
