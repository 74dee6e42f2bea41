"""What a plain Trainer trains, stops and resumes: modules and loaders with a state that
Lightning's checkpoints lack.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from lightning import Callback, LightningDataModule, LightningModule, Trainer, seed_everything
from lightning.pytorch.callbacks import BatchSizeFinder, LearningRateFinder

from exact_resume import ExactResume
from tests.any_task import changing, kinds
from tests.any_task.kinds import LOADERS, STEPS, Kind, Plain
from tests.exact_resume.stopping import End, Train

QUIET: dict[str, Any] = {
    "enable_progress_bar": False,
    "enable_model_summary": False,
    "logger": False,
    "accelerator": "cpu",
}


class Subject(NamedTuple):
    """What is trained; ``steps`` are those of an epoch, and ``within`` the batch after
    which SIGTERM comes.
    """

    train: Train
    steps: int
    within: int


def by_trainer(
    model: Callable[[], LightningModule],
    data: Callable[[], LightningDataModule],
    settings: dict[str, Any],
    name: str,
    callbacks: list[Callback],
    finder: Callable[[], Callback] | None = None,
) -> End:
    """A plain Trainer, for three epochs, with ExactResume."""
    seed_everything(0, verbose=False)
    resume = ExactResume(Path(name) / "state.pt")
    finders = [finder()] if finder else []
    trainer = Trainer(max_epochs=3, callbacks=[*callbacks, *finders, resume], **(QUIET | settings))
    trainer.fit(model(), datamodule=data(), ckpt_path=resume.ckpt_path, weights_only=True)
    return trainer.lightning_module.state_dict() | trainer.callback_metrics


def plain(
    model: Callable[[], LightningModule], loader: str = "", within: int = STEPS + 3, **settings: Any
) -> Subject:
    """A module, with a loader of a kind."""
    return Subject(partial(by_trainer, model, partial(Kind, loader), settings), STEPS, within)


def found_by(finder: Callable[[], Callback], within: int) -> Subject:
    """A plain module, after a finder has chosen."""
    return Subject(partial(by_trainer, Plain, Kind, {}, finder=finder), STEPS, within)


MODULES = (
    *(
        kinds.MovingMean,
        kinds.Scored,
        kinds.Caching,
        kinds.Composed,
        kinds.Reduced,
        kinds.Histories,
        kinds.Sharing,
    ),
    *(changing.Scheduled, changing.Replaying, changing.Numbered),
)
OF_RATES = partial(LearningRateFinder, num_training_steps=20, early_stop_threshold=None)
OF_SIZES = partial(BatchSizeFinder, max_trials=2)

SUBJECTS = {
    **{f"module {model.__name__}": plain(model) for model in MODULES},
    "module ChangedInHooks": plain(changing.ChangedInHooks, val_check_interval=3),
    "module ChangedInHooks before its evaluation": plain(
        changing.ChangedInHooks, within=STEPS + 1, val_check_interval=3
    ),
    **{f"loader {kind}": plain(Plain, kind) for kind in LOADERS},
    "loader torch, evaluated within an epoch": plain(Plain, "torch global", val_check_interval=3),
    "loader torch, in the first epoch": plain(changing.Drawing, "torch global", within=3),
    "finder of rates": found_by(OF_RATES, STEPS + 3),
    "finder of sizes": found_by(OF_SIZES, 3),
}
