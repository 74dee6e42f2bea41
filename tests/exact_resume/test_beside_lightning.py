"""A Trainer with ExactResume does what the same Trainer does without it, and only adds."""

import time
from collections.abc import Iterator
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import Any
from unittest.mock import ANY, Mock

import pytest
import torch
from lightning import Callback, LightningDataModule, LightningModule, Trainer, seed_everything
from lightning.fabric.utilities.cloud_io import get_filesystem
from lightning.pytorch.callbacks import LearningRateFinder, ModelCheckpoint
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset

from exact_resume import ExactResume, Stopped
from tests.any_task.kinds import POINTS, STEPS, Kind, Plain
from tests.any_task.stop import Signal, forget_signal
from tests.exact_resume.subjects import QUIET

NOT_EXACT = "goes on as Lightning resumes it, which is not exact"

pytestmark = [
    pytest.mark.filterwarnings("ignore:'set_vital' is deprecated"),  # by torchdata
    pytest.mark.filterwarnings("ignore:Checkpoint directory .* exists and is not empty"),
    # What a plain Trainer says of such trainings.
    pytest.mark.filterwarnings("ignore:You're resuming from a checkpoint that ended before"),
    pytest.mark.filterwarnings("ignore:Be aware that when using .ckpt_path., callbacks used"),
    pytest.mark.filterwarnings("ignore:You defined a .validation_step. but have no"),
]


class Batches(Callback):
    """Notes the batches that a training sees."""

    keeps_own_state = True

    def __init__(self) -> None:
        self.seen: list[Tensor] = []

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        self.seen.append(batch)


class OfTorch(Kind):
    """Has torch's own loader."""

    def train_dataloader(self) -> Any:
        points: Any = POINTS
        return DataLoader(points, 5)


class Stream(IterableDataset[Tensor]):
    """Such as a queue: what is read is gone."""

    def __init__(self, points: Iterator[Tensor]) -> None:
        self.points = points

    def __iter__(self) -> Iterator[Tensor]:
        for _ in range(4):
            yield next(self.points)


class Streams(LightningDataModule):
    def __init__(self) -> None:
        super().__init__()
        self.stream = Stream(iter(POINTS))

    def train_dataloader(self) -> Any:
        return DataLoader(self.stream)


class Two(Kind):
    """Has two training loaders."""

    def train_dataloader(self) -> Any:
        return [super().train_dataloader(), super().train_dataloader()]


class Second(Plain):
    """Trains with the batches of the second loader."""

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        return super().training_step(batch[1], batch_idx)


class Drawing(Callback):
    """Draws a random number before each epoch."""

    def on_train_epoch_start(self, *_: Any) -> None:
        torch.rand(1)


class Tuning(LearningRateFinder):
    """Searches again at the start of some epochs, as in Lightning's manual."""

    def on_fit_start(self, *_: Any) -> None: ...

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.current_epoch in (0, 2):
            self.lr_find(trainer, pl_module)


class Counted(Plain):
    """Counts its steps."""

    def __init__(self) -> None:
        super().__init__()
        self.lr = 0.1
        self.steps = 0

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        self.steps += 1
        return super().training_step(batch, batch_idx)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def fit(
    module: LightningModule,
    *callbacks: Callback,
    data: Any = None,
    ckpt_path: Path | str | None = None,
    **settings: Any,
) -> Trainer:
    seed_everything(0, verbose=False)
    trainer = Trainer(**QUIET | {"callbacks": [*callbacks]} | settings)
    trainer.fit(module, datamodule=data, ckpt_path=ckpt_path, weights_only=True)
    return trainer


def test_checkpoints_of_others_on_remote_disks_stay_there(tmp_path: Path) -> None:
    remote = ModelCheckpoint("memory://bucket/run", "best")
    fit(Plain(), remote, ExactResume("last.ckpt"), data=Kind(), max_epochs=1)
    assert get_filesystem("memory://bucket").find("/bucket") == ["/bucket/run/best.ckpt"]
    assert [path.name for path in tmp_path.glob("[!.]*")] == ["last.ckpt"]


