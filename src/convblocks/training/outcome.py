"""What comes of a run: its last metrics, its summary, its pictures, and what is said at its end."""

import math
from contextlib import suppress
from itertools import takewhile
from shlex import quote
from typing import Any

import torch
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import EarlyStopping, StochasticWeightAveraging, Timer
from lightning.pytorch.callbacks.early_stopping import EarlyStoppingReason
from torch import Tensor

from convblocks.console import echo, echo_command
from convblocks.errors import NotFiniteError
from convblocks.evaluation.measures import Evaluation
from convblocks.evaluation.trained import TrainedNetwork, restore_network
from convblocks.model.distributed import broadcast_state
from convblocks.model.summary import parameters_of
from convblocks.runs.checkpoints import check_weights, read_checkpoint
from convblocks.runs.directory import DEAD, Mistake, is_epoch
from convblocks.runs.machine import describe_machine
from convblocks.runs.manifest import read_manifest
from convblocks.runs.summaries import EPOCHS
from convblocks.tables import as_shown, percent
from convblocks.training.dead_units import dead_units_in, in_whole_percent, measure_dead_units
from convblocks.training.divergence import Divergence
from convblocks.training.metrics_log import loss_text, shortest_float
from convblocks.training.parts import Training
from convblocks.training.resume import callbacks_of, is_out_of_time
from convblocks.training.tensorboard import RunTensorBoardLogger

# How far a network must get from giving every image the same answer to all right ones, not to have collapsed.
LEAST_LEARNED = 0.04


def final_metrics(training: Training) -> dict[str, float]:
    """The metrics that the run is known by.

    With a validation split they are those of the weights of the best evaluation on the test set. Without one they are
    the last row's; where the Trainer did not evaluate these very weights, it is made up for.
    """
    classifier, trainer = training.classifier, training.trainer
    recover_from_spawned_processes(training)
    rows = training.log.rows
    changed = keep_changed_weights(training)
    if training.data.val_size:
        # The weights alone: with ckpt_path Lightning would also take the history back to the best epoch.
        if training.is_rank_zero and (best := training.directory.best_checkpoint).is_file():
            checkpoint = read_checkpoint(best)
            check_weights(best, checkpoint, classifier.state_dict())
            classifier.load_state_dict(checkpoint["state_dict"])
        broadcast_state(classifier)  # without a --name the others may not know where it is
    elif "test/acc" in rows[-1] and not changed:
        return {name: value for name, value in rows[-1].items() if "/" in name}
    trainer.test(classifier, datamodule=training.data, verbose=False)
    tested = {name: shortest_float(trainer.callback_metrics[name]) for name in ("test/loss", "test/acc")}
    tested |= measure_dead_units(trainer, classifier, training.data)
    if training.data.val_size:
        return tested
    if training.is_rank_zero:
        training.log.note_final(tested)
    return {name: value for name, value in rows[-1].items() if "/" in name}


def recover_from_spawned_processes(training: Training) -> None:
    """Take back what the callbacks know: of --trainer.strategy ddp_spawn only the weights come back by themselves."""
    if training.log.rows:
        return
    training.log.rows = training.directory.read_metrics()
    if training.resumable:
        states = read_checkpoint(training.directory.last_checkpoint)["callbacks"]
        for callback in callbacks_of(training.trainer, Divergence, EarlyStopping, Timer):
            callback.load_state_dict(states.get(callback.state_key, callback.state_dict()))


def keep_changed_weights(training: Training) -> bool:
    """Keep the average that StochasticWeightAveraging has put in place after the last checkpoint; whether there is one.

    With batch normalisation there is none: an epoch and its checkpoint have followed.
    """
    trainer, classifier, changed = training.trainer, training.classifier, False
    for averaging in callbacks_of(trainer, StochasticWeightAveraging):
        if not averaging.pl_module_contains_batch_norm(classifier):
            averaging.on_train_end(trainer, classifier)  # again: a run that was killed right before lacks it
            changed = True
    if changed and training.resumable:
        trainer.save_checkpoint(training.directory.last_checkpoint)
    return changed


