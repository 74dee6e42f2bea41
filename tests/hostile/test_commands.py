"""Commands as a user's shell starts them: their streams, their first moments, and each other in the way."""

import json
import math
import os
import re
import shlex
import signal
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest
import torch

from convblocks.run.directory import RunDirectory
from tests.conftest import REPOSITORY
from tests.core.run.test_fit import assert_same_weights, metric_rows
from tests.hostile.bounded import run_bounded
from tests.hostile.cases import LAST
from tests.hostile.spoil import flipped
from tests.scripts import run_script, start_script, wait_until

SHORT = ["--config", "short.yaml", "--arch", "mlp"]


def shell(command: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[bytes]:
    """Run a command line in which ``fit`` stands for the whole way to ``fit.py``."""
    command = command.replace("fit ", f"{sys.executable} {REPOSITORY / 'scripts' / 'fit.py'} ", 1)
    return subprocess.run(
        ["bash", "-c", command], cwd=folder, env=os.environ | environment, capture_output=True, timeout=120, check=False
    )


@pytest.mark.parametrize(
    ("command", "status", "errors"),
    [
        ("fit --help | head -1", 0, b""),
        ("fit --help >/dev/full", 1, b"fit.py: cannot write the output: No space left on device\n"),
        pytest.param("PYTHONIOENCODING=ascii fit --arch \u00e9$'\\xff'", 2, b" '\\xe9\\udcff'", marks=pytest.mark.slow),
    ],
)
def test_streams(command: str, status: int, errors: bytes, tmp_path: Path) -> None:
    ended = shell(command, tmp_path)
    assert ended.returncode == status
    assert errors in ended.stderr
    assert ended.stderr.count(b"\n") == (1 if errors else 0)


@pytest.mark.slow
def test_a_run_without_a_place_for_its_output(folder: Path) -> None:
    ended = shell(f"fit {shlex.join(SHORT)} --name new >/dev/full", folder)
    assert (ended.returncode, ended.stderr.count(b"\n")) == (1, 1)
    assert ended.stderr.startswith(b"fit.py: cannot write")
    assert b"No space left on device" in ended.stderr


@pytest.mark.parametrize("module", ["convblocks.console", "torch"])
def test_ctrl_c_in_the_first_tenth_of_a_second(module: str, tmp_path: Path) -> None:
    """It comes when a module is about to be imported, the command's first one or a heavy one."""
    (tmp_path / "sitecustomize.py").write_text(
        "import os, signal, sys\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "def hear(event, arguments):\n"
        f"    if event == 'import' and arguments[0] == {module!r}: os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.addaudithook(hear)\n"
    )
    ended = shell("exec fit --arch mlp", tmp_path, PYTHONPATH=f"{tmp_path}:{REPOSITORY / 'src'}")
    assert ended.stderr == b""
    assert ended.returncode == -signal.SIGINT  # for a shell 130


@pytest.mark.slow
@pytest.mark.parametrize("command", ["compare --seeds 2 --jobs 2", "search --trials 2 --confirm 0 --space lr=0.1..0.2"])
def test_files_of_the_users_own_are_not_taken_for_modules(command: str, folder: Path) -> None:
    for name in ("random", "queue", "numpy", "convblocks", "selectors", "tempfile"):
        (folder / f"{name}.py").write_text(f"open('{name} was executed', 'w')\nraise SystemExit(3)\n")
    for module in ("convblocks", "scripts"):
        script, *flags = shlex.split(command)
        start = ["-P", "-m", "convblocks", script] if module == "convblocks" else [f"{REPOSITORY}/scripts/{script}.py"]
        ended = subprocess.run(
            [sys.executable, *start, *flags, *SHORT, "--name", module],
            cwd=folder,
            env=os.environ | {"PYTHONPATH": str(REPOSITORY / "src")},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert (ended.returncode, ended.stderr) == (0, "")
        assert list(folder.glob("*executed")) == []


@pytest.mark.slow
def test_a_user_whom_the_machine_does_not_know(folder: Path) -> None:
    """In a container: no entry in passwd, and no variable that names one."""
    (folder / "sitecustomize.py").write_text(
        "import pwd\ndef unknown(uid): raise KeyError(f'getpwuid(): uid not found: {uid}')\npwd.getpwuid = unknown\n"
    )
    unset = "env -u HOME -u USER -u LOGNAME -u LNAME -u USERNAME"
    path = f"{folder}:{REPOSITORY / 'src'}"
    loggers = "--trainer.logger=CSVLogger --trainer.logger.save_dir=csv --trainer.logger+=TensorBoardLogger"
    loggers += " --trainer.logger.save_dir=tensorboard"
    command = f"{unset} PYTHONPATH={path} {sys.executable} {REPOSITORY}/scripts/"
    for ended in (
        shell(f"{command}fit.py {shlex.join(SHORT)} --name new {loggers}", folder),
        shell(f"{command}predict.py {shlex.quote(LAST)} seven.png", folder),
    ):
        assert ended.returncode == 0
        assert all(line.startswith(b"Matplotlib created a temporary") for line in ended.stderr.splitlines())


@pytest.mark.slow
def test_a_shells_background_job_goes_on_at_ctrl_c(folder: Path) -> None:
    """A shell starts it with Ctrl-C ignored; for half of the time it is in the imports, for the rest it trains."""
    ended = shell(
        f"trap '' INT; fit {shlex.join(SHORT)} --name new & "
        "for i in $(seq 40); do sleep 0.1; kill -INT $! 2>/dev/null; done; wait $!",
        folder,
    )
    assert (ended.returncode, ended.stderr) == (0, b"")
    assert RunDirectory("new", folder).result_after(2)


@pytest.mark.slow
def test_a_moved_run_keeps_its_best_checkpoint(folder: Path) -> None:
    """The best epoch is the last one before the move: later ones are worse."""
    flags = [*SHORT, "--lr", "0.3", "--seed", "0"]
    assert run_bounded("fit", *flags, "--epochs", "6", "--name", "whole", cwd=folder).returncode == 0
    assert run_bounded("fit", *flags, "--epochs", "4", "--name", "a", cwd=folder).returncode == 0
    first, moved, whole = (RunDirectory(name, folder) for name in ("a", "b/c", "whole"))
    moved.path.parent.mkdir()
    first.path.rename(moved.path)
    assert run_bounded("fit", "--name", "b/c", "--resume", "--epochs", "6", cwd=folder).returncode == 0
    assert not first.path.exists()
    best, expected = (torch.load(run.best_checkpoint, weights_only=True) for run in (moved, whole))
    assert expected["global_step"] == 4 * 3
    assert all(torch.equal(best["state_dict"][name], value) for name, value in expected["state_dict"].items())
    assert metric_rows(whole) == metric_rows(moved)


@pytest.mark.slow
def test_a_run_that_diverges_is_a_result(folder: Path) -> None:
    ended = run_bounded("fit", *SHORT, "--lr", "1e30", "--name", "lost", cwd=folder)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "ended by divergence: the loss or a weight was not finite after step 3" in ended.stdout
    run = RunDirectory("lost", folder)
    assert json.loads(run.summary.read_text(), parse_constant=pytest.fail)["epochs"][0]["train/loss"] == "nan"
    result = run.read_result()
    assert (math.isfinite(result.last_loss), result.failed) == (False, True)
    assert run.result_after(2)
    resumed = run_bounded("fit", "--name", "lost", "--resume", cwd=folder)
    assert "was ended by divergence" in resumed.stdout


TOO_HIGH = """
from torch.optim.lr_scheduler import LambdaLR


class TooHigh(LambdaLR):
    def __init__(self, optimizer, at):
        super().__init__(optimizer, lambda step: 1e32 if step >= at else 1)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("at", "accumulated", "every", "found"),
    [(0, 1, 1, 2), (0, 1, 4, 3), (3, 1, 1, 5), (3, 1, 4, 6), (5, 1, 1, 7), (5, 1, 4, 8), (3, 2, 1, 5), (3, 2, 4, 6)],
)
@pytest.mark.parametrize("precision", ["32-true", pytest.param("bf16-mixed", marks=pytest.mark.nightly)])
def test_divergence_is_found_at_the_next_logged_step_or_the_end_of_the_epoch(
    at: int, accumulated: int, every: int, found: int, precision: str, folder: Path
) -> None:
    """The learning rate is too high from a step on, counted from 0; an epoch has three, or two that accumulate."""
    (folder / "schedules.py").write_text(TOO_HIGH)
    schedule = ["--lr_scheduler", "schedules.TooHigh", "--lr_scheduler.at", str(at), "--lr_scheduler.interval", "step"]
    trainer = ["--trainer.precision", precision, "--trainer.log_every_n_steps", str(every)]
    trainer += ["--trainer.accumulate_grad_batches", str(accumulated)]
    ended = run_bounded("fit", *SHORT, *schedule, *trainer, "--name", "lost", "--epochs", "9", cwd=folder)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert f"ended by divergence: the loss or a weight was not finite after step {found}\n" in ended.stdout
    assert RunDirectory("lost", folder).read_result().failed is True


@pytest.mark.slow
def test_a_run_that_diverges_with_its_last_step_has_collapsed(folder: Path) -> None:
    (folder / "schedules.py").write_text(TOO_HIGH)
    schedule = ["--lr_scheduler", "schedules.TooHigh", "--lr_scheduler.at", "7", "--lr_scheduler.interval", "step"]
    ended = run_bounded("fit", *SHORT, *schedule, "--data.val_size", "0", "--name", "lost", cwd=folder)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "This run diverged: its loss or a weight was not finite" in " ".join(ended.stdout.split())
    assert RunDirectory("lost", folder).read_result().failed is True


@pytest.mark.slow
def test_two_processes_agree_on_where_they_diverge(folder: Path) -> None:
    devices = ["--trainer.accelerator", "cpu", "--trainer.devices", "2", "--trainer.strategy", "ddp"]
    ended = run_script("fit", *SHORT, *devices, "--lr", "1e30", "--name", "lost", cwd=folder)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "ended by divergence: the loss or a weight was not finite after step 3\n" in ended.stdout


@pytest.mark.slow
def test_runs_on_different_data_are_not_compared(folder: Path) -> None:
    flags = ["--config", "short.yaml", "--arch", "mlp", "--jobs", "1", "--epochs", "1"]
    assert run_bounded("compare", *flags, "--seeds", "1", cwd=folder).returncode == 0
    flipped(5000)(folder / "data" / "train-images-idx3-ubyte")
    ended = run_bounded("compare", *flags, "--seeds", "2", cwd=folder)
    assert ended.returncode == 1
    assert re.fullmatch(r"compare.py: \S+/seed_0 and \S+/seed_1 were trained on different data: .*\n", ended.stderr)


@pytest.mark.slow
def test_a_comparison_in_which_all_diverge_completes(folder: Path) -> None:
    flags = ["--config", "short.yaml", "--arch", "mlp", "maxpool", "--seeds", "2", "--epochs", "2", "--lr", "1e30"]
    ended = run_bounded("compare", *flags, "--jobs", "2", cwd=folder)
    assert (ended.returncode, ended.stderr) == (0, "")
    printed = " ".join(ended.stdout.split())
    assert "The MLP collapsed in 2 of 2 runs [34–100 %]" in printed
    json.loads((folder / "lightning_logs/compare/comparison.json").read_text(), parse_constant=pytest.fail)


@pytest.mark.slow
def test_two_runs_without_a_name_take_two_versions(folder: Path) -> None:
    with ExitStack() as started:
        for process in [started.enter_context(start_script("fit", *SHORT, cwd=folder)) for _ in range(4)]:
            _, errors = process.communicate(timeout=120)
            assert (process.returncode, errors) == (0, "")
    versions = [RunDirectory(f"mlp/version_{number}", folder) for number in range(4)]
    assert len([run for run in versions if run.result_after(2)]) == 4
    for run in versions[1:]:
        assert_same_weights(versions[0], run)


@pytest.mark.slow
def test_a_second_comparison_does_not_wait(folder: Path) -> None:
    flags = [*SHORT, "--seeds", "1", "--epochs", "20000"]  # it trains while the second imports
    with start_script("compare", *flags, cwd=folder):
        wait_until((folder / "lightning_logs/compare/.lock").exists, seconds=120)
        ended = run_script("compare", *flags, cwd=folder)
    assert ended.returncode == 1
    assert ended.stderr.startswith("compare.py: another process is working on lightning_logs/compare: ")
    assert "FAILED" not in ended.stdout


@pytest.mark.slow
@pytest.mark.parametrize("variable", ["LOCAL_RANK", "SLURM_LOCALID"])
def test_of_three_processes_one_says_what_is_wrong(variable: str, folder: Path) -> None:
    wrong = [
        run_bounded("fit", *SHORT, "--data.root", "short.yaml", cwd=folder, environment={variable: str(number)})
        for number in range(3)
    ]
    assert [ended.returncode for ended in wrong] == [1, 1, 1]
    assert [ended.stderr.count("\n") for ended in wrong] == [1, 0, 0]
