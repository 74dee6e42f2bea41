"""Which run is resumed without a --name, what is said without a checkpoint, and runs that
have failed before they trained.
"""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import torch
from filelock import FileLock
from psutil import NoSuchProcess, Process

from convblocks.data.images import ImageSets
from convblocks.errors import BusyError, UsageError
from convblocks.record import directory
from convblocks.record.directory import LOGS, RunDirectory
from convblocks.run import fit
from convblocks.settings.options import begin
from exact_resume.errors import Stopped
from tests.any_task.stop import Signal, forget_signal
from tests.any_task.tasks import HERE
from tests.conftest import REPOSITORY, write_digits
from tests.core.run.several import COMMON, on
from tests.core.run.test_fit import assert_same_end
from tests.forked_python import python_path
from tests.scripts import is_alive, run_script, wait_until

INT = signal.SIGINT

MLP = ["--arch", "mlp"]
SHORT = [*COMMON, "--data.root", "digits", "--epochs", "2", "--trainer.log_every_n_steps", "5"]
SHORT += ["--trainer.logger", "false"]
MODULE = ["--model", f"{HERE}.shapes.Segmenter", "--data", f"{HERE}.shapes.Shapes"]
MODULE += [*COMMON, "--judge", "val/iou:max"]

# What is stopped by Ctrl-C, in epochs that take a while.
INTERRUPTED = {
    "images": [*MLP, *SHORT, "--epochs", "30"],
    "module": [*MODULE, "--epochs", "30"],
    "two processes": [*MLP, *SHORT, "--epochs", "30", *on(2)],
}


@pytest.fixture(autouse=True)
def folder(workspace: Path, digits: ImageSets) -> Iterator[Path]:
    """A current folder with a few digits."""
    write_digits(workspace / "digits", digits, train=640, test=100)
    yield workspace
    forget_signal()


def stopped_in(step: int, *words: str) -> str:
    """Begin a run that Ctrl-C stops in this step, and return what it says."""
    with pytest.raises(Stopped) as caught:
        fit.main([*words], [Signal(step, INT)])
    return str(caught.value)


def test_ctrl_c_saves_the_step_and_says_the_whole_command() -> None:
    """With what the config of the run does not hold, for a shell."""
    root = ["--trainer.default_root_dir", "other place", "--weights_only", "false"]
    said = stopped_in(3, *MLP, *SHORT, *root, "--name", "a b")
    assert said == (
        "stopped after step 3: continue with convblocks fit --name 'a b' --resume "
        "--trainer.default_root_dir 'other place' --weights_only=False"
    )
    checkpoint = torch.load(RunDirectory("a b", Path("other place")).last_checkpoint)
    assert checkpoint["global_step"] == 3
    _, _, command = said.partition("convblocks fit ")
    fit.main(shlex.split(command))
    assert RunDirectory("a b", Path("other place")).result_after(2)


def test_launcher_is_left_to_the_person_who_knows_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_NTASKS", "1")
    assert stopped_in(3, *MLP, *SHORT, "--name", "a").endswith(": continue with --name a --resume")


def test_resume_without_a_name_takes_the_last_unfinished_run_that_nobody_holds() -> None:
    for words in ([*MLP, *SHORT], [*MLP, *SHORT], ["--arch", "batchnorm", *SHORT]):
        stopped_in(3, *words)
    again = [*MLP, "--resume"]
    with FileLock(LOGS / "mlp/version_1/.lock"):
        assert begin("fit", again) == ["fit: resuming lightning_logs/mlp/version_0"]
        fit.main(again)
    assert RunDirectory("mlp/version_0").result_after(2)
    assert begin("fit", again) == ["fit: resuming lightning_logs/mlp/version_1"]
    fit.main(again)
    assert RunDirectory("mlp/version_1").result_after(2)
    assert not RunDirectory("batchnorm/version_0").summary.exists()
    with pytest.raises(UsageError, match=r"no unfinished run of mlp without .* begin one without"):
        fit.main(again)
    stopped_in(3, *MLP, *SHORT, "--name", "mine")
    with pytest.raises(UsageError, match="of one that has one, such as --name mine"):
        fit.main(again)


def test_run_of_a_module_is_resumed_by_its_name() -> None:
    root = ["--trainer.default_root_dir", "there"]
    stopped_in(3, *MODULE, *root, "--epochs", "2")
    again = [*MODULE[:2], *root, "--resume"]
    run = RunDirectory(f"{MODULE[1]}/version_0", Path("there"))
    assert begin("fit", again) == [f"fit: resuming {run.path}"]
    fit.main(again)
    assert run.result_after(2)


