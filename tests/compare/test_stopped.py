"""A comparison that is stopped or killed, and trials of several processes."""

import os
import shlex
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from convblocks.compare import command as compare
from convblocks.record.directory import LOGS
from tests.conftest import REPOSITORY
from tests.scripts import is_alive, start_script, wait_until

pytestmark = pytest.mark.slow

PROCESSES = ["--trainer.devices", "2", "--trainer.strategy", "ddp", "--trainer.accelerator", "cpu"]


def test_ctrl_c_leaves_no_process_of_a_trial_and_no_traceback(workspace: Path) -> None:
    flags = ["--epochs", "50", "--arch", "mlp", "--seeds", "1", "--name", "stopped", *PROCESSES]
    with start_script("compare", *flags, cwd=workspace) as process:
        wait_until(
            lambda: (
                process.returncode is not None or bool(list((LOGS / "stopped").rglob("last.ckpt")))
            )
        )
        os.killpg(process.pid, signal.SIGINT)
        output, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (130, stopped(*flags))
    assert output.endswith("saving 1 trial; Ctrl-C again ends at once\n")
    wait_until(lambda: not is_alive(process.pid))


def stopped(*flags: str) -> str:
    """What a stopped comparison says at its end."""
    command = ["python", str(REPOSITORY / "scripts" / "compare.py"), *flags]
    return f"compare.py: stopped: the same command carries on: {shlex.join(command)}\n"


@pytest.mark.parametrize("more", [[], PROCESSES], ids=["workers", "processes"])
def test_second_ctrl_c_ends_all_processes_at_once(more: list[str], workspace: Path) -> None:
    """Also those that a trial has started; it would not end for a minute."""
    Path("slow.py").write_text(SLOW)
    flags = ["--model", "slow.Slow", "--data", "slow.Numbers", *more]
    flags += ["--judge", "train/loss:min", "--seeds", "1"]
    with start_script("compare", *flags, cwd=workspace) as process:
        wait_until(lambda: process.returncode is not None or Path("begun").exists())
        for _ in range(2):
            os.killpg(process.pid, signal.SIGINT)
            wait_until(lambda: process.returncode is not None or "saving" in process.printed())
        _, errors = process.communicate(timeout=20)
        assert (process.returncode, errors) == (130, stopped(*flags))
        wait_until(lambda: not is_alive(process.pid), seconds=20)


SLOW = """
import time
from pathlib import Path

import torch
from lightning import LightningDataModule, LightningModule
from torch.utils.data import DataLoader


class Slow(LightningModule):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(1, 1)

    def training_step(self, batch, batch_idx):
        Path("begun").touch()
        time.sleep(60)
        return self.layer(batch).sum()

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters())


class Numbers(LightningDataModule):
    def train_dataloader(self):
        return DataLoader(torch.randn(8, 1), num_workers=2)
"""


# Of a comparison in which much is left to do after the first epoch.
LONG = ["--epochs", "3", "--trainer.limit_train_batches", "300", "--trainer.limit_val_batches", "2"]
LONG += ["--arch", "mlp", "--seeds", "3", "--jobs", "2"]


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Its numbers if nothing stops it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("long"))
        compare.main([*LONG, "--name", "whole"])
        return (LOGS / "whole" / "comparison.json").read_text()


def finished() -> dict[Path, int]:
    """The runs that are done, and when."""
    return {path: path.stat().st_mtime_ns for path in (LOGS / "killed").rglob("summary.json")}


@pytest.mark.parametrize(
    ("send", "kind", "status"),
    [
        (os.kill, signal.SIGKILL, -signal.SIGKILL),
        pytest.param(os.kill, signal.SIGTERM, 128 + signal.SIGTERM, marks=pytest.mark.nightly),
        # As a terminal's Ctrl-C does.
        pytest.param(os.killpg, signal.SIGINT, 128 + signal.SIGINT, marks=pytest.mark.nightly),
    ],
)
def test_killed_comparison_carries_on_to_the_same_table_and_trains_nothing_twice(
    workspace: Path, table: str, send: Callable[[int, int], None], kind: int, status: int
) -> None:
    with start_script("compare", *LONG, "--name", "killed", cwd=workspace) as process:
        wait_until(lambda: process.returncode is not None or bool(finished()))
        send(process.pid, kind)
        _, errors = process.communicate(timeout=60)
        assert process.returncode == status
        assert errors == (stopped(*LONG, "--name", "killed") if status > 0 else "")
    done = finished()
    assert done
    compare.main([*LONG, "--name", "killed"])
    assert done.items() <= finished().items()
    assert (LOGS / "killed" / "comparison.json").read_text() == table
