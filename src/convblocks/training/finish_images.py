"""The end of a run of an image classifier: its last metrics, its result, its figures, and the lines printed last."""

import math
from contextlib import suppress
from dataclasses import replace
from shlex import quote

import torch

from convblocks.atomic import write
from convblocks.console import command_words, echo, echo_command
from convblocks.errors import NotFiniteError
from convblocks.evaluation.trained import TrainedNetwork, restore_network
from convblocks.model.class_specs import short_name
from convblocks.model.evaluation import Evaluation
from convblocks.model.summary import parameters_of
from convblocks.runs.collapse import DEAD, ConstantAnswer, chance_accuracy, has_collapsed
from convblocks.runs.directory import is_epoch
from convblocks.runs.result import EPOCHS, Images, RunResult
from convblocks.tables import as_csv, as_shown, counted, percent
from convblocks.training.diagnosis import diagnose
from convblocks.training.diagnostics import dead_units_in, measure_dead_units, whole_percent
from convblocks.training.finish import (
    diverged_at,
    ended_by,
    load_best,
    print_curves_command,
    provenance_of,
    save_averaged_weights,
)
from convblocks.training.image_run import ImageRun
from convblocks.training.metrics_log import shortest_float
from convblocks.training.printed_rows import loss_text
from convblocks.training.tensorboard import RunTensorBoardLogger, write_evaluation

# A test image that the final network gets wrong: its number, and the numbers of its class and of the predicted one.
MISTAKE = ("image", "label", "predicted")


def finish(run: ImageRun) -> None:
    """Evaluate the final weights, in all processes, and write and print the result, in one of them."""
    metrics = final_metrics(run)
    if run.is_rank_zero:
        print_result(run, write_result(run, run_result(run, metrics)))


def final_metrics(run: ImageRun) -> dict[str, float]:
    """The run's final metrics.

    With validation images they are the test metrics of the weights with the best evaluation. Without, they are those
    of the last row; if the Trainer did not evaluate the final weights, they are evaluated here.
    """
    classifier, trainer = run.module, run.trainer
    rows = run.log.rows
    changed = save_averaged_weights(run)
    if run.data.val_size:
        load_best(run)
    elif "test/acc" in rows[-1] and not changed:
        return {name: value for name, value in rows[-1].items() if "/" in name}
    trainer.test(classifier, datamodule=run.data, verbose=False)
    tested = {name: shortest_float(trainer.callback_metrics[name]) for name in ("test/loss", "test/acc")}
    tested |= measure_dead_units(trainer, classifier, run.data)
    if run.data.val_size:
        return tested
    if run.is_rank_zero:
        run.log.note_final(tested)
    return {name: value for name, value in rows[-1].items() if "/" in name}


def run_result(run: ImageRun, metrics: dict[str, float]) -> RunResult:
    """The result of a finished run, without its mistakes."""
    settings, rows, data = run.settings, run.log.rows, run.data
    diverged = diverged_at(run.trainer) is not None or not math.isfinite(metrics["test/loss"])
    epochs = tuple(row for row in rows if is_epoch(row))
    chance_threshold, image_spec = chance_accuracy(data.test.labels), data.files.image_spec
    constant = ConstantAnswer.to(data.train.labels, is_cross_entropy=settings["loss"] == "cross_entropy")
    collapsed = has_collapsed(epochs, metrics, chance_threshold, constant, len(image_spec.classes))
    result = RunResult(
        arch=settings["arch"],
        seed=settings["seed"],
        parameters=parameters_of(run.module),
        lr_scheduler=short_name(settings["lr_scheduler"]),
        epochs=epochs,
        evaluations=tuple(row for row in rows if not is_epoch(row)),
        final=metrics,
        ended_by=ended_by(run.trainer, int(rows[-1]["step"])),
        collapsed=diverged or collapsed,
        chance_threshold=chance_threshold,
        constant_answer=constant,
        images=Images(image_spec, train=len(data.train.labels), test=len(data.test.labels)),
        provenance=provenance_of(run),
        lr=run.module.hparams["lr"],
        batch_size=data.batch_size,
    )
    return replace(result, diagnosis=diagnose(run, result, diverged_at(run.trainer)))


