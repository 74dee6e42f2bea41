"""The end of a run: its last metrics, its result, its files, and the lines printed last."""

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from shlex import quote

import torch
from lightning.pytorch import LightningDataModule, LightningModule, Trainer
from lightning.pytorch.callbacks import EarlyStopping
from lightning.pytorch.callbacks.early_stopping import EarlyStoppingReason

from convblocks.console import CommandLine, echo, echo_command
from convblocks.errors import UserError
from convblocks.model.summary import parameters_of
from convblocks.run.directory import is_epoch
from convblocks.run.divergence import Divergence, diverged_at
from convblocks.run.last_weights import load_best, save_averaged_weights
from convblocks.run.metrics_log import logged_metrics
from convblocks.run.printed_rows import loss_text, without_split
from convblocks.run.provenance import describe_machine, read_origin
from convblocks.run.result import EPOCHS, Provenance, Row, RunResult
from convblocks.run.resume import callbacks_of, is_out_of_time
from convblocks.run.run import Run
from convblocks.text import as_shown, counted


def finish(run: Run) -> None:
    """Evaluate the final weights, in all processes, and write and print the result, in one of them."""
    final = final_metrics(run)
    if run.is_rank_zero:
        print_result(run, write_result(run, run_result(run, final)))


def final_metrics(run: Run) -> Row:
    """The metrics of the best evaluation, or of the last one, and those of a test of its weights, if there is one.

    Where a run is evaluated on test data, a test that would repeat the last evaluation is left out. Every process must
    call this.

    Raises:
        UserError: the metric that the run is judged by is not among them.
    """
    judge, directory = run.judge, run.directory
    row: Mapping[str, float] = run.log.rows[-1]
    averaged = save_averaged_weights(run.trainer, run.module, directory.last_checkpoint, run.resumable)
    if run.keeps_best:
        load_best(run.module, directory.best_checkpoint, run.is_rank_zero)
        if directory.best_checkpoint.is_file():
            row = run.monitor.best(run.log.rows) or row
    final: Row = {name: value for name, value in row.items() if name not in ("epoch", "step", "seconds")}
    is_of_test = run.evaluation_split == "test"
    if run.has("test") and (not is_of_test or judge.tested not in final or averaged):
        run.trainer.test(run.module, datamodule=run.data, verbose=False)
        tested = logged_metrics(run.trainer)
        final |= tested
        if is_of_test and run.is_rank_zero:
            run.log.note_final(tested)
    if not {judge.metric, judge.tested} & final.keys():
        known = ", ".join(final) or "nothing"
        raise UserError(f"{run.arch} logs no {judge.metric}, but {known}: give one as --judge")
    return final


def run_result(run: Run, final: Row) -> RunResult:
    """The result of a finished run, without what callbacks know of it."""
    rows = run.log.rows
    return RunResult(
        arch=run.arch,
        seed=run.settings["seed"],
        parameters=parameters_of(run.module),
        hparams=hparams_of(run.module) | hparams_of(run.data),
        epochs=tuple(row for row in rows if is_epoch(row)),
        evaluations=tuple(row for row in rows if not is_epoch(row)),
        final=final,
        judge=run.judge,
        monitor=run.monitor,
        ended_by=ended_by(run.trainer),
        failed=diverged_at(run.trainer) is not None or not is_finite(run, final),
        provenance=provenance_of(run),
    )


def is_finite(run: Run, final: Row) -> bool:
    """Whether the metrics that a run is judged and monitored by are, as far as they were measured."""
    metrics = [metric.measured_in(final) for metric in (run.judge, run.monitor)]
    return all(math.isfinite(final.get(metric, 0)) for metric in metrics)


def write_result(run: Run, result: RunResult) -> RunResult:
    """Let callbacks add to the result, close the loggers, and write ``summary.json``, whatever fails before."""
    errors: list[Exception] = []
    for callback in run.run_callbacks:
        with _kept(errors):
            result = callback.on_result(run, result)
    for logger in run.trainer.loggers:
        with _kept(errors):
            logger.finalize("success")
    run.directory.write_result(result)
    if errors:
        raise errors[0]
    return result


def print_result(run: Run, result: RunResult) -> None:
    """Print the result, what callbacks say of it, and the next commands."""
    epochs, errors = counted(len(result.epochs), "epoch"), list[Exception]()
    echo(f"\n{score_text(run, result)}, {epochs} in {result.seconds:.1f} s")
    if result.ended_by != EPOCHS:
        echo(f"ended by {result.ended_by}")
    if not run.resumable:
        echo("It kept no checkpoint, and cannot be resumed.")
    for callback in run.run_callbacks:
        with _kept(errors):
            for line in callback.last_lines(run, result):
                if isinstance(line, CommandLine):
                    echo_command(line.words, line.label)
                else:
                    echo(line)
    if run.board:
        echo_command(["tensorboard", "--logdir", quote(as_shown(run.directory.logs))], "see curves    ")
    if errors:
        raise errors[0]


def score_text(run: Run, result: RunResult) -> str:
    """The result in words, with the metric that the best checkpoint is chosen by where it is another one."""
    text, other = f"{result.score_name} {run.judge.text(result.score)}", run.monitor.measured_in(result.final)
    if run.monitor == run.judge or other not in result.final:
        return text
    return f"{text}, {without_split(other)} {loss_text(result.final[other])}"


@contextmanager
def _kept(errors: list[Exception]) -> Iterator[None]:
    """Keep an error of one callback for later, to spare the others."""
    try:
        yield
    except Exception as error:
        errors.append(error)


def hparams_of(part: LightningModule | LightningDataModule | None) -> dict[str, str | int | float]:
    """The plain values among the hyper-parameters of a module or data; of a class with arguments its name.

    The attribute ``batch_size`` is one of them, since Lightning's BatchSizeFinder changes it.
    """
    saved = dict(part.hparams) if part else {}
    saved |= {"batch_size": size} if (size := getattr(part, "batch_size", None)) else {}
    named = {name: value.get("class_path") if isinstance(value, dict) else value for name, value in saved.items()}
    return {name: value for name, value in named.items() if isinstance(value, str | int | float)}


def provenance_of(run: Run) -> Provenance:
    """Where the run's numbers come from."""
    origin = read_origin(run.directory.provenance) or {}
    return Provenance(
        machine=describe_machine(),
        commit=origin.get("git_commit"),
        data=origin.get("data"),
        device=str(run.trainer.strategy.root_device),
        processes=run.trainer.world_size,
        threads=torch.get_num_threads(),
    )


def ended_by(trainer: Trainer) -> str:
    """Why a run ended."""
    for callback in callbacks_of(trainer, Divergence):
        if callback.step is not None:
            return f"divergence: the loss or a weight was not finite after step {callback.step}"
    if 0 < trainer.max_steps <= trainer.global_step:
        return f"max_steps={trainer.max_steps}"
    if is_out_of_time(trainer):
        return "its max_time"
    for callback in callbacks_of(trainer, EarlyStopping):
        if callback.stopping_reason != EarlyStoppingReason.NOT_STOPPED:
            return f"EarlyStopping: {callback.stopping_reason_message}"
    return "a callback" if trainer.should_stop else EPOCHS
