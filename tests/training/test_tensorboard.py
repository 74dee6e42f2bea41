"""What one sees first in TensorBoard: the curves of loss and accuracy, and the settings that differ between runs."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from selenium.webdriver import Chrome
from selenium.webdriver.support.ui import WebDriverWait

from convblocks import DigitClassifier, MNISTDataModule
from convblocks.runs.directory import LOGS, RunDirectory
from convblocks.training.config import Config
from convblocks.training.tensorboard import RunTensorBoardLogger, columns
from tests.any_trainer.plain import trainer
from tests.conftest import DEBUG
from tests.evaluation.board import get, serving
from tests.handwriting.browser import chromium
from tests.training.test_fit import curves, train

SCREEN = {"width": 1280, "height": 900, "deviceScaleFactor": 1, "mobile": False}

# The tags of all cards in groups that are open, and of those of which a third, at the least, is on the screen.
CARDS = """
const tag = card => card.querySelector("tb-truncated-path").title
const isSeen = card => card.getBoundingClientRect().y + card.offsetHeight / 3 <= innerHeight
const cards = [...document.querySelectorAll("card-view")].filter(card => card.querySelector("tb-truncated-path"))
return [cards.map(tag), cards.filter(isSeen).map(tag)]
"""

TRAINING = ["train/acc", "train/loss", "train/loss_step", "train/lr"]

PICTURES_SHOWN = """
const found = []
const look = root => root.querySelectorAll("*").forEach(one => {
    if (one.localName === "img" && one.width && one.src.includes("individualImage"))
        found.push([one.naturalWidth, one.naturalHeight, one.width, one.height])
    if (one.shadowRoot) look(one.shadowRoot)
})
look(document)
return found
"""


@pytest.fixture(scope="module", params=["test", "val"])
def board(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[tuple[str, str]]:
    """The address of a server that shows one run, and the split of its evaluations: ``test`` or ``val``."""
    folder = tmp_path_factory.mktemp("board")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        train("--arch", "mlp", "--name", "run", "--data.val_size", "1000" if request.param == "val" else "0")
    with serving(folder / LOGS) as address:
        yield address, request.param


@pytest.fixture(scope="module")
def window(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chrome]:
    with chromium(tmp_path_factory.mktemp("profile")) as window:
        window.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", SCREEN)
        yield window


@pytest.mark.slow
def test_the_first_screen_has_the_curves_of_loss_and_accuracy(board: tuple[str, str], window: Chrome) -> None:
    """The validation charts come right below: four training charts, in two rows, come before them."""
    address, evaluated = board
    window.get(address)
    WebDriverWait(window, 120).until(lambda window: len(window.execute_script(CARDS)[0]) >= 6)
    opened, seen = window.execute_script(CARDS)
    if evaluated == "test":
        assert seen == ["test/acc", "test/loss", "train/acc", "train/loss"]
        assert opened == ["test/acc", "test/loss", *TRAINING]
    else:
        assert seen == TRAINING
        assert opened[:6] == [*TRAINING, "val/acc", "val/loss"]


@pytest.mark.slow
def test_one_figure_is_shown_undistorted(board: tuple[str, str], window: Chrome) -> None:
    address, _ = board
    window.get(f"{address}/#images")
    window.refresh()
    pictures = WebDriverWait(window, 120).until(lambda window: window.execute_script(PICTURES_SHOWN))
    ((width, height, shown_width, shown_height),) = pictures
    assert width / height == pytest.approx(shown_width / shown_height, rel=0.01)


@pytest.mark.slow
def test_the_hparams_tab_has_the_settings_that_people_vary(board: tuple[str, str]) -> None:
    address, _ = board
    experiment = json.loads(get(address, "plugin/hparams/experiment", {"experimentName": ""}))
    shown = {column["name"] for column in experiment["hparamInfos"]}
    assert shown >= {"arch", "batch_size", "lr", "lr_scheduler", "seed", "data.val_size"}


@pytest.mark.parametrize(
    ("val_size", "opened", "others"),
    [(0, ["test", "train"], ["vitals", "when_done"]), (1000, ["train", "val"], ["vitals", "when_done"])],
)
def test_the_two_groups_that_tensorboard_opens_are_the_curves(
    workspace: Path, val_size: int, opened: list[str], others: list[str]
) -> None:
    train("--arch", "mlp", "--name", "run", "--data.val_size", str(val_size))
    shown = curves(RunDirectory("run"))
    groups = sorted({tag.partition("/")[0] for tag in shown})
    assert groups == opened + others
    assert all(len(points) == 2 for tag, points in shown.items() if tag.endswith(("/acc", "/loss")))
    assert all(len(points) == 1 for tag, points in shown.items() if tag.startswith("when_done/"))


class Talkative(DigitClassifier):
    """Logs additional metrics, one of them named epoch."""

    def on_train_epoch_end(self) -> None:
        super().on_train_epoch_end()
        self.log_dict({"mine": 7.0, "group/mine": 8.0, "epoch": self.current_epoch + 0.5})


def test_a_modules_own_metrics_keep_their_names(workspace: Path) -> None:
    run = RunDirectory("run")
    trainer(workspace, logger=RunTensorBoardLogger(run, purge_step=0, tests_once=False)).fit(
        Talkative("mlp"), datamodule=MNISTDataModule()
    )
    shown = curves(run)
    assert (shown["mine"], shown["group/mine"]) == ([(19, 7.0), (39, 7.0)], [(19, 8.0), (39, 8.0)])
    assert shown["epoch"] == [(19, 0.5), (39, 1.5)]


def columns_of(*flags: str) -> dict[str, Any]:
    """The columns of a run with these flags."""
    return columns(Config.parse([*DEBUG, "--arch", "mlp", *flags]).settings)


def test_the_columns_are_the_settings_that_change() -> None:
    assert {"arch", "lr", "seed", "lr_scheduler", "batch_size", "optimizer", "data.shift"} <= columns_of().keys()
    assert not {"threads", "data.root", "trainer.accelerator", "trainer.barebones"} & columns_of().keys()
    assert columns_of("--trainer.gradient_clip_val", "0.5")["trainer.gradient_clip_val"] == 0.5


def test_a_class_has_a_column_for_its_name_and_for_each_argument() -> None:
    options = columns_of("--lr_scheduler", "StepLR", "--lr_scheduler.step_size", "2")
    assert options["lr_scheduler.class_path"] == "StepLR"
    assert options["lr_scheduler.init_args.step_size"] == 2
