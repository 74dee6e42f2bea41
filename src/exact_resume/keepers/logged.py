"""What the module has logged in this epoch, as sums of this process, and logged last."""

from collections.abc import Mapping
from typing import Any

from lightning.fabric.utilities import move_data_to_device

from exact_resume.keepers.keeper import Keeper, State
from exact_resume.keepers.metrics import set_sums, sums_of
from exact_resume.keepers.values import plain
from exact_resume.lightning_private import (
    IS_FIRST_BATCH,
    LOGGER_CONNECTOR,
    METADATA,
    RESULT_METRIC,
    SYNC,
    TRAIN_RESULTS,
)
from exact_resume.moment import Moment


class Logged(Keeper):
    """Keeps ``trainer.callback_metrics`` and, within an epoch, the sums behind them."""

    def state(self, moment: Moment) -> State:
        state: State = {"latest": plain(self.trainer.callback_metrics)}
        if moment is not Moment.EPOCH_END:
            state["sums"] = {
                key: _description(logged)
                for key, logged in TRAIN_RESULTS.of(self.trainer.fit_loop.epoch_loop).items()
                if logged.meta.sync.group is None
            }
        return state

    def restore(self, state: State, moment: Moment) -> None:
        self.restore_end(state)
        if "sums" not in state:
            return
        # The next batch is not the epoch's first, at which sums are reset.
        IS_FIRST_BATCH.replace(LOGGER_CONNECTOR.of(self.trainer), True)
        results = TRAIN_RESULTS.of(self.trainer.fit_loop.epoch_loop)
        for key, saved in state["sums"].items():
            if (logged := self._made_again(saved)) is not None:
                results[key] = logged
                set_sums(logged, saved["sums"])

    def restore_elsewhere(self, state: State, moment: Moment) -> None:
        self.restore_end(state)

    def restore_end(self, state: State) -> None:
        device = self.trainer.strategy.root_device
        self.trainer.callback_metrics.update(move_data_to_device(state["latest"], device))

    def parts(self) -> Mapping[str, Any]:
        latest = self.trainer.callback_metrics
        return {f"logged {name}": value.double() for name, value in latest.items()}

    def _made_again(self, saved: State) -> Any:
        """A logged value as it was, without its sum; None of a metric whose name in the
        module is not known.
        """
        module = self.trainer.lightning_module
        meta = METADATA.imported()(**saved["meta"])
        meta.sync = SYNC.imported()(self.trainer.strategy.reduce, *saved["sync"])
        is_tensor = saved["sums"]["is_tensor"]
        logged = RESULT_METRIC.imported()(meta, is_tensor).to(module.device)
        if not is_tensor:
            if meta.metric_attribute is None:
                return None
            logged.value = module.get_submodule(meta.metric_attribute)
        return logged


def _description(logged: Any) -> State:
    """A logged value, in plain values."""
    meta = logged.meta
    plainly = {
        name: value for name, value in vars(meta).items() if isinstance(value, str | int | None)
    }
    return {
        "meta": plainly | {"reduce_fx": meta.reduce_fx.__name__},
        "sync": (meta.sync.should, meta.sync.rank_zero_only),
        "sums": sums_of(logged),
    }