def summary(training: Training, metrics: dict[str, float]) -> dict[str, Any]:
    """The run in one dictionary; it has collapsed if it diverged, or ended with an accuracy not worth the name."""
    settings, rows = training.settings, training.log.rows
    diverged = diverged_at(training.trainer) is not None or not math.isfinite(metrics["test/loss"])
    chance_threshold = chance_accuracy(training.data.test.labels)
    collapsed = diverged or metrics["test/acc"] <= chance_threshold
    return {
        "arch": settings["arch"],
        "parameters": parameters_of(training.classifier),
        "seed": settings["seed"],
        "epochs": [row for row in rows if is_epoch(row)],
        "evaluations": [row for row in rows if not is_epoch(row)],
        "ended_by": ended_by(training.trainer, int(rows[-1]["step"])),
        "final": metrics,
        "lr": training.classifier.hparams["lr"],  # a callback may have chosen these two
        "batch_size": training.data.batch_size,
        "collapsed": collapsed,
        "collapsed_in": epoch_of_collapse(training) if collapsed else None,
        "chance_threshold": chance_threshold,
        "seconds": round(sum(row["seconds"] for row in rows), 3),
        "device": str(training.trainer.strategy.root_device),
        "processes": training.trainer.world_size,
        "threads": torch.get_num_threads(),
        "data": {
            "train_images": len(training.data.train.labels),
            "test_images": len(training.data.test.labels),
            "image_spec": training.data.files.image_spec.as_dict(),
        },
        "machine": describe_machine(),
        "manifest": read_manifest(training.directory.manifest),
        "settings": settings,
    }


def epoch_of_collapse(training: Training) -> int:
    """From which epoch on no evaluation was worth the name; of a run that ended before one, its last epoch."""
    rows, accuracy = training.log.rows, f"{training.data.evaluation_split}/acc"
    chance_threshold = chance_accuracy(training.data.val.labels)
    evaluated = [row for row in rows if accuracy in row]
    since = list(takewhile(lambda row: row[accuracy] <= chance_threshold, reversed(evaluated)))
    return int(since[-1]["epoch"] if since else rows[-1]["epoch"])


def chance_accuracy(labels: Tensor) -> float:
    """What a network that learned anything reaches on images of these classes (N,): 0.149 on MNIST's test images."""
    same_answer = float(labels.bincount().max() / len(labels))
    return same_answer + LEAST_LEARNED * (1 - same_answer)


def diverged_at(trainer: Trainer) -> int | None:
    """The step after which the loss was no longer finite, if there was one."""
    steps: list[int | None] = [callback.step for callback in callbacks_of(trainer, Divergence)]
    return steps[0] if steps else None


def ended_by(trainer: Trainer, step: int) -> str:
    """Why a run has ended at that step."""
    if (lost := diverged_at(trainer)) is not None:
        return f"divergence: the loss was not finite after step {lost}"
    if 0 < trainer.max_steps <= step:
        return f"max_steps={trainer.max_steps}"
    if is_out_of_time(trainer):
        return "its max_time"
    for callback in callbacks_of(trainer, EarlyStopping):
        if callback.stopping_reason != EarlyStoppingReason.NOT_STOPPED:
            return f"EarlyStopping: {callback.stopping_reason_message}"
    return "a callback" if trainer.should_stop else EPOCHS


def record(training: Training, result: dict[str, Any]) -> None:
    """Write the results: TensorBoard's pictures and HParams tab and, whatever they do, the mistakes and the summary."""
    directory, classifier, test = training.directory, training.classifier, training.data.test
    evaluation = None
    try:
        trained = restore_network(directory.path, dict(classifier.hparams), classifier.state_dict())
        with suppress(NotFiniteError):  # of such answers there is nothing to tell
            evaluation = Evaluation(trained.logits(test.images), test.labels, trained.image_spec.classes)
        for logger in training.trainer.loggers:
            if isinstance(logger, RunTensorBoardLogger):
                write_to_tensorboard(training, logger, result, trained, evaluation)
            logger.finalize("success")
    finally:
        directory.write_mistakes(mistakes_in(evaluation) if evaluation else None)
        directory.write_summary(result)