def write_result(run: ImageRun, result: RunResult) -> RunResult:
    """Write the end of the run to TensorBoard and, even if that fails, ``mistakes.csv`` and ``summary.json``.

    Returns the result with its mistakes.
    """
    directory, classifier, test = run.directory, run.module, run.data.test
    evaluation = None
    try:
        trained = restore_network(directory.path, dict(classifier.hparams), classifier.state_dict())
        with suppress(NotFiniteError):
            evaluation = trained.evaluate(test)
        for logger in run.trainer.loggers:
            if isinstance(logger, RunTensorBoardLogger):
                write_to_tensorboard(run, logger, result, trained, evaluation)
            logger.finalize("success")
    finally:
        directory.mistakes.unlink(missing_ok=True)
        if evaluation:
            rows = mistakes_of(evaluation)
            write(directory.mistakes, as_csv(rows, MISTAKE))
            result = replace(result, mistakes=tuple(row["image"] for row in rows))
        directory.write_result(result)
    return result


def mistakes_of(evaluation: Evaluation) -> list[dict[str, int]]:
    """The rows of ``mistakes.csv``."""
    targets, predicted = evaluation.targets, evaluation.predicted
    wrong = (predicted != targets).nonzero().flatten()
    rows = torch.stack([wrong, targets[wrong], predicted[wrong]], dim=1).tolist()
    return [dict(zip(MISTAKE, row, strict=True)) for row in rows]


def write_to_tensorboard(
    run: ImageRun,
    logger: RunTensorBoardLogger,
    result: RunResult,
    trained: TrainedNetwork,
    evaluation: Evaluation | None,
) -> None:
    """Write the final values and, of finite logits, the figures."""
    final = {name: value for name, value in result.final.items() if not name.startswith(DEAD)}
    step = int(result.epochs[-1]["step"])
    logger.log_results(run.settings, final, step)
    if evaluation:
        write_evaluation(logger.experiment, run.directory, trained, run.data.test.images, evaluation, step)


def print_result(run: ImageRun, result: RunResult) -> None:
    """Print the result and the next commands."""
    accuracy = f"test accuracy {percent(result.score)}{mistakes_text(run, result.score)}"
    epochs = counted(len(result.epochs), "epoch")
    echo(f"\n{accuracy}, loss {loss_text(result.final['test/loss'])}, {epochs} in {result.seconds:.1f} s")
    if result.ended_by != EPOCHS:
        echo(f"ended by {result.ended_by}")
    has_diverged = diverged_at(run.trainer) is not None
    if not has_diverged and (shares := dead_units_in(result.final)):
        echo(f"dead units: {', '.join(f'{relu} {whole_percent(share)}' for relu, share in shares.items())}")
    if diagnosis := result.diagnosis:
        echo(diagnosis.sentence)
    if not run.resumable:
        echo("It kept no checkpoint, and cannot be resumed.")
    if diagnosis and diagnosis.options:
        again = ["--config", quote(as_shown(run.directory.config)), *diagnosis.options]
        echo_command([*command_words("fit"), *again], "try next      ")
    print_next_commands(run, has_checkpoint=run.resumable and not has_diverged)


def mistakes_text(run: ImageRun, accuracy: float) -> str:
    """How many test images the final network gets wrong, and of how many: the Trainer's limits may skip some.

    Empty if there was no last evaluation, as in a run that had ended before.
    """
    images, processes = len(run.data.test.labels), run.trainer.world_size
    evaluated = int(run.module.eval_metrics.count)  # by this process
    if evaluated < images // processes:
        images = evaluated * processes
    return f" ({round((1 - accuracy) * images):,} of {images:,} wrong)" if images else ""


def print_next_commands(run: ImageRun, has_checkpoint: bool) -> None:
    """Print the commands that show more of this run."""
    directory, settings = run.directory, run.settings
    if has_checkpoint:
        of_best = run.data.val_size and directory.best_checkpoint.is_file()
        checkpoint = as_shown(directory.best_checkpoint if of_best else directory.last_checkpoint)
        own = ["--arch", settings["arch"]] if "." in settings["arch"] else []
        data = [f"--data.{name}={settings['data'][name]}" for name in ("root", "source") if settings["data"].get(name)]
        echo_command([*command_words("evaluate"), *map(quote, [checkpoint, *own, *data])], "look closer   ")
        echo_command([*command_words("demo"), *map(quote, [checkpoint, *own])], "try it        ")
    print_curves_command(run)
