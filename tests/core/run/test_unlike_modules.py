"""Modules whose weights, optimizers or metrics are not all there from the start to the end."""

from pathlib import Path

import pytest

from convblocks.errors import UserError
from convblocks.run import fit
from convblocks.run.config import Config
from convblocks.run.directory import RunDirectory
from tests.any_task.tasks import HERE

pytestmark = pytest.mark.filterwarnings("ignore:.*this fit will run with no optimizer")


def options_of(module: str, epochs: int = 3) -> list[str]:
    options = ["--model", f"{HERE}.unlike.{module}", "--data", f"{HERE}.regression.Points", "--judge", "val/rmse:min"]
    return [*options, "--epochs", str(epochs)]


def test_checkpoint_is_kept_of_epochs_without_a_step(workspace: Path) -> None:
    fit.main([*options_of("Untrained", epochs=1), "--model.manual", "true", "--name", "run"])
    assert RunDirectory("run").last_checkpoint.is_file()


@pytest.mark.parametrize(
    ("module", "message"),
    [
        ("Unpicklable", r"the checkpoint cannot be written: .*Unpicklable.*: leave it out"),
        ("Seldom", r"'val/rmse'.*not find the monitored key"),
    ],
)
def test_resume_would_miss_what_is_one_line_after_the_first_epoch(module: str, message: str, workspace: Path) -> None:
    with pytest.raises(UserError, match=message) as caught:
        fit.main([*options_of(module), "--name", "run"])
    assert "\n" not in str(caught.value)
    assert not RunDirectory("run").last_checkpoint.exists()


def test_strict_module_that_drops_weights_ends_in_one_line_and_so_does_its_resume(workspace: Path) -> None:
    for words in (options_of("StrictAdapter", epochs=2), ["--resume", "--epochs", "3"]):
        with pytest.raises(UserError, match=r"Missing key\(s\) in state_dict: .network\.0\.weight") as caught:
            fit.main([*words, "--name", "run"])
        assert "\n" not in str(caught.value)


def test_metric_of_every_other_epoch_is_nan_in_the_others(workspace: Path) -> None:
    fit.main([*options_of("Seldom"), "--model.nan", "true", "--name", "run"])
    result, run = RunDirectory("run").read_result(), RunDirectory("run")
    assert result.final["val/rmse"] == result.epochs[1]["val/rmse"]
    assert run.best_checkpoint.is_file()
    assert not result.failed


def test_resume_names_a_parameter_group_that_training_adds(workspace: Path) -> None:
    fit.main([*options_of("Thawing", epochs=2), "--name", "run"])
    with pytest.raises(UserError, match="loaded state dict has a different number of parameter groups"):
        fit.main(["--name", "run", "--resume", "--epochs", "3"])


def test_run_stays_where_it_began_if_the_module_changes_the_folder(workspace: Path) -> None:
    (workspace / "elsewhere").mkdir()
    fit.main([*options_of("Elsewhere", epochs=1), "--name", "run"])
    assert RunDirectory("run", workspace).read_result().epochs
    assert not list((workspace / "elsewhere").iterdir())


def test_class_for_a_parameter_of_any_type_is_not_called(workspace: Path) -> None:
    """Nobody has said of what kind it must be."""
    spec = '{"class_path": "tests.any_task.unlike.Elsewhere"}'
    config = Config.parse([*options_of("Untyped"), f"--model.anything={spec}"])
    module = config.make_module(config.make_data())
    assert vars(module)["anything"]["class_path"] == "tests.any_task.unlike.Elsewhere"