def mistakes_in(evaluation: Evaluation) -> list[Mistake]:
    labels, predicted = evaluation.targets, evaluation.predicted
    wrong = (predicted != labels).nonzero().flatten()
    return [Mistake(*row) for row in torch.stack([wrong, labels[wrong], predicted[wrong]], dim=1).tolist()]


def write_to_tensorboard(
    training: Training,
    board: RunTensorBoardLogger,
    result: dict[str, Any],
    trained: TrainedNetwork,
    evaluation: Evaluation | None,
) -> None:
    """Write what is known only at the end; without an evaluation no pictures."""
    # Matplotlib comes with it, which takes its time and which only finished runs need.
    from convblocks.evaluation.tensorboard import write_portrait

    final = {name: value for name, value in result["final"].items() if not name.startswith(DEAD)}
    step = int(result["epochs"][-1]["step"])
    board.log_results(training.settings, final, step)
    if evaluation:
        write_portrait(board.experiment, training.directory, trained, training.data.test.images, evaluation, step)


def conclude(training: Training, result: dict[str, Any]) -> None:
    """Print the result and what to do next."""
    final, count = result["final"], len(result["epochs"])
    accuracy = f"test accuracy {percent(final['test/acc'])}{how_many_wrong(training, final['test/acc'])}"
    epochs = "1 epoch" if count == 1 else f"{count} epochs"
    echo(f"\n{accuracy}, loss {loss_text(final['test/loss'])}, {epochs} in {result['seconds']:.1f} s")
    if result["ended_by"] != EPOCHS:
        echo(f"ended by {result['ended_by']}")
    has_diverged = diverged_at(training.trainer) is not None
    if has_diverged:
        echo("This run diverged, and its last weights are of no use: try a lower --lr, or more precision.")
    else:
        print_dead_units(result)
    if not training.resumable:
        echo("It kept no checkpoint, and cannot be resumed.")
    tell_what_is_next(training, answers=training.resumable and not has_diverged)


def how_many_wrong(training: Training, accuracy: float) -> str:
    """How many test images the final network gets wrong, and of how many: the Trainer's limits may have left some out.

    Empty where there was no last evaluation, as in a run that had ended before.
    """
    images, processes = len(training.data.test.labels), training.trainer.world_size
    counted = int(training.classifier.eval_metrics.count)  # by this process
    if counted < images // processes:
        images = counted * processes
    return f" ({round((1 - accuracy) * images):,} of {images:,} wrong)" if images else ""


def print_dead_units(result: dict[str, Any]) -> None:
    """Print how many units are silent and, of a run that collapsed, where all of them are."""
    silence = dead_units_in(result["final"])
    if silence:
        echo(f"silent units: {', '.join(f'{relu} {in_whole_percent(share)}' for relu, share in silence.items())}")
    if result["collapsed"]:
        below = in_whole_percent(result["chance_threshold"])
        dead = " and ".join(relu for relu, share in silence.items() if share == 1)
        echo(
            f"This run collapsed in epoch {result['collapsed_in']}: from then on its accuracy is at most {below}. "
            f"{f'All units of {dead} are silent; another' if dead else 'Another'} --seed or a lower --lr helps."
        )


def tell_what_is_next(training: Training, answers: bool) -> None:
    """Print the commands that show more of this run; ``answers`` if there is a checkpoint that can be asked."""
    directory, settings = training.directory, training.settings
    if answers:
        of_best = training.data.val_size and directory.best_checkpoint.is_file()
        checkpoint = as_shown(directory.best_checkpoint if of_best else directory.last_checkpoint)
        own = ["--arch", settings["arch"]] if "." in settings["arch"] else []
        data = [f"--data.{name}={settings['data'][name]}" for name in ("root", "source") if settings["data"].get(name)]
        echo_command(["python", "scripts/evaluate.py", *map(quote, [checkpoint, *own, *data])], "look closer   ")
        echo_command(["python", "scripts/demo.py", *map(quote, [checkpoint, *own])], "try it        ")
    if settings["trainer"].get("logger") is not False:
        echo_command(["tensorboard", "--logdir", quote(as_shown(directory.logs))], "see curves    ")
