"""A run whose loader does not give again what it gave goes on from the end of an epoch, by
itself, and says so.
"""

from pathlib import Path

import pytest

from convblocks.record.directory import LOGS, RunDirectory
from convblocks.run import fit
from exact_resume.errors import Stopped
from tests.any_task.stop import Signal, forget_signal
from tests.any_task.tasks import HERE
from tests.core.run.test_fit import assert_same_end

pytestmark = pytest.mark.filterwarnings("ignore:Checkpoint directory .* exists and is not empty")

MODEL = ["--model", f"{HERE}.regression.Curve", "--judge", "val/rmse:min", "--epochs", "3"]
UNREPEATABLE = [*MODEL, "--threads", "1", "--data", f"{HERE}.loading.Unrepeatable"]
ENDLESS = [*MODEL, "--threads", "1", "--data", f"{HERE}.loading.Endless"]


def stopped_and_resumed(options: list[str], batch: int, name: str) -> RunDirectory:
    """A run that receives SIGTERM after a batch."""
    with pytest.raises(Stopped):
        fit.main([*options, "--name", name], [Signal(batch)])
    forget_signal()
    fit.main([*options, "--name", name, "--resume"])
    return RunDirectory(name)


@pytest.mark.parametrize(
    ("batch", "where"), [(19, "the end of the last epoch"), (3, "its beginning")]
)
def test_run_ends_with_all_its_epochs(
    batch: int, where: str, workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = stopped_and_resumed(UNREPEATABLE, batch, "run")
    said = capsys.readouterr().out
    assert f"gave other batches than before: the run goes on exactly from {where}" in said
    assert [row["epoch"] for row in run.read_result().epochs] == [1, 2, 3]
    assert [path.name for path in (LOGS / "run/checkpoints").glob("last*")] == ["last.ckpt"]


def test_run_ends_as_one_that_was_stopped_at_the_end_of_the_epoch(workspace: Path) -> None:
    within = stopped_and_resumed(ENDLESS, 15, "within")
    assert_same_end(within, stopped_and_resumed(ENDLESS, 10, "end"))
