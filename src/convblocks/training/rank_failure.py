"""Finds out which of several processes was lost, and lets one of those that are left say so."""

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

from lightning.pytorch import Callback, LightningModule, Trainer
from torch import distributed
from torch.distributed import PrefixStore, TCPStore  # type: ignore[attr-defined]  # public, but not in torch's types

from convblocks.console import print_error
from convblocks.errors import Stopped, UserError
from convblocks.training import slurm

# One after the other in the same processes, each with names of its own in their store.
RUNS = itertools.count()

LOOK_SECONDS = 0.5  # between two looks whether the roll is called
ANSWER_SECONDS = 3.0  # within which a process answers that is still there
LEAVE_SECONDS = 4.0  # after an answer, for a process to find out by itself that the run has failed


class RankFailureMonitor(Callback):
    """Answers when a process asks who is still there, and asks when a collective has failed.

    The processes meet in the store through which they have found each other, with connections of their own. A thread
    of each answers, whatever the others are doing. Where a process is lost, what is left of the run ends: the others'
    collectives fail, as gloo's do at once, and a process that is in none, or in one that does not fail, as NCCL's may,
    is ended by its thread. A warning that several have is shown once.

    What is wrong is said by the process that first takes a file away, since the store may be gone.

    Args:
        folder: Where that file lies; the first process's counts.
        what_to_do: What to tell the user, beside what was lost.
    """

    def __init__(self, folder: Path, what_to_do: str) -> None:
        self.unsaid = folder.resolve() / ".unsaid"
        self.what_to_do = what_to_do
        self.called = False  # whether all have met
        self._lost: list[int] | None = None  # known once this process's own end is
        self._says = False

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if self.called:
            return
        self._trainer, self._left = trainer, threading.Event()
        self._rank, self._ranks = trainer.global_rank, range(trainer.world_size)
        attempt = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")  # torchrun's store outlives its processes
        place = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])  # Lightning sets both, whoever has started us
        connection = TCPStore(*place, is_master=False, use_libuv=os.environ.get("USE_LIBUV", "1") == "1")  # as torch
        self._store = PrefixStore(f"roll_call/{attempt}/{next(RUNS)}", connection)
        if self._rank == 0:
            self.unsaid.touch()
            self._store.set("unsaid", os.fsencode(self.unsaid).hex())
        # Of the first process: others may take another version for the next free.
        self.unsaid = Path(os.fsdecode(bytes.fromhex(self._store.get("unsaid").decode())))
        self._store.set(f"host/{self._rank}", slurm.host())
        self._hosts = [self._store.get(f"host/{rank}").decode() for rank in self._ranks]
        self._started = _take_over(trainer)
        self.called = True
        self._shows, warnings.showwarning = warnings.showwarning, self._show_once
        self._thread = threading.Thread(target=self._answer, daemon=True, name="roll call")
        self._thread.start()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        self._judge(exception)  # before Lightning and its loggers clear up, or others could take this process for lost

    @contextmanager
    def rank_zero_errors(self, first: bool) -> Iterator[None]:
        """Let one process say what ends the run, and which process was lost if that is what does.

        Args:
            first: Whether this is the process that speaks before all have met.

        Raises:
            UserError: a process was lost; without a message in all processes but one.
        """
        try:
            yield
        except Stopped:
            raise
        except Exception as error:
            if self.called:
                self._judge(error)
            elif first or not isinstance(error, UserError):
                raise
            if self._lost:
                raise UserError(self._verdict(self._lost) if self._says else "") from error
            if not self._says:
                raise type(error) if isinstance(error, UserError) else UserError from error
            raise
        finally:
            if self.called:
                self._leave()
            elif first:  # it has met nobody, but a process that it has spawned may have been the first there
                self._remove_unsaid()

    def _leave(self) -> None:
        """Answer no longer."""
        self._left.set()
        self._thread.join(ANSWER_SECONDS)  # one that is in torch's code when Python ends would abort the process
        warnings.showwarning = self._shows
        if self._rank == 0:
            self._remove_unsaid()

    def _remove_unsaid(self) -> None:
        with suppress(OSError):
            self.unsaid.unlink(missing_ok=True)

    def _show_once(
        self, message: Warning | str, category: type[Warning], filename: str, lineno: int, *where: Any, **more: Any
    ) -> None:
        """Show a warning if no other process has."""
        text = warnings.formatwarning(message, category, filename, lineno)
        with suppress(RuntimeError):
            if self._store.add(f"shown/{text}", 1) > 1:
                return
        sys.stderr.write(text)

    def _judge(self, error: BaseException) -> None:
        """Find out, once, who is to blame for what ends this process, and who says so."""
        if self._lost is not None or not self.called:
            return
        self._left.set()
        self._lost = []
        if isinstance(error, Stopped) or not isinstance(error, Exception):  # each process for itself
            return
        if of_a_collective(error) and self.unsaid.exists():
            self._lost = self._missing(ANSWER_SECONDS)
        self._says = self._may_speak()

    def _missing(self, seconds: float) -> list[int]:
        """Call the roll; returns who has not answered by then."""
        deadline = time.monotonic() + seconds
        try:
            self._store.set("called", "")
            self._store.set(f"here/{self._rank}", "")
            while missing := [rank for rank in self._ranks if not self._store.check([f"here/{rank}"])]:
                if time.monotonic() > deadline:
                    break
                time.sleep(LOOK_SECONDS / 5)
            return missing
        except RuntimeError:  # the first process keeps the store; under torchrun, who has started the first process
            return [0]

    def _may_speak(self) -> bool:
        """Whether this process is the first to speak."""
        try:
            self.unsaid.unlink()
        except FileNotFoundError:
            return self._rank == 0 and not self.unsaid.parent.is_dir()  # who writes there says that all of it is gone
        except OSError:
            return True
        return True

    def _verdict(self, lost: list[int]) -> str:
        names = " and ".join(f"process {rank} on {self._hosts[rank]}" for rank in lost)
        was = "was" if len(lost) == 1 else "were"
        return f"{names} {was} lost after step {self._trainer.global_step}: {self.what_to_do}"

    def _answer(self) -> None:
        """Wait until the roll is called, answer, and end this process if it does not find out by itself."""
        while not self._is_called():
            if self._left.wait(LOOK_SECONDS):
                return
        with suppress(RuntimeError):
            self._store.set(f"here/{self._rank}", "")
        if self._left.wait(LEAVE_SECONDS) or not (lost := self._missing(0)):
            return
        if self._may_speak():
            print_error(self._verdict(lost))
        os._exit(UserError.exit_status)

    def _is_called(self) -> bool:
        if any(process.poll() for process in self._started):
            return True
        try:
            return self._store.check(["called"])
        except RuntimeError:
            return True


def of_a_collective(error: Exception) -> bool:
    """Whether an error is what a process finds when it cannot reach another."""
    return isinstance(error, distributed.DistError) or "/gloo/" in str(error)  # gloo's have no class of their own


def _take_over(trainer: Trainer) -> list[Popen[bytes]]:
    """The processes that Lightning has started from this one, which its launcher no longer watches.

    It looks every five seconds, and where one has failed it kills the others before they could say what happened.
    """
    launcher = trainer.strategy.launcher
    watched: list[Popen[bytes]] = getattr(launcher, "procs", [])
    started = list(watched)
    if started:
        launcher.procs = started  # type: ignore[union-attr]  # which it kills on Ctrl-C
        watched.clear()
    return started
