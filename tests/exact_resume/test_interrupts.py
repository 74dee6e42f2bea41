"""Ctrl-C: the first one saves, a second one ends the training at once, and it works as
before where nothing trains.
"""

import os
import pty
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from threading import Timer
from typing import Any

import pytest

from exact_resume import Stopped, signals
from tests.any_task.kinds import Plain
from tests.any_task.stop import Signal, forget_signal
from tests.exact_resume.subjects import plain
from tests.forked_python import python_path
from tests.scripts import is_alive, wait_until

pytestmark = [
    pytest.mark.filterwarnings("ignore:'set_vital' is deprecated"),  # by torchdata
    pytest.mark.filterwarnings("ignore:Checkpoint directory .* exists and is not empty"),
]

INT, TERM = signal.SIGINT, signal.SIGTERM
USR1, HUP = signal.SIGUSR1, signal.SIGHUP

# Trains with worker processes that live as long as it does; its argument is how long a
# batch takes, in seconds.
SCRIPT = """
import sys, time

from lightning import Callback, Trainer, seed_everything

from exact_resume import ExactResume
from tests.any_task.kinds import Kind, Plain


class Slow(Callback):
    def on_train_batch_end(self, *_):
        print("batch", flush=True)
        time.sleep(float(sys.argv[1]))


if __name__ == "__main__":
    seed_everything(0, verbose=False)
    resume = ExactResume("run/state.pt")
    quiet = {"enable_progress_bar": False, "enable_model_summary": False, "logger": False}
    trainer = Trainer(max_epochs=3, callbacks=[Slow(), resume], accelerator="cpu", **quiet)
    trainer.fit(Plain(), datamodule=Kind("persistent workers"), ckpt_path=resume.ckpt_path)
"""

CELLS = (
    """
import os, signal
from lightning import Callback, Trainer
from exact_resume import ExactResume
from tests.any_task.kinds import Kind, Plain

class Interrupt(Callback):
    def on_train_batch_end(self, trainer, *_):
        if trainer.global_step == 3:
            os.kill(os.getpid(), signal.SIGINT)

resume = ExactResume("run/last.ckpt")
trainer = Trainer(max_epochs=1, callbacks=[Interrupt(), resume], accelerator="cpu", logger=False)
""",
    "trainer.fit(Plain(), datamodule=Kind(), ckpt_path=resume.ckpt_path)",
    "print(trainer.global_step, signal.getsignal(signal.SIGINT) is signal.default_int_handler)",
)


@pytest.fixture(autouse=True)
def as_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """In a folder of its own, with the handlers of a new process; whoever runs the tests
    may ignore SIGHUP.
    """
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", python_path())
    before = {number: signal.getsignal(number) for number in (INT, TERM, USR1, HUP)}
    signals.handle({INT: signal.default_int_handler, HUP: signal.SIG_DFL})
    yield
    signals.raise_interrupts()
    signals.handle(before)
    forget_signal()


class Group:
    """The script in a process group of its own, as a shell would start it."""

    def __init__(self, seconds: float) -> None:
        Path("script.py").write_text(SCRIPT)
        with Path("errors").open("w") as errors:
            self.process = subprocess.Popen(
                [sys.executable, "script.py", str(seconds)],
                stdout=subprocess.PIPE,
                stderr=errors,
                start_new_session=True,
            )
        assert self.process.stdout
        assert self.process.stdout.readline() == b"batch\n"

    def interrupt(self) -> None:
        """As a terminal does: all processes of the group."""
        os.killpg(self.process.pid, INT)

    def end(self) -> tuple[int, list[str]]:
        """The exit status and the lines of errors, once no process is left."""
        self.process.communicate(timeout=60)
        wait_until(lambda: not is_alive(self.process.pid), seconds=20)
        return self.process.returncode, Path("errors").read_text().splitlines()


def test_ctrl_c_is_again_what_it_was_once_a_training_was_stopped() -> None:
    with pytest.raises(Stopped):
        plain(Plain).train("run", [Signal(3, INT)])
    assert signals.received() == 0
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(INT)


def test_ctrl_c_of_the_program_around_a_training_stays_its_own() -> None:
    heard = []
    signal.signal(INT, lambda *_: heard.append("own"))
    plain(Plain).train("run", [Signal(3, INT)])
    assert heard == ["own"]


