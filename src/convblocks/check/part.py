"""One training of a check, in a process of its own: ``python -m convblocks.check.part ROOT/LENGTH/NAME``.

``ROOT/make`` has where modules are found, and the function that makes the training. What the training writes stays in
its folder, at last a record of its states for each of its processes. ``ROOT/LENGTH/within``, ``end`` and ``later`` are
copies of the whole training's folder, from when its checkpoint was new there.
"""

import atexit
import pickle
import sys
from contextlib import suppress
from pathlib import Path

from lightning.pytorch import Trainer

from convblocks.check.recorder import SHORT, STEPS, Ended, Recorder
from convblocks.console import end, status_of
from convblocks.model.distributed import end_process_group
from convblocks.run import signals, slurm
from convblocks.run.quiet import quiet_further_processes, quiet_lightning


def main(arguments: list[str]) -> None:
    """Run the part."""
    folder = Path(arguments[0])
    quiet_lightning()
    signals.end_together(is_further=True)  # with the check, whose part this is
    if slurm.is_further_process():
        quiet_further_processes()
    with (folder.parents[1] / "make").open("rb") as file:
        sys.path[:] = pickle.load(file)
        trainer, fit = pickle.load(file)(folder)
    trainer.callbacks.insert(0, Recorder(folder))
    if folder.parent.name == SHORT:
        shorten(trainer)
    atexit.register(end_process_group)
    with suppress(Ended):
        fit()


def shorten(trainer: Trainer) -> None:
    """Let epochs and evaluations have a few batches."""
    most = STEPS * trainer.accumulate_grad_batches
    for limit in ("limit_train_batches", "limit_val_batches"):
        given = getattr(trainer, limit)
        setattr(trainer, limit, min(given, most) if isinstance(given, int) or not given else most)
    given = getattr(trainer, "val_check_interval", 1.0)  # there is none where it is a time
    if isinstance(given, int):
        trainer.val_check_interval = min(given, most)
    elif given < 1:
        trainer.val_check_interval = 0.5


if __name__ == "__main__":
    end(status_of(main, sys.argv[1:]))
