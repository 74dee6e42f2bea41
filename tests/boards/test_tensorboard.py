"""What one sees first in TensorBoard: the curves of loss and accuracy, and the settings that differ between runs."""

from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
from selenium.webdriver.support.ui import WebDriverWait

from convblocks import ImageClassifier, MNISTDataModule
from convblocks.boards import callback
from convblocks.boards.tensorboard import RunTensorBoardLogger, columns
from convblocks.run.config import Config
from convblocks.run.directory import LOGS, RunDirectory
from tests.conftest import DEBUG
from tests.core.any_trainer.plain import trainer
from tests.core.run.test_fit import TENSORBOARD, curves, metric_rows, quick_run
from tests.demo.browser import chromium
from tests.evaluate.board import serving

SCREEN = {"width": 1280, "height": 900, "deviceScaleFactor": 1, "mobile": False}

# The tags of all cards in groups that are open, and of those of which a third, at the least, is on the screen.
CARDS = """
const tag = card => card.querySelector("tb-truncated-path").title
const isSeen = card => card.getBoundingClientRect().y + card.offsetHeight / 3 <= innerHeight
const cards = [...document.querySelectorAll("card-view")].filter(card => card.querySelector("tb-truncated-path"))
return [cards.map(tag), cards.filter(isSeen).map(tag)]
"""


@pytest.mark.slow
def test_the_first_screen_has_the_curves_of_loss_and_accuracy(workspace: Path) -> None:
    quick_run(*TENSORBOARD)
    with serving(workspace / LOGS) as address, chromium(workspace / "profile") as window:
        window.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", SCREEN)
        window.get(address)
        WebDriverWait(window, 120).until(lambda window: len(window.execute_script(CARDS)[0]) >= 6)
        opened, seen = window.execute_script(CARDS)
    assert seen == ["test/acc", "test/loss", "train/acc", "train/loss"]
    assert opened == [*seen, "train/loss_step", "train/lr"]


def test_tensorboard_shows_the_curves_and_final_values_apart_from_them(workspace: Path) -> None:
    run = quick_run(*TENSORBOARD)
    shown, rows = curves(run), metric_rows(run)
    for tag in ("train/loss", "train/acc", "test/loss", "test/acc"):
        assert [step for step, _ in shown[tag]] == [19, 39]  # Lightning's loggers count from 0
        assert [value for _, value in shown[tag]] == pytest.approx([float(row[tag]) for row in rows])
    assert [step for step, _ in shown["train/loss_step"]] == list(range(4, 40, 5))
    assert [value for _, value in shown["train/lr"]] == [pytest.approx(0.01)] * 8
    assert len(shown["vitals/speed/seconds"]) == 2
    assert shown["when_done/test_acc"] == [pytest.approx((40, float(rows[-1]["test/acc"])))]
    assert "hp_metric" not in shown


def test_a_failure_after_training_does_not_lose_the_summary(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(callback, "write_evaluation", Mock(side_effect=ZeroDivisionError))
    with pytest.raises(ZeroDivisionError):
        quick_run(*TENSORBOARD)
    assert RunDirectory("run").result_after(2)


@pytest.mark.parametrize(("val_size", "opened"), [(0, ["test", "train"]), (1000, ["train", "val"])])
def test_the_two_groups_that_tensorboard_opens_are_the_curves(
    workspace: Path, val_size: int, opened: list[str]
) -> None:
    shown = curves(quick_run(*TENSORBOARD, "--data.val_size", str(val_size)))
    groups = sorted({tag.partition("/")[0] for tag in shown})
    assert groups == [*opened, "vitals", "when_done"]
    assert all(len(points) == 2 for tag, points in shown.items() if tag.endswith(("/acc", "/loss")))
    assert all(len(points) == 1 for tag, points in shown.items() if tag.startswith("when_done/"))


class Talkative(ImageClassifier):
    """Logs additional metrics."""

    def on_train_epoch_end(self) -> None:
        super().on_train_epoch_end()
        self.log_dict({"mine": 7.0, "group/mine": 8.0})


def test_a_modules_own_metrics_keep_their_names(workspace: Path) -> None:
    run = RunDirectory("run")
    trainer(workspace, logger=RunTensorBoardLogger(run, purge_step=0, tests_once=False)).fit(
        Talkative("mlp"), datamodule=MNISTDataModule()
    )
    shown = curves(run)
    assert (shown["mine"], shown["group/mine"]) == ([(19, 7.0), (39, 7.0)], [(19, 8.0), (39, 8.0)])


def columns_of(*flags: str) -> dict[str, Any]:
    """The columns of a run with these flags."""
    return columns(Config.parse([*DEBUG, "--arch", "mlp", *flags]).settings)


def test_the_columns_are_the_settings_that_change() -> None:
    of_model = {"model", "model.arch", "model.lr", "model.lr_scheduler", "model.optimizer"}
    assert of_model | {"seed", "data.batch_size", "data.shift"} <= columns_of().keys()
    assert not {"trainer.max_steps", "trainer.barebones"} & columns_of().keys()
    assert columns_of("--trainer.gradient_clip_val", "0.5")["trainer.gradient_clip_val"] == 0.5


def test_a_class_has_a_column_for_its_name_and_for_each_argument() -> None:
    options = columns_of("--lr_scheduler", "StepLR", "--lr_scheduler.step_size", "2")
    assert options["model.lr_scheduler"] == "StepLR"
    assert options["model.lr_scheduler.step_size"] == 2


def test_a_test_at_the_end_is_a_final_value_and_no_curve(workspace: Path) -> None:
    shown = curves(quick_run("--data.val_size", "2000", *TENSORBOARD))
    assert [step for step, _ in shown["when_done/test_acc"]] == [40]
    assert "test/acc" not in shown
