"""Keeps what the module has logged: the sums of this epoch in this process, and the last
values.
"""

from typing import Any

import torch
from lightning.fabric.utilities import move_data_to_device

from exact_resume.keeper import Keeper, Moment, State
from exact_resume.keepers.metrics import set_sums, sums_of
from exact_resume.keepers.values import plain
from exact_resume.lightning_private import IS_FIRST_BATCH, LOGGER_CONNECTOR, TRAIN_RESULTS

# Python's own reductions, which Lightning treats otherwise than torch's of the same name.
PYTHONS = {f"builtins.{reduction.__name__}": reduction for reduction in (min, max, sum)}


class Logged(Keeper):
    """Keeps ``trainer.callback_metrics`` and, within an epoch, the sums behind them."""

    def state(self, moment: Moment) -> State:
        state = {"latest": plain(self.trainer.callback_metrics)}
        if moment is not Moment.EPOCH_END:
            results = TRAIN_RESULTS.of(self.trainer.fit_loop.epoch_loop).items()
            state["sums"] = {
                key: _description(logged) for key, logged in results if _is_known(logged)
            }
        return state

    def restore(self, state: State) -> None:
        self.restore_end(state)
        if "sums" not in state:
            return
        # At the start of each batch Lightning turns None into True and True into False; where it
        # then is True, the batch is the first, and sums are reset. True now lets the next batch
        # not be taken for the first.
        IS_FIRST_BATCH.replace(LOGGER_CONNECTOR.of(self.trainer), True)
        results = TRAIN_RESULTS.of(self.trainer.fit_loop.epoch_loop)
        for key, (arguments, is_synced, sums) in state["sums"].items():
            value: Any = torch.zeros((), device=self.module.device)
            if not sums["is_tensor"]:
                value = self.module.get_submodule(arguments["metric_attribute"])
            name = arguments["reduce_fx"]
            described = arguments | {"reduce_fx": PYTHONS.get(name, name)}
            # Set after `log`, which would otherwise reduce the value over processes at once.
            results.log(value=value, sync_dist_fn=self.trainer.strategy.reduce, **described)
            results[key].meta.sync.should = is_synced
            set_sums(results[key], sums)

    def restore_end(self, state: State) -> None:
        device = self.trainer.strategy.root_device
        self.trainer.callback_metrics.update(move_data_to_device(state["latest"], device))

    def restore_other_world_size(self, state: State) -> None:
        self.restore_end(state)

    def parts(self) -> State:
        latest = self.trainer.callback_metrics
        return {f"logged {name}": value.double() for name, value in latest.items()}


def _is_known(logged: Any) -> bool:
    """True for a logged value that a resume can log again: one of all processes, not of a
    group of them, and no metric whose name in the module is unknown.
    """
    has_name = logged.is_tensor or logged.meta.metric_attribute is not None
    return has_name and logged.meta.sync.group is None


def _description(logged: Any) -> tuple[State, bool, State]:
    """A logged value in plain values: the arguments with which it was logged, whether it is
    reduced over processes, and its sums in this process.
    """
    meta = logged.meta
    arguments = {name: value for name, value in vars(meta).items() if isinstance(value, str | int)}
    names = [name for name, reduction in PYTHONS.items() if reduction is meta.reduce_fx]
    arguments["reduce_fx"] = names[0] if names else meta.reduce_fx.__name__
    arguments["rank_zero_only"] = meta.sync.rank_zero_only
    return arguments, meta.sync.should, sums_of(logged)
