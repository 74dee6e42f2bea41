"""Questions about a Trainer that trains: its callbacks, its loaders, how many steps are
done; and a way to act after a hook of its module.
"""

from collections.abc import Callable
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Timer
from lightning.pytorch.callbacks.progress.tqdm_progress import Tqdm
from lightning.pytorch.utilities import rank_zero_only

from exact_resume.lightning_private import TRAIN_LOADERS, VAL_LOADERS

# Objects of any kind, each by its name.
ByName = dict[str, Any]


def nothing(*_: Any) -> None:
    """Do nothing: takes the place of a hook."""


@rank_zero_only
def say(text: str) -> None:
    """Print in one process only, above a progress bar."""
    with Tqdm.external_write_mode():
        print(text)


def callbacks_of(trainer: Trainer, *classes: type) -> list[Any]:
    """A Trainer's callbacks of these classes."""
    callbacks = trainer.callbacks  # type: ignore[attr-defined]  # Lightning sets it at run time
    return [callback for callback in callbacks if isinstance(callback, classes)]


def loaders_of(trainer: Trainer) -> list[Any]:
    """The training loaders; none before they are set up."""
    return list(getattr(TRAIN_LOADERS.of(trainer.fit_loop), "flattened", ()))


def validation_loaders_of(trainer: Trainer) -> list[Any]:
    """The validation loaders; none before they are set up."""
    return list(getattr(VAL_LOADERS.of(trainer.fit_loop.epoch_loop.val_loop), "flattened", ()))


def has_persistent_workers(loader: Any) -> bool:
    """True for a loader whose worker processes live from one epoch to the next."""
    return bool(getattr(loader, "persistent_workers", False))


def is_stateful(part: Any) -> bool:
    """True for a loader, sampler or data set that can say where it is, and go there."""
    return hasattr(part, "state_dict") and hasattr(part, "load_state_dict")


def steps_done(trainer: Trainer) -> int:
    """The number of steps so far, as loggers count them: with manual optimization each batch
    is one step, however often optimizers step.
    """
    if trainer.lightning_module.automatic_optimization:
        return trainer.global_step
    return trainer.fit_loop.total_batch_idx + 1


def is_out_of_time(trainer: Trainer) -> bool:
    """True once the time of ``max_time`` or of a Timer is up."""
    remaining = [timer.time_remaining() for timer in callbacks_of(trainer, Timer)]
    return any(left is not None and left <= 0 for left in remaining)


def after_own(module: LightningModule, hook: str, act: Callable[[], None]) -> None:
    """Act once the module's own hook has been called, which comes after those of callbacks.

    Args:
        module: The module, whose hook is replaced for one call.
        hook: The name of the hook; a callback's hook of that name calls this function.
        act: The function to call.
    """
    attributes, own = vars(module), getattr(module, hook)
    was_set = hook in attributes

    def own_then_act(*arguments: Any) -> None:
        attributes.pop(hook)
        if was_set:
            attributes[hook] = own
        if callable(own):  # Lightning skips one that is not
            own(*arguments)
        act()

    attributes[hook] = own_then_act
