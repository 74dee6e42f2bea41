"""One training of a check, in a process of its own: ``python -m convblocks.check.part ROOT/NAME OPTION...``.

What the training writes stays in its folder, at last a record of its states for each of its processes. ``ROOT/whole``
is the folder of the training that goes on; ``ROOT/within``, ``end`` and ``later`` are copies of it, from when its
checkpoint was new there, in which a training resumes.
"""

import atexit
import sys
from contextlib import suppress
from pathlib import Path

from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import Checkpoint
from lightning.pytorch.loggers.logger import DummyLogger

from convblocks.check.state import STEPS, Ended, Recorder
from convblocks.console import end, status_of
from convblocks.model.distributed import end_process_group
from convblocks.run import signals, slurm
from convblocks.run.config import Config
from convblocks.run.quiet import quiet_further_processes, quiet_lightning
from convblocks.run.resume import callbacks_of
from convblocks.run.run import Run


def main(arguments: list[str]) -> None:
    """Train in a folder with options of fit, or resume what has begun there."""
    folder, options = Path(arguments[0]), [*arguments[1:], "--name", "run", "--resume"]
    quiet_lightning()
    signals.end_together(is_further=True)  # with the check, whose part this is
    if slurm.is_further_process():
        quiet_further_processes()
    run = Run(Config.parse([*options, "--trainer.default_root_dir", str(folder)]))
    run.prepare()
    if run.is_rank_zero:
        run.directory.create()
    for number, callback in enumerate(callbacks_of(run.trainer, Checkpoint)):  # all write into the folder
        path = getattr(callback, "dirpath", "")
        if not Path(path or "").resolve().is_relative_to(folder.resolve()):
            callback.dirpath = str(folder / f"own_{number}")
    run.trainer.callbacks.insert(0, Recorder(folder))  # type: ignore[attr-defined]  # Lightning sets it at run time
    shorten(run.trainer)
    atexit.register(end_process_group)
    run.start()
    run.trainer.loggers = [DummyLogger()]  # some callbacks want one
    with suppress(Ended):
        run.train()


def shorten(trainer: Trainer) -> None:
    """Let epochs and evaluations have a few batches."""
    most = 2 * STEPS * trainer.accumulate_grad_batches
    for limit in ("limit_train_batches", "limit_val_batches"):
        batches = getattr(trainer, limit)
        setattr(trainer, limit, min(batches, most) if isinstance(batches, int) or not batches else most)
    interval = getattr(trainer, "val_check_interval", 1.0)  # there is none where it is a time
    if isinstance(interval, int):
        trainer.val_check_interval = min(interval, most // 2)
    elif interval < 1:
        trainer.val_check_interval = 0.5


if __name__ == "__main__":
    end(status_of(main, sys.argv[1:]))
