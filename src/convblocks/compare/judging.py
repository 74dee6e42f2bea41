"""Finds the metric by which trials are judged, as fit does, before one is trained."""

from contextlib import suppress

from lightning.pytorch import Trainer

from convblocks.errors import UsageError
from convblocks.record.judge import Judge, found_by_name, not_logged, refuse_other_spelling
from convblocks.run.callbacks import USUAL
from convblocks.run.metrics_log import logged_metrics
from convblocks.run.run import Run


def judge_of(run: Run) -> tuple[Judge | None, str]:
    """The metric that a run is judged by, and a line for people if nobody has named it, or
    it may never be logged.

    It is named by its settings or its module, or one of ``USUAL`` that an evaluation of one
    batch logs. None if that fails, or logs nothing: the run itself may find one.

    Raises:
        UsageError: the one that is asked for is written in another way than it is logged,
            or nothing names one, and nothing usual is logged.
    """
    judge = run.judges.judge
    is_sure = judge and (not run.judges.is_asked or judge.is_of_test or judge.is_of_training)
    if is_sure:
        return judge, ""
    logged = logged_of_a_batch(run) if run.has("validation") else []
    if judge:
        refuse_other_spelling(judge.metric, logged)
        is_seen = judge.metric in logged or not logged
        missing = not_logged(judge.metric, logged)
        return judge, "" if is_seen else f"{missing} (so far; trials fail if it never is)"
    if usual := [name for name in USUAL if name in logged]:
        return Judge(usual[0], "min"), found_by_name(usual[0])
    if logged or not run.has("validation"):
        names = f"an evaluation logs {', '.join(logged)}" if logged else "such as train_loss:min"
        raise UsageError(
            f"{run.arch} names no metric to judge it by: "
            f"give --judge METRIC:min or METRIC:max, {names}"
        )
    return None, ""


def logged_of_a_batch(run: Run) -> list[str]:
    """The names of what an evaluation of one validation batch logs; none if it fails, since
    a module may need what only training prepares.
    """
    trainer = Trainer(
        accelerator=run.settings["trainer"]["accelerator"],
        devices=1,
        limit_val_batches=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    with suppress(Exception):  # of a user's code
        trainer.validate(run.module, datamodule=run.data, verbose=False)
    return [*logged_metrics(trainer)]