def test_workers_that_were_forked_leave_ctrl_c_to_the_training() -> None:
    signals.note_interrupts()
    if (worker := os.fork()) == 0:
        signal.raise_signal(INT)
        os._exit(signals.received())
    assert os.waitpid(worker, 0)[1] == 0


def test_process_that_another_one_started_leaves_ctrl_c_to_it_until_it_trains() -> None:
    signals.leave_interrupts()
    signal.raise_signal(INT)
    assert signals.received() == 0
    signals.note_interrupts()
    signal.raise_signal(INT)
    assert signals.received() == INT


def test_key_that_is_pressed_twice_by_a_slip_is_one_ctrl_c() -> None:
    signals.note_interrupts()
    Timer(signals.TWICE / 3, signal.raise_signal, [INT]).start()
    signal.raise_signal(INT)
    assert signals.received() == INT
    assert signal.getsignal(INT) == signal.SIG_DFL


def test_program_that_nohup_protects_outlives_its_terminal() -> None:
    signal.signal(HUP, signal.SIG_IGN)
    signals.install()
    signal.raise_signal(HUP)
    assert signals.received() == 0


@pytest.mark.parametrize(
    ("first", "second", "answered"),
    [(INT, TERM, TERM), (TERM, INT, TERM), (USR1, INT, INT), (USR1, HUP, HUP), (HUP, TERM, TERM)],
)
def test_cancelled_job_is_not_requeued_and_ctrl_c_is_not_either(
    first: signal.Signals, second: signal.Signals, answered: signal.Signals
) -> None:
    signals.install()
    signals.note_interrupts()
    signal.raise_signal(first)
    signal.raise_signal(second)
    assert signals.received() == answered


@pytest.mark.slow
def test_ctrl_c_in_a_script_with_workers_says_two_lines_and_resumes_with_the_same_bits() -> None:
    group = Group(0.1)
    group.interrupt()
    status, errors = group.end()
    assert status == 128 + INT
    own = [line for line in errors if line.startswith(("saving", "stopped", "Traceback"))]
    assert own[:-1] == ["saving at the end of this batch or evaluation; Ctrl-C again ends at once"]
    assert own[-1].startswith("stopped after step ")
    assert own[-1].endswith(": run it again with ckpt_path='run/state.pt' to continue")
    subject = plain(Plain, "persistent workers")
    resumed, whole = subject.train("run", []), subject.train("whole", [])
    assert all((resumed[name] == value).all() for name, value in whole.items())


@pytest.mark.slow
def test_second_ctrl_c_ends_the_training_at_once() -> None:
    """In a batch of ten minutes."""
    group = Group(600)
    group.interrupt()
    wait_until(lambda: "again" in Path("errors").read_text(), seconds=20)
    group.interrupt()
    assert group.end()[0] == -INT  # for a shell 130


@pytest.mark.slow
def test_ctrl_c_in_a_notebook_is_one_line_and_the_cell_continues(tmp_path: Path) -> None:
    nbclient, nbformat = (pytest.importorskip(name) for name in ("nbclient", "nbformat"))
    make, train, show = CELLS
    cells = [nbformat.v4.new_code_cell(source) for source in (make, train, train, show)]
    notebook: Any = nbformat.v4.new_notebook(cells=cells)
    place = {"metadata": {"path": str(tmp_path)}}
    nbclient.NotebookClient(notebook, allow_errors=True, resources=place).execute()
    (error,) = [part for part in cells[1].outputs if part.output_type == "error"]
    assert error.traceback == [
        "stopped after step 3: run it again with ckpt_path='run/last.ckpt' to continue"
    ]
    assert cells[3].outputs[0].text == "8 True\n"


@pytest.mark.slow
def test_training_whose_terminal_is_closed_saves() -> None:
    """With a progress bar, which can be shown nowhere any more."""
    Path("script.py").write_text(SCRIPT.replace('"enable_progress_bar": False, ', ""))
    ours, theirs = pty.openpty()
    # Opened by the first process of a session, it is that session's terminal.
    place = os.ttyname(theirs)
    command = f"exec {sys.executable} script.py 0.1 <{place} >{place} 2>&1"
    process = subprocess.Popen(["sh", "-c", command], start_new_session=True)
    shown = b""
    while b"batch" not in shown:
        shown += os.read(ours, 1024)
    os.close(theirs)
    os.close(ours)
    assert process.wait(timeout=60) == 128 + HUP
    assert Path("run/state.pt").exists()
