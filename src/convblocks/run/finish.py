"""The end of a run: its last metrics, its result, its files, and the lines printed last."""

from collections.abc import Iterator
from contextlib import contextmanager
from shlex import quote

import torch
from lightning.pytorch import LightningDataModule, LightningModule, Trainer
from lightning.pytorch.callbacks import EarlyStopping
from lightning.pytorch.callbacks.early_stopping import EarlyStoppingReason

from convblocks.console import CommandLine, echo, echo_command
from convblocks.model.summary import parameters_of
from convblocks.run.directory import is_epoch
from convblocks.run.divergence import Divergence, diverged_at
from convblocks.run.provenance import describe_machine, read_origin
from convblocks.run.result import EPOCHS, Provenance, Row, RunResult
from convblocks.run.resume import callbacks_of, is_out_of_time
from convblocks.run.run import Run
from convblocks.text import as_shown, counted


def finish(run: Run) -> None:
    """Evaluate the final weights, in all processes, and write and print the result, in one of them."""
    final = run.final_metrics()
    if run.is_rank_zero:
        print_result(run, write_result(run, run_result(run, final)))


def run_result(run: Run, final: Row) -> RunResult:
    """The result of a finished run, without what callbacks know of it."""
    rows, fields = run.log.rows, run.result_fields()
    return RunResult(
        seed=run.settings["seed"],
        parameters=parameters_of(run.module),
        hparams=hparams_of(run.module) | hparams_of(run.data) | fields.pop("hparams", {}),
        epochs=tuple(row for row in rows if is_epoch(row)),
        evaluations=tuple(row for row in rows if not is_epoch(row)),
        final=final,
        ended_by=ended_by(run.trainer),
        failed=diverged_at(run.trainer) is not None or not run.is_finite(final),
        provenance=provenance_of(run),
        **fields,
    )


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
    echo(f"\n{run.score_text(result)}, {epochs} in {result.seconds:.1f} s")
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


@contextmanager
def _kept(errors: list[Exception]) -> Iterator[None]:
    """Keep an error of one callback for later, to spare the others."""
    try:
        yield
    except Exception as error:
        errors.append(error)


def hparams_of(part: LightningModule | LightningDataModule | None) -> dict[str, str | int | float]:
    """The plain values among the hyper-parameters of a module or data; of a class with arguments its name."""
    saved = part.hparams if part else {}
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
            return f"divergence: {callback.what} was not finite after step {callback.step}"
    if 0 < trainer.max_steps <= trainer.global_step:
        return f"max_steps={trainer.max_steps}"
    if is_out_of_time(trainer):
        return "its max_time"
    for callback in callbacks_of(trainer, EarlyStopping):
        if callback.stopping_reason != EarlyStoppingReason.NOT_STOPPED:
            return f"EarlyStopping: {callback.stopping_reason_message}"
    return "a callback" if trainer.should_stop else EPOCHS
