"""Whether a training names what nobody keeps, and nothing else."""

import random
import threading
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
import torch
from lightning import Callback, LightningModule, Trainer
from torch import nn
from torch.utils.data import DataLoader
from torchdata.stateful_dataloader import StatefulDataLoader

from exact_resume import ExactResume
from exact_resume.keepers.attributes import Attributes
from exact_resume.unkept import Unkept
from tests.any_task.changing import Steps
from tests.any_task.kinds import Kind, Noisy, Plain
from tests.exact_resume.subjects import QUIET

# Of torchdata.
pytestmark = pytest.mark.filterwarnings("ignore:'set_vital' is deprecated")


class Box:
    """Holds anything."""

    def __init__(self, value: Any = None) -> None:
        self.value = value


class Looking(Callback):
    """Looks at each end of an epoch, as a save would."""

    keeps_own_state = True

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        attributes = Attributes()
        attributes.setup(trainer)
        attributes.begin()
        self.unkept = Unkept([attributes])
        self.unkept.begin()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        checkpoint: dict[str, Any] = {"global_step": trainer.global_step, "callbacks": {}}
        pl_module.on_save_checkpoint(checkpoint)
        self.unkept.look(checkpoint)


class Acting(Plain):
    """Does something with an attribute in a step; others hold what it trains."""

    value: Any
    act: Callable[[Any], Any]
    save: Any = None

    def on_fit_start(self) -> None:
        self.blocks = [self.network, {"weights": [*self.parameters()]}, self.optimizers()]

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        if self.global_step == 1:
            self.act(self)
        return super().training_step(batch, batch_idx)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        if self.save:
            checkpoint["value"] = self.save(self)


def lines(
    value: Any, act: Callable[[Any], Any], save: Any, capsys: pytest.CaptureFixture[str]
) -> list[str]:
    """What such a training prints."""
    module = Acting()
    module.value, module.act, module.save = value, act, save
    settings = {"max_epochs": 3, "callbacks": [Looking()], "enable_checkpointing": False}
    trainer = Trainer(**QUIET | settings)
    trainer.fit(module, datamodule=Kind())
    return capsys.readouterr().out.splitlines()


def first() -> None: ...


def second() -> None: ...


def step(module: Any) -> None:
    module.value.done = 5


def grow(module: Any) -> None:
    with torch.no_grad():
        module.value[0].weight.mul_(2)


def turn(name: str, value: Any) -> Callable[[Any], Any]:
    return lambda module: setattr(module, name, value)


LOST: dict[str, tuple[Any, Callable[[Any], Any], str]] = {
    "object": (Steps(), step, "a Steps"),
    "module in a list": ([nn.Linear(2, 2)], grow, "a Linear in a list"),
    "deque in an object": (
        {"a": Box(deque())},
        lambda module: module.value["a"].value.append(1),
        "a Box in a dict",
    ),
    "function": (first, turn("value", second), "a function"),
}


@pytest.mark.parametrize("name", LOST)
def test_what_is_lost_is_named_once(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    value, act, looks = LOST[name]
    said = f"not kept: `value`, {looks}; put it into on_save_checkpoint"
    assert lines(value, act, None, capsys) == [said]


QUIETLY: dict[str, tuple[Any, Callable[[Any], Any], Any]] = {
    "nothing": (Steps(), lambda module: None, None),
    "number": (1, turn("value", 2), None),
    "saved": (Steps(), step, lambda module: {"steps": [{"done": module.value.done}]}),
    "saved parts": (Steps(), step, lambda module: {"steps": vars(module.value)}),
    "saved module": ([nn.Linear(2, 2)], grow, lambda module: module.value[0].state_dict()),
    "generator": (random.Random(1), lambda module: module.value.random(), None),
    "path": (Path("a"), turn("value", Path("b")), None),
    "mock": (Mock(), lambda module: module.value.call(), None),
    "thread": (None, turn("value", threading.Lock()), None),
    "large": (Box([*range(30_000)]), lambda module: module.value.value.append(1), None),
}


@pytest.mark.parametrize("name", QUIETLY)
def test_nothing_else_is_named(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    value, act, save = QUIETLY[name]
    assert lines(value, act, save, capsys) == []


class WithWorkers(Kind):
    """Holds its data set, as most data modules do."""

    def __init__(self, loader: type[Any]) -> None:
        super().__init__()
        self.loader = loader
        self.train = Noisy()

    def train_dataloader(self) -> Any:
        return self.loader(self.train, batch_size=5, num_workers=2)


def draw(module: Any) -> None:
    random.random()


@pytest.mark.parametrize("loader", [DataLoader, StatefulDataLoader])
def test_data_of_worker_processes_are_not_named(
    loader: type[Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Though the random numbers that go on are those which the workers take over."""
    module = Acting()
    module.act = draw
    trainer = Trainer(**QUIET | {"max_epochs": 2, "callbacks": [ExactResume(tmp_path / "a.ckpt")]})
    trainer.fit(module, datamodule=WithWorkers(loader))
    assert capsys.readouterr().out == ""