def test_several_processes_of_a_launcher_do_not_choose(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_NTASKS", "2")
    with pytest.raises(UsageError, match="--resume needs the --name of the run"):
        fit.main([*MLP, "--resume"])


def fail_before_training() -> RunDirectory:
    """Begin a run whose first batch is larger than its memory."""
    with pytest.raises(RuntimeError, match="too large"):
        fit.main([*MLP, *SHORT, "--name", "run"], [TooLarge()])
    return RunDirectory("run")


class TooLarge(Signal):
    """Fails in the first batch."""

    def __init__(self) -> None:
        super().__init__(0)

    def on_train_batch_start(self, *_: object) -> None:
        raise RuntimeError("the batch is too large")


def test_resume_without_a_checkpoint_says_that_it_begins_at_step_0(
    capsys: pytest.CaptureFixture[str],
) -> None:
    fail_before_training()
    fit.main(["--name", "run", "--resume", "--batch_size", "32"])
    said = "lightning_logs/run has no checkpoint: it begins at step 0\n"
    assert said in capsys.readouterr().out


def test_run_that_has_failed_before_it_trained_gives_its_name_to_the_next(
    capsys: pytest.CaptureFixture[str],
) -> None:
    run = fail_before_training()
    fit.main([*MLP, *SHORT, "--name", "run", "--batch_size", "32"])
    said = "lightning_logs/run had not trained yet: this run takes its place\n"
    assert said in capsys.readouterr().out
    assert run.result_after(2)
    assert "resumed" not in json.loads(run.provenance.read_text())


@pytest.mark.parametrize("file", ["notes.yaml", "checkpoints/own.ckpt"])
def test_folder_with_anything_else_keeps_its_name(file: str) -> None:
    path = fail_before_training().path / file
    path.parent.mkdir(exist_ok=True)
    path.touch()
    with pytest.raises(UsageError, match="exists: continue with --resume"):
        fit.main([*MLP, *SHORT, "--name", "run"])
    assert path.exists()


def test_run_that_another_process_has_just_begun_keeps_its_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(directory, "LOCK_SECONDS", 0)
    run = fail_before_training()
    before = run.config.read_text()
    with FileLock(run.path / ".lock"), pytest.raises(BusyError):
        fit.main([*MLP, *SHORT, "--name", "run", "--batch_size", "32"])
    assert run.config.read_text() == before


def in_a_terminal(words: list[str]) -> subprocess.Popen[str]:
    """Begin a run whose processes are a group, as in a terminal."""
    return subprocess.Popen(
        [sys.executable, str(REPOSITORY / "scripts" / "fit.py"), *words],
        env=os.environ | {"PYTHONPATH": python_path()},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


@pytest.mark.slow
@pytest.mark.parametrize("kind", INTERRUPTED)
def test_ctrl_c_in_a_terminal_loses_nothing_and_leaves_no_process(kind: str, folder: Path) -> None:
    """All processes of the run get it, as from a terminal; it is resumed without a name."""
    words = INTERRUPTED[kind]
    process = in_a_terminal(words)
    name = f"{words[1]}/version_0"
    wait_until(RunDirectory(name).last_checkpoint.exists, seconds=120)
    os.killpg(process.pid, INT)
    _, errors = process.communicate(timeout=60)
    said, stopped = errors.strip().splitlines()
    assert process.returncode == 128 + INT
    assert said == "saving at the end of this batch or evaluation; Ctrl-C again ends at once"
    command = re.escape(f"continue with python {REPOSITORY}/scripts/fit.py --name {name} --resume")
    assert re.fullmatch(rf"fit\.py: stopped after step \d+: {command}", stopped)
    wait_until(lambda: not is_alive(process.pid), seconds=20)
    path = {"PYTHONPATH": python_path()}
    for again in ([*words[:2], "--resume"], [*words, "--name", "whole"]):
        ended = run_script("fit", *again, cwd=folder, environment=path, fresh=True)
        assert (ended.returncode, ended.stderr) == (0, "")
    assert_same_end(RunDirectory(name), RunDirectory("whole"))


@pytest.mark.slow
def test_ctrl_c_while_a_second_process_starts_says_what_resumes(folder: Path) -> None:
    """That one leaves it to the first: Lightning would kill all when it ends."""
    process = in_a_terminal([*INTERRUPTED["two processes"], "--name", "run"])

    def is_importing() -> bool:
        """Whether Lightning's second process imports torch, and so leaves Ctrl-C already.

        Until it runs Python of its own, it has the first one's maps, but its own environment.
        """
        for child in Process(process.pid).children():
            with suppress(NoSuchProcess):  # such as git, which soon ends
                if child.environ().get("LOCAL_RANK") == "1":
                    return any("torch" in file.path for file in child.memory_maps())
        return False

    wait_until(is_importing, seconds=120)
    os.killpg(process.pid, INT)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 128 + INT
    assert re.search(r"^fit\.py: stopped: continue with .* --name run --resume$", errors)
