"""How a run finds the metrics that it is judged by, and its best checkpoint chosen by."""

from typing import NamedTuple

from lightning.pytorch import LightningDataModule, LightningModule
from lightning.pytorch.utilities.model_helpers import is_overridden

from convblocks.errors import UsageError
from convblocks.run.judge import Judge, Split
from convblocks.text import Settings


class Judges(NamedTuple):
    """What a run is judged by.

    Args:
        judge: The metric by which runs are compared; None where nothing names one.
        monitor: That by which its best checkpoint is chosen; None without a judge, or
            with one of training.
        is_asked: Whether a person has named it, and not only the module.
    """

    judge: Judge | None = None
    monitor: Judge | None = None
    is_asked: bool = False


def has_loop(
    split: Split, settings: Settings, module: LightningModule, data: LightningDataModule | None
) -> bool:
    """Whether module and data have a loop that the Trainer of these settings does not skip."""
    short = split.replace("validation", "val")
    limit = settings["trainer"].get(f"limit_{short}_batches")
    has_loader = is_overridden(f"{short}_dataloader", data or module)
    return has_loader and is_overridden(f"{split}_step", module) and limit != 0


def find_judges(
    settings: Settings, module: LightningModule, data: LightningDataModule | None
) -> Judges:
    """The judges of ``--judge``, of the module's ``judge`` and ``monitor``, texts such as
    ``val/loss:min``, or of its ``monitor`` and ``mode``, a name and ``min`` or ``max``.

    Raises:
        UsageError: ``--judge`` is of an evaluation that the run does not have.
    """
    asked = settings.get("judge")
    named, monitor = _of_module(module)
    if not (asked or named):
        return Judges()
    judge = Judge.parse(asked or named)
    has_validation = has_loop("validation", settings, module, data)
    is_evaluated = has_validation or has_loop("test", settings, module, data)
    if not (asked or is_evaluated):
        return Judges()
    if asked and judge.split and not has_loop(judge.split, settings, module, data):
        raise UsageError(
            f"--judge {judge.metric} is of the {judge.split}, "
            "but this run has no loader and no step for it"
        )
    best = Judge.parse(monitor) if monitor else judge
    chooses = has_validation and not best.is_of_training
    return Judges(judge, best if chooses else None, bool(asked))


def _of_module(module: LightningModule) -> tuple[str, str]:
    """What a module says of its judge, and of another metric for its best checkpoint."""
    judge, monitor, mode = (
        text if isinstance(text := getattr(module, name, None), str) else ""
        for name in ("judge", "monitor", "mode")
    )
    if judge:
        return judge, monitor
    # Without a judge a module's monitor may mean something else.
    return (f"{monitor}:{mode}", "") if monitor and mode in ("min", "max") else ("", "")
