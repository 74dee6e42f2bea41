"""Commands on the checkpoint of a network of a user's own, and what such a run leaves."""

import re
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from convblocks.errors import UserError
from convblocks.model.restore import load_network
from tests.core.run.test_fit import TENSORBOARD, quick_run
from tests.scripts import run_script


def test_a_network_without_filters_and_relus_leaves_a_whole_run(
    own_networks: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = quick_run("--arch", "own_networks.Rows", *TENSORBOARD)
    assert EventAccumulator(str(run.path)).Reload().Tags()["images"]
    assert run.result_after(2)
    assert not [column for row in run.read_metrics() for column in row if column.startswith("dead/")]
    assert "dead units" not in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize(
    "command",
    [["evaluate"], ["predict", "picture.png"], ["export"], ["demo", "--port", "0"]],
    ids=lambda command: command[0],
)
def test_a_checkpoint_imports_no_foreign_module_by_itself(own_networks: Path, command: list[str]) -> None:
    name, *arguments = command
    call = [name, str(quick_run("--arch", "own_networks.Rows").last_checkpoint), *arguments]
    own_networks.write_text("raise ImportError('imported')")
    refused = run_script(*call, cwd=own_networks.parent)
    assert refused.returncode == 1
    assert refused.stderr.endswith("of the class 'own_networks.Rows': allow its import with --arch and this name\n")
    allowed = run_script(*call, "--arch", "own_networks.Rows", cwd=own_networks.parent)
    assert allowed.stderr.endswith("ImportError: imported\n")


@pytest.mark.slow
def test_with_its_class_a_checkpoint_is_evaluated(own_networks: Path) -> None:
    checkpoint = quick_run("--arch", "own_networks.Rows").last_checkpoint
    call = ["evaluate", str(checkpoint), "--arch", "own_networks.Rows"]
    finished = run_script(*call, cwd=own_networks.parent)
    assert finished.returncode == 0, finished.stderr
    assert "own_networks.Rows on the 10,000 test images" in finished.stdout
    with pytest.raises(UserError, match=re.escape("own_networks.Rows")):
        load_network(checkpoint, ["own_networks.Other"])