def test_checkpoint_without_its_state_resumes_as_lightning_does(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Which another Trainer has written."""
    fit(Plain(), ModelCheckpoint("kept", "first"), data=Kind(), max_epochs=1)
    trainer = fit(
        Plain(), ExactResume("last.ckpt"), data=Kind(), max_epochs=2, ckpt_path="kept/first.ckpt"
    )
    assert trainer.global_step == 2 * STEPS
    assert NOT_EXACT in capsys.readouterr().out


@pytest.mark.parametrize("settings", [{}, {"val_check_interval": 0.5}])
def test_checkpoint_of_another_moment_sees_the_batches_that_lightning_would(
    settings: dict[str, Any],
) -> None:
    """Which a user's callback has written within an epoch, in an evaluation, or at its end."""
    seen: list[list[Tensor]] = []
    for resume in ([], [ExactResume("last.ckpt")]):
        kept = ModelCheckpoint(f"kept{len(resume)}", monitor="val/loss", save_top_k=1)
        fit(Plain(), kept, *resume, data=Kind("torch"), max_epochs=1, **settings)
        batches = Batches()
        fit(
            Plain(),
            batches,
            *resume,
            data=Kind("torch"),
            max_epochs=2,
            ckpt_path=kept.best_model_path,
            **settings,
        )
        seen.append(batches.seen)
    assert len(seen[0]) == len(seen[1])


@pytest.mark.parametrize("finder", [LearningRateFinder, Tuning])
def test_finder_within_a_training_is_not_taken_for_a_resume(
    finder: type[LearningRateFinder], capsys: pytest.CaptureFixture[str]
) -> None:
    ends = []
    for resume in ([], [ExactResume("last.ckpt")]):
        tuning = finder(num_training_steps=20, early_stop_threshold=None)
        module = Counted()
        trainer = fit(module, tuning, *resume, data=Kind(), max_epochs=4, limit_val_batches=0)
        ends.append((module.steps, trainer.global_step, module.lr, torch.rand(1)))
    assert ends[0] == ends[1]
    assert "which is not exact" not in capsys.readouterr().out


@pytest.mark.parametrize("kind", ["", "torch global"])
def test_training_goes_on_within_an_epoch_that_max_steps_has_cut(kind: str) -> None:
    """With the batches that a longer training would see."""
    batches = Batches()
    fit(Plain(), batches, ExactResume("whole.ckpt"), data=Kind(kind), max_steps=STEPS + 5)
    short, resumed = Batches(), Batches()
    fit(Plain(), short, ExactResume("last.ckpt"), data=Kind(kind), max_steps=STEPS + 2)
    fit(
        Plain(),
        resumed,
        ExactResume("last.ckpt"),
        data=Kind(kind),
        max_steps=STEPS + 5,
        ckpt_path="last.ckpt",
    )
    assert torch.equal(torch.stack(batches.seen), torch.stack([*short.seen, *resumed.seen]))


def test_evaluation_after_a_resume_within_an_epoch_is_whole_with_max_steps() -> None:
    ends = []
    for name, stops in (("whole", []), ("stopped", [Signal(STEPS + 2)])):
        path = Path(f"{name}.ckpt")
        settings: dict[str, Any] = {"data": Kind(), "max_steps": 2 * STEPS}
        seed_everything(0, verbose=False)  # the weights
        with suppress(Stopped):
            fit(Plain(), *stops, ExactResume(path), **settings)
        forget_signal()
        ends.append(fit(Plain(), ExactResume(path), ckpt_path=path, **settings).callback_metrics)
    assert ends[0] == ends[1]


@pytest.mark.parametrize("others", [(), (Drawing(),)], ids=["plain", "with a hook"])
def test_stream_loses_nothing_in_a_resume(others: tuple[Callback, ...]) -> None:
    """Its loader iterates once, after hooks that may draw."""
    data, batches = Streams(), Batches()
    callbacks = *others, batches, ExactResume("last.ckpt")
    fit(Plain(), *callbacks, data=data, max_epochs=1)
    fit(Plain(), *callbacks, data=data, max_epochs=2, ckpt_path="last.ckpt")
    assert torch.equal(torch.cat(batches.seen), POINTS[:8])


class Idle(Callback):
    """Has a hook between the two times at which a loader may iterate for a resume."""

    keeps_own_state = True

    def on_train_epoch_start(self, *_: Any) -> None: ...


@pytest.mark.parametrize("kind", ["stream", "counted"])
@pytest.mark.parametrize("callbacks", [(), (Idle(),)], ids=["plain", "with a hook"])
@pytest.mark.parametrize("limit", [1.0, 10])
def test_stream_resumes_exactly_at_the_end_of_an_epoch(
    kind: str, callbacks: tuple[Callback, ...], limit: float
) -> None:
    """Also one that ends before a limit of batches."""
    ends = []
    for path, lengths in (("whole.ckpt", [3]), ("last.ckpt", [1, 3])):
        for epochs in lengths:
            seed_everything(0, verbose=False)
            module, resume = Plain(), ExactResume(path)
            fit(
                module,
                *callbacks,
                resume,
                data=Kind(kind),
                max_epochs=epochs,
                limit_train_batches=limit,
                ckpt_path=resume.ckpt_path,
            )
        ends.append(torch.nn.utils.parameters_to_vector(module.parameters()))
    assert torch.equal(*ends)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"path": "."}, "is a folder: name a file in it"),
        ({"every_n_train_steps": -5}, "is a number of steps, or 0, not -5"),
        ({"every_n_train_steps": "500"}, "is a number of steps, or 0, not '500'"),
        ({"train_time_interval": 600}, "is a datetime.timedelta, not 600"),
    ],
)
def test_wrong_arguments_are_refused_at_once(arguments: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        ExactResume(**{"path": "last.ckpt"} | arguments)


def test_training_that_begins_anew_says_that_it_will_replace_a_checkpoint(
    capsys: pytest.CaptureFixture[str],
) -> None:
    resume = ExactResume("last.ckpt")
    fit(Plain(), resume, data=Kind(), max_epochs=1)
    fit(Plain(), resume, data=Kind(), ckpt_path=resume.ckpt_path, max_epochs=2)
    assert capsys.readouterr().out == ""
    fit(Plain(), resume, data=Kind(), max_epochs=1)
    assert "begins anew and will replace it: pass ckpt_path" in capsys.readouterr().out


@pytest.mark.parametrize("data", [Kind(), OfTorch()], ids=["stateful", "of torch"])
def test_trainer_can_be_saved_after_a_training(data: Kind) -> None:
    trainer = fit(Plain(), ExactResume("last.ckpt"), data=data, max_epochs=1)
    content = BytesIO()
    torch.save(trainer, content)
    content.seek(0)
    assert torch.load(content, weights_only=False).global_step == STEPS


def test_it_saves_after_the_checkpoints_of_the_user() -> None:
    """So that its own holds what they have noted of theirs, wherever it stands in the list."""
    kept = ModelCheckpoint("kept", save_top_k=-1, every_n_epochs=1)
    trainer = fit(Plain(), ExactResume("last.ckpt"), kept, data=Kind(), max_epochs=2)
    saved = torch.load("last.ckpt", weights_only=True)["callbacks"][kept.state_key]
    assert saved["best_model_path"] == kept.best_model_path
    assert isinstance(trainer.callbacks[-1], ExactResume)  # type: ignore[attr-defined]


def test_storage_options_reach_the_plugin(monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = fit(Plain(), ExactResume("last.ckpt"), data=Kind(), max_epochs=1)
    plugin = Mock()
    monkeypatch.setattr(trainer.strategy.checkpoint_io, "others", plugin)
    trainer.save_checkpoint("other.ckpt", storage_options={"region": "north"})
    plugin.save_checkpoint.assert_called_with(
        ANY, "other.ckpt", storage_options={"region": "north"}
    )


def test_checkpoint_is_written_after_a_training_with_combined_loaders() -> None:
    trainer = fit(Second(), ExactResume("last.ckpt"), data=Two(), max_epochs=1)
    trainer.save_checkpoint("other.ckpt")
    assert Path("other.ckpt").is_file()


def test_lone_process_leaves_the_clock_to_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """Some tests count how often it is asked."""
    monkeypatch.setattr(time, "perf_counter", Mock(side_effect=AssertionError))
    fit(Plain(), ExactResume("last.ckpt"), data=Kind(), max_epochs=1)
