"""Commands as a user's shell starts them: their streams, their first moments, and each
other in the way.
"""

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest
import torch

from convblocks.record.directory import RunDirectory
from tests.conftest import REPOSITORY
from tests.core.run.test_fit import assert_same_weights, metric_rows
from tests.hostile.spoil import flipped
from tests.scripts import run_script, start_script, wait_until

SHORT = ["--config", "short.yaml", "--arch", "mlp"]


def shell(command: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[bytes]:
    """Run a command line in which ``fit`` and ``predict`` stand for the whole way to
    their scripts.
    """
    command = re.sub(
        r"\b(fit|predict) ", rf"{sys.executable} {REPOSITORY}/scripts/\1.py ", command, count=1
    )
    return subprocess.run(
        ["bash", "-c", command],
        cwd=folder,
        env=os.environ | environment,
        capture_output=True,
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize(
    ("command", "status", "errors"),
    [
        ("fit --help | head -1", 0, b""),
        ("fit --help >/dev/full", 1, b"fit.py: cannot write the output: No space left on device\n"),
        pytest.param(
            "fit --config short.yaml --arch mlp --name new >/dev/full",
            1,
            b"on device",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_stream_that_cannot_be_written_is_one_line(
    command: str, status: int, errors: bytes, folder: Path
) -> None:
    ended = shell(command, folder)
    assert (ended.returncode, ended.stderr.count(b"\n")) == (status, 1 if errors else 0)
    assert errors in ended.stderr


@pytest.mark.parametrize("module", ["convblocks.console", "torch"])
def test_ctrl_c_in_the_first_tenth_of_a_second(module: str, tmp_path: Path) -> None:
    """It comes when a module is about to be imported, the command's first one or a heavy one."""
    (tmp_path / "sitecustomize.py").write_text(
        "import os, signal, sys\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "def hear(event, arguments):\n"
        f"    if event == 'import' and arguments[0] == {module!r}:\n"
        "        os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.addaudithook(hear)\n"
    )
    ended = shell("exec fit --arch mlp", tmp_path, PYTHONPATH=f"{tmp_path}:{REPOSITORY / 'src'}")
    assert (ended.returncode, ended.stderr) == (-signal.SIGINT, b"")  # for a shell 130


@pytest.mark.slow
def test_ctrl_c_spares_a_shells_background_job(folder: Path) -> None:
    """A shell starts it with Ctrl-C ignored; for half of the time it is in the imports,
    for the rest it trains.
    """
    ended = shell(
        f"trap '' INT; fit {shlex.join(SHORT)} --name new & "
        "for i in $(seq 40); do sleep 0.1; kill -INT $! 2>/dev/null; done; wait $!",
        folder,
    )
    assert (ended.returncode, ended.stderr) == (0, b"")
    assert RunDirectory("new", folder).result_after(2)


@pytest.mark.slow
def test_modules_are_not_taken_from_files_in_the_users_folder(folder: Path) -> None:
    for name in ("random", "queue", "numpy", "convblocks", "selectors", "tempfile"):
        (folder / f"{name}.py").write_text(
            f"open('{name} was executed', 'w')\nraise SystemExit(3)\n"
        )
    ended = run_script("compare", *SHORT, "--seeds", "2", "--jobs", "2", cwd=folder, fresh=True)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert list(folder.glob("*executed")) == []


@pytest.mark.slow
def test_best_checkpoint_of_a_moved_run_is_kept(folder: Path) -> None:
    """The best epoch is the last one before the move: later ones are worse."""
    flags = [*SHORT, "--lr", "0.3", "--seed", "0"]
    assert run_script("fit", *flags, "--epochs", "6", "--name", "whole", cwd=folder).returncode == 0
    assert run_script("fit", *flags, "--epochs", "4", "--name", "a", cwd=folder).returncode == 0
    first, moved, whole = (RunDirectory(name, folder) for name in ("a", "b/c", "whole"))
    moved.path.parent.mkdir()
    first.path.rename(moved.path)
    assert (
        run_script("fit", "--name", "b/c", "--resume", "--epochs", "6", cwd=folder).returncode == 0
    )
    assert not first.path.exists()
    best, expected = (torch.load(run.best_checkpoint, weights_only=True) for run in (moved, whole))
    assert expected["global_step"] == 4 * 3
    torch.testing.assert_close(best["state_dict"], expected["state_dict"], rtol=0, atol=0)
    assert metric_rows(whole) == metric_rows(moved)


@pytest.mark.slow
def test_best_checkpoint_takes_the_place_of_a_damaged_one(folder: Path) -> None:
    """With the rows of the whole run, also if it was saved in the last evaluation."""
    run = RunDirectory("run", folder)
    whole = metric_rows(run)
    shutil.copy(run.best_checkpoint, run.last_checkpoint)
    run.summary.unlink()
    assert run_script("fit", "--name", "run", "--resume", cwd=folder).returncode == 0
    assert metric_rows(run) == whole


TOO_HIGH = """
from torch.optim.lr_scheduler import LambdaLR


class TooHigh(LambdaLR):
    def __init__(self, optimizer, at):
        super().__init__(optimizer, lambda step: 1e32 if step >= at else 1)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("at", "accumulated", "every", "val_size", "says"),
    [
        (
            3,
            1,
            4,
            50,
            "This run diverged: after step 6 its loss or a weight was not finite. Try a ",
        ),
        (3, 2, 1, 50, "after step 5 its loss or a weight was not finite. Try a "),
        (35, 1, 1, 0, "This run diverged: its loss or a weight was not finite"),  # by its last step
    ],
)
def test_divergence_is_found_at_the_next_logged_step_or_the_end_of_the_epoch(
    at: int, accumulated: int, every: int, val_size: int, says: str, folder: Path
) -> None:
    """The learning rate is too high from a step on, counted from 0; an epoch has three,
    two that accumulate, or 4.
    """
    (folder / "schedules.py").write_text(TOO_HIGH)
    schedule = [
        "--lr_scheduler",
        "schedules.TooHigh",
        "--lr_scheduler.at",
        str(at),
        "--lr_scheduler.interval",
        "step",
    ]
    trainer = [
        "--trainer.log_every_n_steps",
        str(every),
        "--trainer.accumulate_grad_batches",
        str(accumulated),
    ]
    flags = [*SHORT, *schedule, *trainer, "--data.val_size", str(val_size)]
    ended = run_script("fit", *flags, "--name", "lost", "--epochs", "9", cwd=folder)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert says in " ".join(ended.stdout.split())
    assert RunDirectory("lost", folder).read_result().failed is True


@pytest.mark.slow
def test_divergence_is_found_by_two_processes_together_and_ends_the_run(folder: Path) -> None:
    devices = [
        "--trainer.accelerator",
        "cpu",
        "--trainer.devices",
        "2",
        "--trainer.strategy",
        "ddp",
    ]
    ended = run_script("fit", *SHORT, *devices, "--lr", "1e30", "--name", "lost", cwd=folder)
    assert (ended.returncode, ended.stderr) == (0, "")
    diverged, *_, score, _ = ended.stdout.partition("\n\n")[2].splitlines()
    assert diverged.startswith(
        "This run diverged: after step 3 its loss or a weight was not finite. Try a lower"
    )
    assert score.startswith("test accuracy ")
    run = RunDirectory("lost", folder)
    assert (
        json.loads(run.summary.read_text(), parse_constant=pytest.fail)["epochs"][0]["train/loss"]
        == "nan"
    )
    assert (
        "was ended by divergence"
        in run_script("fit", "--name", "lost", "--resume", cwd=folder).stdout
    )


@pytest.mark.slow
def test_comparison_completes_though_all_diverge_but_not_on_different_data(folder: Path) -> None:
    flags = ["compare", *SHORT, "--jobs", "2", "--lr", "1e30", "--seeds"]
    ended = run_script(*flags, "2", cwd=folder)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "The MLP collapsed in 2 of 2 runs [34–100 %]" in " ".join(ended.stdout.split())
    json.loads(
        (folder / "lightning_logs/compare/comparison.json").read_text(), parse_constant=pytest.fail
    )
    flipped(5000)(folder / "data" / "train-images-idx3-ubyte")
    ended = run_script(*flags, "3", cwd=folder)
    assert ended.returncode == 1
    assert re.fullmatch(
        r"compare.py: \S+/seed_0 was trained on other data than there are now: .*\n", ended.stderr
    )


@pytest.mark.slow
def test_comparison_does_not_wait_for_another_in_the_same_folder(folder: Path) -> None:
    flags = [*SHORT, "--seeds", "1", "--epochs", "20000"]  # it trains while the second imports
    with start_script("compare", *flags, cwd=folder):
        wait_until((folder / "lightning_logs/compare/.lock").exists, seconds=120)
        ended = run_script("compare", *flags, cwd=folder)
    assert ended.returncode == 1
    assert ended.stderr.startswith(
        "compare.py: another process is working on lightning_logs/compare: "
    )


@pytest.mark.slow
def test_runs_without_a_name_at_the_same_time_take_different_versions(folder: Path) -> None:
    with ExitStack() as stack:
        processes = [stack.enter_context(start_script("fit", *SHORT, cwd=folder)) for _ in range(4)]
        assert [process.communicate(timeout=120)[1] for process in processes] == 4 * [""]
    runs = [RunDirectory(f"mlp/version_{number}", folder) for number in range(4)]
    assert all(run.result_after(2) for run in runs)
    assert_same_weights(runs[0], runs[3])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("variable", "rank", "lines"), [("LOCAL_RANK", 0, 1), ("SLURM_LOCALID", 1, 0)]
)
def test_error_of_several_processes_is_shown_by_the_first(
    variable: str, rank: int, lines: int, folder: Path
) -> None:
    wrong = run_script(
        "fit", *SHORT, "--data.root", "no", cwd=folder, environment={variable: str(rank)}
    )
    assert (wrong.returncode, wrong.stderr.count("\n")) == (1, lines)


@pytest.mark.slow
@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_stream_changes_nothing_else(closed: str, folder: Path) -> None:
    ended = shell(f"fit {shlex.join(SHORT)} --name closed {closed}", folder)
    assert (ended.returncode, ended.stderr) == (0, b"")
    assert RunDirectory("closed", folder).read_result()


@pytest.mark.parametrize("name", ["LOCAL_RANK", "SLURM_PROCID"])
def test_rank_that_is_no_number_is_one_line(name: str, folder: Path) -> None:
    ended = shell("fit --arch mlp", folder, **{name: "1a"})
    assert ended.returncode == 1
    assert ended.stderr.decode() == (
        f"fit.py: the variable {name} is '1a', which is not a number: unset it\n"
    )


@pytest.mark.slow
def test_odd_rank_of_slurm_is_ignored_with_slurm(folder: Path) -> None:
    odd = {"SLURM_PROCID": "1a", "SLURM_NTASKS": "", "CONVBLOCKS_SLURM": "0"}
    ended = shell("fit --arch mlp --print_config", folder, **odd)
    assert (ended.returncode, ended.stderr) == (0, b"")


@pytest.mark.slow
def test_user_without_a_home_sees_no_other_line(folder: Path) -> None:
    homeless = {"HOME": "/dev/null", "XDG_CACHE_HOME": "", "XDG_CONFIG_HOME": ""}
    ended = shell(f"fit {shlex.join(SHORT)} --name homeless", folder, **homeless)
    assert (ended.returncode, ended.stderr) == (0, b"")


@pytest.mark.slow
def test_folder_whose_name_is_no_unicode_is_one_line(tmp_path: Path) -> None:
    folder = tmp_path / os.fsdecode(b"odd\xff")
    folder.mkdir()
    ended = shell("fit --arch mlp", folder)
    assert (ended.returncode, ended.stderr.count(b"\n")) == (2, 1)
    assert b"the folder's name is not valid Unicode" in ended.stderr
    assert not any(folder.iterdir())


def test_command_line_is_read_without_a_warning(folder: Path) -> None:
    """Where warnings are errors, as of what newer versions will lack."""
    ended = shell("fit --arch mlp --print_config", folder, PYTHONWARNINGS="error")
    # With torch 2.15 compiled parts say at the end which references they have left.
    own = re.sub(
        rb"(?m)^(nanobind: | - leaked | - \.\.\. skipped|See https://nanobind).*\n?",
        b"",
        ended.stderr,
    )
    assert (ended.returncode, own) == (0, b"")


@pytest.mark.slow
def test_module_that_ends_the_program_when_imported_is_one_line(folder: Path) -> None:
    (folder / "mynets.py").write_text("class Rows: ...\nraise SystemExit(0)")
    ended = shell("fit --arch mynets.Rows", folder)
    assert ended.returncode == 2
    assert b"cannot import mynets.Rows: its module ends the program" in ended.stderr
