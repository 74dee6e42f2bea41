"""Keeps gradients where the next batch may use them."""

from typing import Any

from lightning.pytorch import Callback
from torch import Tensor

from exact_resume.keeper import Keeper, Moment, State
from exact_resume.keepers.classes import is_frameworks, own_names_used
from exact_resume.keepers.values import plain
from exact_resume.training import callbacks_of


class Gradients(Keeper):
    """Keeps gradients, which Lightning's checkpoints lack, if the next batch may use them.

    It may, if one of these holds:

    - The module optimizes manually: gradients may accumulate over batches.
    - The code that clears them is a user's own: ``optimizer_zero_grad``, or an optimizer.
    - The code of a user's class, of the module, a part or a callback, reads a ``grad``.
    - The checkpoint is written between batches that accumulate gradients.
    """

    kind = "gradient"

    def state(self, moment: Moment) -> State:
        progress: Any = self.trainer.fit_loop.epoch_loop.batch_progress.current
        is_within = moment is not Moment.EPOCH_END
        accumulates = is_within and progress.processed % self.trainer.accumulate_grad_batches
        if not (accumulates or self._outlive()):
            return {}
        return {
            name: plain(weight.grad)
            for name, weight in self._weights().items()
            if weight.grad is not None
        }

    def restore(self, state: State) -> None:
        if state or self._outlive():
            for name, weight in self._weights().items():
                gradient = state.get(name)
                weight.grad = None if gradient is None else gradient.to(weight.device)

    def _weights(self) -> dict[str, Tensor]:
        """The weights of the module, and others that its optimizers train, by names."""
        weights: dict[str, Tensor] = dict(self.module.named_parameters())
        known = {id(weight) for weight in weights.values()}
        for number, optimizer in enumerate(self.trainer.optimizers):
            held = [weight for group in optimizer.param_groups for weight in group["params"]]
            weights |= {
                f"of optimizer {number}, {place}": weight
                for place, weight in enumerate(held)
                if id(weight) not in known
            }
        return weights

    def _outlive(self) -> bool:
        """True if gradients may be used by the next batch after any batch."""
        if not self.module.automatic_optimization:
            return True
        clears: list[Any] = [type(optimizer).zero_grad for optimizer in self.trainer.optimizers]
        clears += [type(self.module).optimizer_zero_grad, type(self.module).zero_grad]
        parts = [*self.module.modules(), *callbacks_of(self.trainer, Callback)]
        kinds: set[Any] = {type(part) for part in parts}
        reads = any("grad" in own_names_used(kind) for kind in kinds)
        return reads or not all(map(is_frameworks, clears))
