"""The end of a run of a user's own LightningModule: its last metrics, its result, and the lines printed last."""

import math

from convblocks.console import echo
from convblocks.errors import UserError
from convblocks.model.summary import parameters_of
from convblocks.runs.directory import SPEED, is_epoch
from convblocks.runs.result import EPOCHS, Row, RunResult
from convblocks.tables import counted
from convblocks.training.finish import (
    diverged_at,
    ended_by,
    load_best,
    print_curves_command,
    provenance_of,
    save_averaged_weights,
)
from convblocks.training.metrics_log import shortest_float
from convblocks.training.run import Run
from convblocks.training.tensorboard import RunTensorBoardLogger


def finish(run: Run) -> None:
    """Evaluate the final weights, in all processes, and write and print the result, in one of them."""
    metrics = final_metrics(run)
    if run.is_rank_zero:
        print_result(run, write_result(run, run_result(run, metrics)))


def final_metrics(run: Run) -> Row:
    """The metrics of the best evaluation, or of the last one, and those of a test of its weights, if there is a test.

    Raises:
        UserError: the metric that the run is judged by is not among them.
    """
    trainer, judge, last = run.trainer, run.judge, run.log.rows[-1]
    save_averaged_weights(run)
    has_best = run.best_by and run.directory.best_checkpoint.is_file()
    row = (judge.best(run.log.rows) if has_best else None) or last
    if run.best_by and run.resumable:
        load_best(run)
    final = {name: value for name, value in row.items() if name not in ("epoch", "step", *SPEED)}
    if run.has("test"):
        trainer.test(run.module, datamodule=run.data, verbose=False)
        final |= {name: shortest_float(value) for name, value in trainer.callback_metrics.items()}
    if not {judge.metric, judge.tested} & final.keys():
        raise UserError(f"{run.arch} logs no {judge.metric}, but {', '.join(final) or 'nothing'}: give one as --judge")
    return final


def run_result(run: Run, metrics: Row) -> RunResult:
    """The result of a finished run."""
    rows, judge = run.log.rows, run.judge
    return RunResult(
        arch=run.arch,
        seed=run.settings["seed"],
        parameters=parameters_of(run.module),
        lr_scheduler="",
        epochs=tuple(row for row in rows if is_epoch(row)),
        evaluations=tuple(row for row in rows if not is_epoch(row)),
        final=metrics,
        ended_by=ended_by(run.trainer, run.trainer.global_step),
        collapsed=diverged_at(run.trainer) is not None or not math.isfinite(metrics[judge.measured_in(metrics)]),
        judge=judge,
        provenance=provenance_of(run),
    )


def write_result(run: Run, result: RunResult) -> RunResult:
    """Write the end of the run to the loggers and, even if that fails, ``summary.json``."""
    try:
        for logger in run.trainer.loggers:
            if isinstance(logger, RunTensorBoardLogger):
                logger.log_results(run.settings, result.final, int(result.epochs[-1]["step"]))
            logger.finalize("success")
    finally:
        run.directory.write_result(result)
    return result


def print_result(run: Run, result: RunResult) -> None:
    """Print the result and the next command."""
    epochs = counted(len(result.epochs), "epoch")
    echo(f"\n{result.score_name} {result.judge.text(result.score)}, {epochs} in {result.seconds:.1f} s")
    if result.ended_by != EPOCHS:
        echo(f"ended by {result.ended_by}")
    if not run.resumable:
        echo("It kept no checkpoint, and cannot be resumed.")
    print_curves_command(run)
