"""Ends a run: measures its final metrics, writes its result, prints its last lines."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from shlex import quote

import torch
from lightning.pytorch.callbacks.early_stopping import EarlyStoppingReason

from convblocks import wings
from convblocks.console import echo
from convblocks.errors import UserError
from convblocks.model.distributed import broadcast_state
from convblocks.model.networks import parameters_of
from convblocks.model.restore import read_checkpoint
from convblocks.record.directory import is_epoch
from convblocks.record.judge import Judge, found_by_name, not_logged
from convblocks.record.own_code import shown, whole_digest
from convblocks.record.provenance import (
    describe_machine,
    describe_processor,
    edited_in,
    latest_code,
    read_origin,
)
from convblocks.record.result import EPOCHS, PLACE, Provenance, Row, RunResult, encode
from convblocks.run.callbacks import RunCallback
from convblocks.run.metrics_log import logged_metrics, without_split
from convblocks.run.run import Run
from convblocks.text import Settings, as_shown, counted, listed
from exact_resume.errors import ResumeError
from exact_resume.training import is_out_of_time


def finish(run: Run) -> None:
    """Measure the final metrics, in all processes. In one of them, let callbacks add to the
    result, write it to ``summary.json``, and print it.

    After an error of one callback the others are called all the same. The first error of
    this package's callbacks, or ResumeError of any, is raised once ``summary.json`` is written;
    if it comes from ``on_result``, the result is not printed. Any other error of another
    package's becomes a printed line.
    """
    final = final_metrics(run)
    if not run.is_rank_zero:
        return
    result = run_result(run, final)
    errors: list[BaseException] = []
    try:
        for callback in run.run_callbacks:
            with _collecting(callback, errors):
                # A copy, so that what a failing callback adds is lost.
                changed = callback.on_result(run, result.with_facts())
                if not isinstance(changed, RunResult):
                    raise TypeError(f"on_result returns {changed}, not a RunResult")
                encode(changed)  # raises an error if JSON cannot hold the facts
                result = changed
        for logger in run.trainer.loggers:
            logger.finalize("success")
    finally:
        run.directory.write_result(result)
    if not errors:  # print_result adds those of the callbacks' last_lines
        print_result(run, result, errors)
    if errors:
        raise errors[0]


@contextmanager
def _collecting(callback: RunCallback, errors: list[BaseException]) -> Iterator[None]:
    """Collect the error of a callback in a list, so that the others are called. A callback of
    another package is left out, with a line.
    """
    kind = type(callback)
    try:
        yield
    except (Exception, SystemExit) as error:
        if isinstance(error, ResumeError) or kind.__module__.startswith(wings.OURS):
            errors.append(error)
        else:
            wings.say_left_out(f"what {kind.__module__}.{kind.__qualname__} adds", error)


def final_metrics(run: Run) -> Row:
    """The metrics of the best evaluation, or else of the last row, and those of a test with the
    weights of then.

    Where a run is evaluated on test data, a test that would repeat the last evaluation is
    left out. Every process must call this.

    Raises:
        UserError: the metric of ``--judge`` is not among them.
    """
    final = dict(run.log.rows[-1])
    judge, monitor = judges_of(run)
    if monitor and run.best and load_best(run):
        final = dict(monitor.best(run.log.rows) or final)
    for name in ("epoch", "step", "seconds"):
        final.pop(name, None)
    final |= _tested(run, judge, final)
    if judge and run.judges.is_asked and judge.measured_in(final) not in final:
        of_its_split = [name for name in final if Judge(name, "min").split == judge.split]
        raise not_logged(
            judge.metric, of_its_split or [name for name in final if name not in PLACE]
        )
    return final


def _tested(run: Run, judge: Judge | None, final: Row) -> Row:
    """The metrics of a test; empty if the run has none, or if evaluations on test data have
    measured the judge's metric of these weights already.
    """
    is_of_test = run.evaluation_split == "test"
    is_tested = is_of_test and judge and judge.tested in final and not run.tests_again
    if is_tested or not run.has("test"):
        return {}
    run.trainer.test(run.module, datamodule=run.data, verbose=False)
    tested = logged_metrics(run.trainer)
    if is_of_test and run.is_rank_zero:
        run.log.note_final(tested)
    return tested


def judges_of(run: Run) -> tuple[Judge | None, Judge | None]:
    """The metric by which a run is judged, and the one that would choose its best checkpoint. The
    settings or the module name them, or they were found in the first evaluation.
    """
    judge, monitor, _ = run.judges
    if judge is None and run.best and run.best.monitor:
        judge = monitor = Judge(run.best.monitor, "min")
    return judge, monitor


def load_best(run: Run) -> bool:
    """Give the module the weights of the best evaluation, in all processes; return whether
    there are any.

    Only the weights are restored: with ``ckpt_path`` Lightning would also restore callbacks, and
    the rows of ``metrics.csv`` would end at the best evaluation.

    Raises:
        UserError: the checkpoint has been deleted while the run trained.
    """
    best = run.directory.best_checkpoint
    if run.is_rank_zero and run.best and run.best.best_model_path and not best.is_file():
        raise UserError(
            f"{best}, which had this run's best weights, is gone: put a copy of it back and resume "
            "the run, or train it again under another --name"
        )
    if run.is_rank_zero and best.is_file():
        checkpoint = read_checkpoint(best, run.config.weights_only)
        # A module may leave weights out of its checkpoints, and add them in this hook.
        run.module.on_load_checkpoint(checkpoint)
        run.module.load_state_dict(checkpoint["state_dict"], strict=run.module.strict_loading)
    # Lightning has moved the module to the CPU, but NCCL takes tensors of GPUs only.
    run.module.to(run.trainer.strategy.root_device)
    broadcast_state(run.module)
    # Without --name only rank 0 knows the run directory.
    there_is_one: bool = run.trainer.strategy.broadcast(best.is_file())
    return there_is_one


def run_result(run: Run, final: Row) -> RunResult:
    """The result of a finished run, without what callbacks add to it."""
    rows = run.log.rows
    origin = read_origin(run.directory.provenance)
    judge, monitor = judges_of(run)
    if judge and judge.measured_in(final) not in final:
        judge = monitor = None  # never logged, so the run is not judged
    judged = [final.get(metric.measured_in(final), 0) for metric in (judge, monitor) if metric]
    return RunResult(
        arch=run.arch,
        seed=run.settings["seed"],
        parameters=parameters_of(run.module),
        hparams=hparams_of(run.module) | hparams_of(run.data),
        epochs=tuple(row for row in rows if is_epoch(row)),
        evaluations=tuple(row for row in rows if not is_epoch(row)),
        final=final,
        judge=judge,
        monitor=monitor,
        ended_by=ended_by(run),
        failed=run.divergence.step is not None or not all(map(math.isfinite, judged)),
        provenance=Provenance(
            machine=describe_machine(),
            commit=origin.get("git_commit"),
            data=origin.get("data"),
            device=str(run.trainer.strategy.root_device),
            processes=run.trainer.world_size,
            threads=torch.get_num_threads(),
            processor=describe_processor(),
            code=whole_digest(latest_code(origin)),
            edited=tuple(map(shown, edited_in(origin))),
        ),
    )


def print_result(run: Run, result: RunResult, errors: list[BaseException]) -> None:
    """Print the score, the lines of callbacks and the next commands; for a run that diverged,
    first that it did, and the score below. Errors of callbacks are added to the list.
    """
    score = _score_line(run, result)
    lines: list[str] = []
    for callback in run.run_callbacks:
        with _collecting(callback, errors):
            said = callback.last_lines(run, result)
            if not (isinstance(said, list | tuple) and all(isinstance(x, str) for x in said)):
                raise TypeError(f"last_lines returns {said}, not a list of lines")
            lines += said
    first = ["", score]
    if result.judge and not run.judges.judge:  # the judge was found by its name
        first.append(found_by_name(result.judge.metric))
    if run.divergence.step is not None:
        diverged = (
            f"This run diverged: after step {run.divergence.step} its loss or a weight "
            "was not finite. Try a lower learning rate."
        )
        first = ["", diverged]
        lines.append(score)
    elif result.ended_by != EPOCHS:
        first.append(f"ended by {result.ended_by}")
    if edited := result.provenance.edited:
        first.append(f"trained with two versions of {listed(edited)}: it cannot be repeated")
    echo("\n".join(first + lines))
    if run.board:
        echo(f"see curves    tensorboard --logdir {quote(as_shown(run.directory.logs))}")


def _score_line(run: Run, result: RunResult) -> str:
    """The line with the score: beside it stand the metric that chose the checkpoint, and the
    metrics that only the test has logged.
    """
    judge, monitor, final = result.judge, result.monitor, result.final
    score = f"{result.score_name} {judge.text(result.score)}" if judge else "not judged"
    if monitor and monitor != judge:
        # For an image classifier this is the loss, beside the accuracy.
        monitored = monitor.measured_in(final)
        if monitored in final:
            score += f", {without_split(monitored)} {final[monitored]:.4f}"
    said = [metric.measured_in(final) for metric in (judge, monitor) if metric]
    seen = {*said}.union(*run.log.rows)
    for name, value in final.items():
        if name not in seen:
            score += f", {name} {value:.4g}"
    return f"{score}, {counted(len(result.epochs), 'epoch')} in {result.seconds:.1f} s"


def hparams_of(part: object) -> Settings:
    """The hyper-parameters of a module or data that are plain values. A class with arguments
    is given by its name.

    The attribute ``batch_size`` counts as one, since Lightning's BatchSizeFinder changes it.
    """
    saved = dict(getattr(part, "hparams", {}))
    if batch_size := getattr(part, "batch_size", None):
        saved["batch_size"] = batch_size
    for name, value in saved.items():
        if isinstance(value, dict):
            saved[name] = value.get("class_path")
    return {name: value for name, value in saved.items() if isinstance(value, str | int | float)}


def ended_by(run: Run) -> str:
    """Why a run ended, in words: ``its epochs`` where nothing ended it early."""
    trainer = run.trainer
    if run.divergence.step is not None:
        return f"divergence: the loss or a weight was not finite after step {run.divergence.step}"
    if 0 < trainer.max_steps <= trainer.global_step:
        return f"max_steps={trainer.max_steps}"
    if is_out_of_time(trainer):
        return "its max_time"
    for callback in trainer.early_stopping_callbacks:
        if callback.stopping_reason != EarlyStoppingReason.NOT_STOPPED:
            return f"EarlyStopping: {callback.stopping_reason_message}"
    return "a callback" if trainer.should_stop else EPOCHS
