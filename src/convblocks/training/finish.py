"""The end of a run: its last metrics, its result, its files, and the lines printed last."""

from shlex import quote

import torch
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import EarlyStopping, StochasticWeightAveraging
from lightning.pytorch.callbacks.early_stopping import EarlyStoppingReason

from convblocks.console import echo_command
from convblocks.model.distributed import broadcast_state
from convblocks.runs.checkpoints import check_weights, read_any_checkpoint
from convblocks.runs.provenance import describe_machine, read_origin
from convblocks.runs.result import EPOCHS, Provenance
from convblocks.tables import as_shown
from convblocks.training.diagnostics import Divergence
from convblocks.training.resume import callbacks_of, is_out_of_time
from convblocks.training.run import Run


def load_best(run: Run) -> None:
    """Give the module the weights of the best evaluation, in all processes.

    The weights alone: with ckpt_path Lightning would also take the history back to the best epoch.
    """
    if run.is_rank_zero and (best := run.directory.best_checkpoint).is_file():
        checkpoint = read_any_checkpoint(best)
        check_weights(best, checkpoint, run.module.state_dict())
        run.module.load_state_dict(checkpoint["state_dict"])
    broadcast_state(run.module)  # without a --name the others may not know where it is


def save_averaged_weights(run: Run) -> bool:
    """Save the weights that StochasticWeightAveraging swaps in after the last checkpoint; whether it has done so.

    With batch normalisation it has not: there another epoch and its checkpoint follow.
    """
    trainer, module, changed = run.trainer, run.module, False
    for averaging in callbacks_of(trainer, StochasticWeightAveraging):
        if not averaging.pl_module_contains_batch_norm(module):
            averaging.on_train_end(trainer, module)  # again: a run killed just before lacks it
            changed = True
    if changed and run.resumable:
        trainer.save_checkpoint(run.directory.last_checkpoint)
    return changed


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


def diverged_at(trainer: Trainer) -> int | None:
    """The step after which the loss was no longer finite, if any."""
    steps: list[int | None] = [callback.step for callback in callbacks_of(trainer, Divergence)]
    return steps[0] if steps else None


def ended_by(trainer: Trainer, step: int) -> str:
    """Why a run ended at that step."""
    for callback in callbacks_of(trainer, Divergence):
        if callback.step is not None:
            return f"divergence: {callback.what} was not finite after step {callback.step}"
    if 0 < trainer.max_steps <= step:
        return f"max_steps={trainer.max_steps}"
    if is_out_of_time(trainer):
        return "its max_time"
    for callback in callbacks_of(trainer, EarlyStopping):
        if callback.stopping_reason != EarlyStoppingReason.NOT_STOPPED:
            return f"EarlyStopping: {callback.stopping_reason_message}"
    return "a callback" if trainer.should_stop else EPOCHS


def print_curves_command(run: Run) -> None:
    """Print the command that shows the curves."""
    if run.settings["trainer"].get("logger") is not False:
        echo_command(["tensorboard", "--logdir", quote(as_shown(run.directory.logs))], "see curves    ")
