"""A leaner step of automatic optimization: the four calls that matter, without what
Lightning does between them.
"""

from collections import OrderedDict
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.plugins.precision import Precision
from lightning.pytorch.profilers import PassThroughProfiler
from lightning.pytorch.strategies import SingleDeviceStrategy
from torch import Tensor
from torch.optim import SGD, Adam, AdamW, Optimizer

from convblocks.fast.lightning import STEP_HOOKS, FastClassifier
from convblocks.fast.lightning_private import RUNNING_HOOK, AutomaticOptimization
from exact_resume.training import callbacks_of

# The hooks that Lightning calls within a step; ``skip_idle_hooks`` sets idle ones to None.
HOOKS_WITHIN = STEP_HOOKS[1:-1]

# Optimizers that need no closure; a subclass may do anything.
OPTIMIZERS = (Adam, AdamW, SGD)


class FastOptimization(AutomaticOptimization):
    """Lightning's step without closures, and without the checks for hooks that nobody
    has.

    Falls back to Lightning's own step if more is needed: hooks between the calls, other
    optimizers, precisions and strategies, accumulation, clipping, a profiler. Rechecked
    at every step.
    """

    def run(
        self, optimizer: Optimizer, batch_idx: int, kwargs: OrderedDict[str, Any]
    ) -> dict[str, Any]:
        """Train on a batch; returns the loss for ``on_train_batch_end``."""
        module = self.trainer.lightning_module
        if type(optimizer) not in OPTIMIZERS or not _is_usual(self.trainer, module):
            return super().run(optimizer, batch_idx, kwargs)
        progress = self.optim_progress.optimizer
        progress.step.increment_ready()
        RUNNING_HOOK.replace(module, "training_step")
        loss = module.training_step(*kwargs.values())
        assert isinstance(loss, Tensor)
        RUNNING_HOOK.replace(module, None)
        progress.zero_grad.increment_ready()
        progress.zero_grad.increment_started()
        # This does the same as optimizer.zero_grad(), which takes longer.
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                parameter.grad = None
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
        # Lightning sets it at run time
        and type(trainer.profiler) is PassThroughProfiler  # type: ignore[attr-defined]
        and trainer.accumulate_grad_batches == 1
        and not trainer.gradient_clip_val
    )
    owners = (module, *callbacks_of(trainer, Callback))
    return is_plain and all(
        getattr(owner, hook) is None for owner in owners for hook in HOOKS_WITHIN
    )
