"""Loss and accuracy over an epoch."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torchmetrics import Metric

from convblocks.model.distributed import sum_over_processes


class LossAndAccuracy(Metric):
    """Mean loss and accuracy over the images of an epoch and all processes, summed on the device.

    ``compute`` reduces all sums in one message; torchmetrics would send several for each of them.
    """

    full_state_update = False
    loss_sum: Tensor
    correct: Tensor
    count: Tensor

    def __init__(self) -> None:
        super().__init__(sync_on_compute=False)
        # The reductions are for ``forward``, over batches; ``compute`` reduces over processes.
        self.add_state("loss_sum", torch.tensor(0.0), dist_reduce_fx="sum")
        self.add_state("correct", torch.tensor(0), dist_reduce_fx="sum")
        self.add_state("count", torch.tensor(0), dist_reduce_fx="sum")

    def update(self, loss_sum: Tensor, logits: Tensor, targets: Tensor) -> None:
        """Add a batch: its summed loss (), logits (B, classes) and targets (B,)."""
        if self.loss_sum.dtype != loss_sum.dtype:  # a float64 network sums in float64
            self.loss_sum = self.loss_sum.to(torch.promote_types(self.loss_sum.dtype, loss_sum.dtype))
        self.loss_sum.add_(loss_sum)
        self.correct.add_((logits.argmax(dim=1) == targets).sum())
        self.count.add_(len(targets))

    def _apply(self, fn: Callable[[Tensor], Tensor], exclude_state: Sequence[str] = "") -> nn.Module:
        """Move the sums with the network, but keep their precision if the network's is lowered."""
        return super()._apply(lambda tensor: tensor.to(fn(tensor).device), exclude_state)

    def compute(self) -> dict[str, Tensor]:
        """Loss and accuracy: (), in the dtype of the loss sum."""
        # float64 counts exactly, and rounding the quotient from it once more changes nothing. MPS has no float64.
        exact = self.loss_sum.dtype if self.loss_sum.is_mps else torch.float64
        sums = torch.stack([self.loss_sum.to(exact), self.correct.to(exact), self.count.to(exact)])
        loss_sum, correct, count = sum_over_processes(sums)
        return {"loss": (loss_sum / count).to(self.loss_sum.dtype), "acc": (correct / count).to(self.loss_sum.dtype)}
