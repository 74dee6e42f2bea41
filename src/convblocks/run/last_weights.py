"""The weights with which a run ends: those of the best evaluation, or an average."""

from pathlib import Path

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import StochasticWeightAveraging

from convblocks.model.checkpoints import check_weights, read_checkpoint
from convblocks.model.distributed import broadcast_state
from convblocks.run.resume import callbacks_of


def load_best(module: LightningModule, best: Path, is_rank_zero: bool) -> None:
    """Give a module the weights of the best evaluation, in all processes.

    The weights alone: with ckpt_path Lightning would also take the history back to the best epoch.
    """
    if is_rank_zero and best.is_file():
        checkpoint = read_checkpoint(best)
        check_weights(best, checkpoint, module.state_dict())
        module.load_state_dict(checkpoint["state_dict"])
    broadcast_state(module)  # without a --name the others may not know where it is


def save_averaged_weights(trainer: Trainer, module: LightningModule, last: Path, is_kept: bool) -> bool:
    """Put in place the average of StochasticWeightAveraging, which it makes after the last checkpoint.

    With batch normalisation there is nothing to do: another epoch and its checkpoint follow.

    Args:
        trainer: After its last epoch.
        module: What it has trained.
        last: The last checkpoint.
        is_kept: Whether to write it again.

    Returns:
        Whether there was an average.
    """
    changed = False
    for averaging in callbacks_of(trainer, StochasticWeightAveraging):
        if not averaging.pl_module_contains_batch_norm(module):
            averaging.on_train_end(trainer, module)  # again: a run killed just before lacks it
            changed = True
    if changed and is_kept:
        trainer.save_checkpoint(last)
    return changed
