"""The step of automatic optimization in the usual case: Lightning's four calls, without all that is between them."""

from collections import OrderedDict
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.loops.optimization.automatic import _AutomaticOptimization
from lightning.pytorch.plugins.precision import Precision
from lightning.pytorch.profilers import PassThroughProfiler
from lightning.pytorch.strategies import SingleDeviceStrategy
from torch import Tensor
from torch.optim import Optimizer

from convblocks.fast._adam import Adam
from convblocks.fast.lightning import FastClassifier

# What Lightning calls between a step's lines, on each callback and on the module; None where skip_idle_hooks has been.
HOOKS_WITHIN = ("on_before_zero_grad", "on_before_backward", "on_after_backward", "on_before_optimizer_step")


class FastOptimization(_AutomaticOptimization):
    """Lightning's step without closures, and without the checks for hooks that nobody has.

    Whatever needs more than the four calls goes Lightning's way: hooks between them, other optimizers, precisions and
    strategies, accumulation, clipping, a profiler. That is looked at again at every step.
    """

    def run(self, optimizer: Optimizer, batch_idx: int, kwargs: OrderedDict[str, Any]) -> dict[str, Any]:
        """Train on a batch; returns the loss for ``on_train_batch_end``."""
        module = self.trainer.lightning_module
        if not (type(optimizer) is Adam and _is_usual(self.trainer, module)):
            return super().run(optimizer, batch_idx, kwargs)
        progress = self.optim_progress.optimizer  # part of every checkpoint, and the Trainer's global_step
        progress.step.increment_ready()
        module._current_fx_name = "training_step"  # for self.log
        loss = module.training_step(*kwargs.values())
        assert isinstance(loss, Tensor)
        module._current_fx_name = None
        progress.zero_grad.increment_ready()
        progress.zero_grad.increment_started()
        optimizer.zero_grad()
        progress.zero_grad.increment_completed()
        loss.backward()
        optimizer.step()
        progress.step.increment_completed()
        return {"loss": loss.detach()}


def _is_usual(trainer: Trainer, module: LightningModule) -> bool:
    is_plain = (
        type(module) is FastClassifier
        and type(trainer.strategy) is SingleDeviceStrategy
        and type(trainer.precision_plugin) is Precision
        and type(trainer.profiler) is PassThroughProfiler  # type: ignore[attr-defined]  # Lightning sets it at run time
        and trainer.accumulate_grad_batches == 1
        and not trainer.gradient_clip_val
    )
    owners = (module, *trainer.callbacks)  # type: ignore[attr-defined]  # Lightning sets it at run time
    return is_plain and all(getattr(owner, hook) is None for owner in owners for hook in HOOKS_WITHIN)


def speed_up_steps(trainer: Trainer) -> None:
    """Give the Trainer the short way, before it fits."""
    trainer.fit_loop.epoch_loop.automatic_optimization = FastOptimization(trainer)
