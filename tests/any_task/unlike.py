"""Modules whose weights, optimizers or metrics are not all there from the start to the
end, for errors and resumes.
"""

from typing import Any

import torch
from lightning.pytorch.callbacks import Callback
from torch import nn

from exact_resume import ExactResume
from tests.any_task.regression import Curve, Pair

FROZEN = "network.0."


class Adapter(Curve):
    """Trains its last layer, and leaves the frozen first one out of checkpoints;
    Lightning may miss it.
    """

    def __init__(self) -> None:
        super().__init__()
        self.network[0].requires_grad_(False)
        self.strict_loading = False

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        weights = checkpoint["state_dict"].items()
        checkpoint["state_dict"] = {
            name: weight for name, weight in weights if not name.startswith(FROZEN)
        }


class StrictAdapter(Adapter):
    """Lightning may not."""

    def __init__(self) -> None:
        super().__init__()
        self.strict_loading = True


class Lazy(Curve):
    """Knows its weights after setup, whose names change there too."""

    def __init__(self) -> None:
        super().__init__()
        self.network = nn.Sequential(nn.LazyLinear(8), nn.Tanh(), nn.LazyLinear(1))

    def setup(self, stage: str) -> None:
        self.network(torch.zeros(2, 1))
        self.network = nn.Sequential(self.network)


class Untrained(Curve):
    """Has no optimizer; by ``manual`` it makes no step either."""

    def __init__(self, manual: bool = False) -> None:
        super().__init__()
        self.automatic_optimization = not manual

    def configure_optimizers(self) -> Any:
        return None


class Thawing(Adapter):
    """Trains its first layer too from epoch 1 on, and keeps it."""

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        pass

    def on_train_epoch_start(self) -> None:
        if self.current_epoch == 1:
            optimizer: Any = self.optimizers()
            optimizer.add_param_group(
                {"params": list(self.network[0].requires_grad_(True).parameters())}
            )

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.network[-1].parameters(), 0.01)


class Seldom(Curve):
    """Measures its score in every other epoch, from the second on; in the others it is
    nan, or missing.
    """

    def __init__(self, nan: bool = False) -> None:
        super().__init__()
        self.nan = nan

    def validation_step(self, batch: Pair, batch_idx: int) -> None:
        is_measured = self.current_epoch % 2 == 1
        value = (
            nn.functional.mse_loss(self.network(batch[0]), batch[1]).sqrt()
            if is_measured
            else torch.nan
        )
        self.log("val/rmse" if is_measured or self.nan else "val/none", value)


class Unpicklable(Curve):
    """Keeps a function in its checkpoints."""

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["function"] = lambda: 1


class Sparse(Curve):
    """Has an optimizer that takes sparse gradients only, and dense ones."""

    def configure_optimizers(self) -> Any:
        return torch.optim.SparseAdam(self.parameters())


class Unscheduled(Curve):
    """Has a schedule that steps at no time."""

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.SGD(self.parameters(), 0.1)
        schedule = torch.optim.lr_scheduler.ConstantLR(optimizer)
        return [optimizer], [{"scheduler": schedule, "frequency": 0}]


class Resuming(Curve):
    """Brings an ExactResume, which Lightning puts in place of the run's."""

    def configure_callbacks(self) -> list[Callback]:
        return [ExactResume("own.ckpt")]
