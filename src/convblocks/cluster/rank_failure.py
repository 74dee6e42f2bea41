"""Finds out which of several processes was lost, and reports it once."""

import itertools
import os
import sys
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from subprocess import Popen
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from torch import distributed
from torch.distributed import PrefixStore, TCPStore  # type: ignore[attr-defined]  # public, but not in torch's types

from convblocks.cluster.layout import host
from convblocks.console import print_error
from convblocks.errors import Stopped, UserError
from convblocks.run.callbacks import RunCallback
from convblocks.run.run import Run

# The runs of these processes, one after another, have different prefixes in the store.
RUNS = itertools.count()

POLL_SECONDS = 0.5  # between two checks whether a roll call has started
ANSWER_SECONDS = 3.0  # for a process that is alive to answer
LEAVE_SECONDS = 4.0  # after its answer, for a process to notice by itself that the run has failed


class RankFailureMonitor(RunCallback):
    """Calls the roll when a collective has failed, and answers the roll calls of other processes.

    The processes communicate through the store by which they found each other, each with its own connection. A thread
    in each process answers, whatever the main thread is doing. If a process is lost, the rest of the run ends: the
    collectives of the others fail, with gloo at once; a process that is in no collective, or in one that hangs, as
    NCCL's may, is ended by its thread. A warning that several processes have is shown once.

    The failure is reported by the process that is first to delete a file, since the store may be gone.

    Args:
        folder: The folder of that file; only that of rank 0 is used.
        resume_hint: The advice to print with the lost processes.
    """

    def __init__(self, folder: Path, resume_hint: str) -> None:
        self.unreported = folder.resolve() / ".unreported"
        self.resume_hint = resume_hint
        self.connected = False
        self._lost: list[int] | None = None  # set once this process fails
        self._reports = False

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if self.connected or trainer.world_size == 1:
            return
        self._trainer, self._left = trainer, threading.Event()
        self._rank, self._ranks = trainer.global_rank, range(trainer.world_size)
        attempt = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")  # torchrun's store outlives its processes
        address = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])  # set by Lightning for every launcher
        connection = TCPStore(*address, is_master=False, use_libuv=os.environ.get("USE_LIBUV", "1") == "1")  # as torch
        self._store = PrefixStore(f"roll_call/{attempt}/{next(RUNS)}", connection)
        if self._rank == 0:
            self.unreported.touch()
            self._store.set("unreported", os.fsencode(self.unreported).hex())
        # The path of rank 0: others may have taken another version to be the next free one.
        self.unreported = Path(os.fsdecode(bytes.fromhex(self._store.get("unreported").decode())))
        self._store.set(f"host/{self._rank}", host())
        self._hosts = [self._store.get(f"host/{rank}").decode() for rank in self._ranks]
        self._started = _take_over(trainer)
        self.connected = True
        self._shows, warnings.showwarning = warnings.showwarning, self._show_once
        self._thread = threading.Thread(target=self._answer, daemon=True, name="roll call")
        self._thread.start()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        self._diagnose(exception)  # before the teardown of Lightning and its loggers: others might count this as lost

    @contextmanager
    def around(self, run: Run) -> Iterator[None]:
        """Let one process report the error that ends the run, or the processes that were lost.

        Raises:
            UserError: a process was lost; without a message in all processes but one.
        """
        try:
            yield
        except Stopped:
            raise
        except Exception as error:
            if self.connected:
                self._diagnose(error)
            elif run.is_rank_zero or not isinstance(error, UserError):
                raise
            if self._lost:
                raise UserError(self._message(self._lost) if self._reports else "") from error
            if not self._reports:
                raise type(error) if isinstance(error, UserError) else UserError from error
            raise
        finally:
            if self.connected:
                self._leave()

    def _leave(self) -> None:
        """Stop answering."""
        self._left.set()
        self._thread.join(ANSWER_SECONDS)  # a thread that is in torch's code when Python ends would abort the process
        warnings.showwarning = self._shows
        if self._rank == 0:
            with suppress(OSError):
                self.unreported.unlink(missing_ok=True)

    def _show_once(
        self, message: Warning | str, category: type[Warning], filename: str, lineno: int, *where: Any, **more: Any
    ) -> None:
        """Show a warning unless another process has."""
        text = warnings.formatwarning(message, category, filename, lineno)
        with suppress(RuntimeError):
            if self._store.add(f"shown/{text}", 1) > 1:
                return
        sys.stderr.write(text)

    def _diagnose(self, error: BaseException) -> None:
        """Find out, once, which processes were lost, and whether this one reports it."""
        if self._lost is not None or not self.connected:
            return
        self._left.set()
        self._lost = []
        if isinstance(error, Stopped) or not isinstance(error, Exception):  # signals and Ctrl-C reach every process
            return
        if is_collective_error(error) and self.unreported.exists():
            self._lost = self._missing(ANSWER_SECONDS)
        self._reports = self._is_first_to_report()

    def _missing(self, seconds: float) -> list[int]:
        """Call the roll, and return the ranks that have not answered in time."""
        deadline = time.monotonic() + seconds
        try:
            self._store.set("called", "")
            self._store.set(f"here/{self._rank}", "")
            while missing := [rank for rank in self._ranks if not self._store.check([f"here/{rank}"])]:
                if time.monotonic() > deadline:
                    break
                time.sleep(POLL_SECONDS / 5)
            return missing
        except RuntimeError:  # the store is held by rank 0, or by the torchrun that has started rank 0
            return [0]

    def _is_first_to_report(self) -> bool:
        try:
            self.unreported.unlink()
        except FileNotFoundError:
            return self._rank == 0 and not self.unreported.parent.is_dir()  # rank 0 reports that the folder is gone
        except OSError:
            return True
        return True

    def _message(self, lost: list[int]) -> str:
        names = " and ".join(f"process {rank} on {self._hosts[rank]}" for rank in lost)
        was = "was" if len(lost) == 1 else "were"
        return f"{names} {was} lost after step {self._trainer.global_step}: {self.resume_hint}"

    def _answer(self) -> None:
        """Wait for a roll call, answer it, and end this process if it does not notice the failure by itself."""
        while not self._is_called():
            if self._left.wait(POLL_SECONDS):
                return
        with suppress(RuntimeError):
            self._store.set(f"here/{self._rank}", "")
        if self._left.wait(LEAVE_SECONDS) or not (lost := self._missing(0)):
            return
        if self._is_first_to_report():
            print_error(self._message(lost))
        os._exit(UserError.exit_status)

    def _is_called(self) -> bool:
        if any(process.poll() for process in self._started):
            return True
        try:
            return self._store.check(["called"])
        except RuntimeError:
            return True


def is_collective_error(error: Exception) -> bool:
    """Whether a process raises this error when it cannot reach another."""
    return isinstance(error, distributed.DistError) or "/gloo/" in str(error)  # gloo has no class for its errors


def _take_over(trainer: Trainer) -> list[Popen[bytes]]:
    """Take the processes that Lightning has started from this one away from its launcher's watch.

    Every five seconds the launcher checks whether one has failed, and kills the others before they can report it.
    """
    launcher = trainer.strategy.launcher
    watched: list[Popen[bytes]] = getattr(launcher, "procs", [])
    started = list(watched)
    if started:
        launcher.procs = started  # type: ignore[union-attr]  # it kills these on Ctrl-C
        watched.clear()
    return started
