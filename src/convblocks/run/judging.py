"""How a run finds the metrics that it is judged by, and its best checkpoint chosen by."""

from lightning.pytorch import LightningModule

from convblocks.errors import UsageError
from convblocks.run.judge import Judge, Judges
from convblocks.run.parts import Parts


def find_judges(parts: Parts) -> Judges:
    """The judges of ``--judge``, of the module's ``judge`` and ``monitor``, texts such as
    ``val/loss:min``, or of its ``monitor`` and ``mode``, a name and ``min`` or ``max``.

    Raises:
        UsageError: ``--judge`` is of an evaluation that the run does not have.
    """
    asked = parts.settings.get("judge")
    named, monitor = _of_module(parts.module)
    if not (asked or named):
        return Judges()
    judge = Judge.parse(asked or named)
    has_validation = parts.has("validation")
    if not (asked or has_validation or parts.has("test")):
        return Judges()
    if asked and judge.split and not parts.has(judge.split):
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
