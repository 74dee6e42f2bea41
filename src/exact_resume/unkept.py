"""Tells the user what a training changes though no checkpoint holds it: objects in
attributes, and what loaders hold that no keeper can keep.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_only
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from torch.utils.data import DataLoader, Sampler

from exact_resume.digest import digest
from exact_resume.errors import listed
from exact_resume.keeper import Keeper
from exact_resume.keepers.attributes import Attributes
from exact_resume.keepers.built_in import KEEPERS
from exact_resume.keepers.generators import generators_of
from exact_resume.keepers.marks import mark
from exact_resume.keepers.owners import Place, attributes_of
from exact_resume.keepers.values import CONTAINERS, memory_of, objects_in
from exact_resume.keepers.workers import has_generators_of_workers
from exact_resume.training import say

# The number of first saves of a training at which it looks for what has changed.
LOOKS = 3

# The most parts of a value that is looked at; a value with more is not.
MOST = 20_000

# The numbers, about so many, that are looked at in a tensor or an array: it may be a data set.
NUMBERS = 50_000

# The levels of parts that are looked into, in what a checkpoint holds.
DEPTH = 3

# The keys of a checkpoint that Lightning and ExactResume write; other keys are a user's.
LIGHTNINGS = {
    *("epoch", "global_step", "pytorch-lightning_version", "state_dict", "loops", "callbacks"),
    *("optimizer_states", "hparams_name", "hyper_parameters", "datamodule_hyper_parameters"),
    *("datamodule_hparams_name", "hparams_type", "datamodule_hparams_type", "exact_resume_save"),
}

# Objects that are not looked at, by their class, its package, or the end of its name: they
# change no result, or are kept.
LEFT_OUT = (
    *(type, Trainer, LightningModule, Callback, Optimizer, LRScheduler, DataLoader, Sampler),
)
PACKAGES = {
    *("lightning", "lightning_fabric", "pytorch_lightning", "exact_resume", "logging", "pathlib"),
    *("io", "_io", "threading", "_thread", "queue", "multiprocessing", "concurrent", "subprocess"),
    *("asyncio", "socket", "time", "datetime", "tempfile", "contextlib", "weakref", "unittest"),
    *("tqdm", "rich", "tensorboard", "tensorboardX", "wandb", "mlflow", "matplotlib", "PIL"),
    *("h5py", "lmdb", "pandas", "pyarrow", "datasets"),
}
NAMES = ("logger", "writer", "progress", "bar", "timer", "stopwatch", "profiler", "iterator")


class Unkept:
    """Looks, at the first saves of a training, for what has changed since it began and no
    checkpoint holds; prints each name once, in the first process.

    Args:
        keepers: The keepers of the training.
    """

    def __init__(self, keepers: Sequence[Keeper]) -> None:
        self.keepers = keepers
        (self.attributes,) = (keeper for keeper in keepers if isinstance(keeper, Attributes))
        self._left = 0
        self._said: set[str] = set()
        self._digests: dict[Place, str] = {}
        self._named: set[Place] = set()

    @rank_zero_only
    def begin(self) -> None:
        """Called when a training has begun, or was resumed."""
        self._left = LOOKS
        self._named = set()
        self._digests = {place: self._digest(value) for place, value in self._values()}

    @rank_zero_only
    def look(self, checkpoint: Mapping[str, Any]) -> None:
        """Called at a save, with all that it has written."""
        if not self._left:
            return
        self._left -= 1
        lost = [text for keeper in self.keepers for text in keeper.lost()]
        if new := [text for text in lost if text not in self._said]:
            self._said.update(new)
            say(f"not kept: {listed(new)}; a resume is exact if that changes no number")
        self._look_at_attributes(checkpoint)

    def _look_at_attributes(self, checkpoint: Mapping[str, Any]) -> None:
        changed = {
            place: value
            for place, value in self._values()
            if place not in self._named and self._has_changed(place, value)
        }
        if not changed:
            return
        held = set(_digests_in(checkpoint))
        # An object with several names is named once, by the first of them.
        first = {id(value): place for place, value in reversed(changed.items())}
        known = {place: changed[place] for place in first.values()}
        lost = {place: value for place, value in known.items() if not _is_held(value, held)}
        if lost:
            self._named |= changed.keys()
            what = [f"`{'.'.join(filter(None, place))}`, {_looks(v)}" for place, v in lost.items()]
            put = "it" if len(lost) == 1 else "them"
            say(f"not kept: {listed(what)}; put {put} into on_save_checkpoint")

    def _has_changed(self, place: Place, value: Any) -> bool:
        before, now = self._digests.get(place), self._digest(value)
        return now != before and now != "" and before != ""

    def _values(self) -> Iterator[tuple[Place, Any]]:
        """The attributes whose values no checkpoint can hold; the keepers keep the others."""
        trainer = self.attributes.trainer
        module = trainer.lightning_module
        self._parts = {id(part) for part in module.modules()}
        self._parts |= {id(generator) for generator in generators_of(trainer).values()}
        self._weights = memory_of([*module.parameters(), *module.buffers()])
        for place, value in attributes_of(trainer):
            if mark(value) is None and not self._is_left_out(value):
                yield place, value

    def _digest(self, value: Any) -> str:
        try:
            return digest(value, self._is_left_out, MOST, NUMBERS)
        except Exception:  # the code of a user's class may raise any
            return ""

    def _is_left_out(self, value: Any) -> bool:
        """True for a value that others keep, or that may change without any effect."""
        is_known = id(value) in self._parts or has_generators_of_workers(value)
        if is_known or isinstance(value, LEFT_OUT):
            return True
        if isinstance(value, Tensor):
            return value.is_meta or bool(memory_of(value) & self._weights)
        kind = type(value)
        if isinstance(value, nn.Module) or kind.__module__ == "builtins":
            return False
        is_of_packages = kind.__module__.partition(".")[0] in PACKAGES
        return is_of_packages or kind.__name__.lower().endswith(NAMES)


def _digests_in(checkpoint: Mapping[str, Any]) -> Iterator[str]:
    """The digests of the values that users have put into a checkpoint, and of their parts."""
    own = [value for key, value in checkpoint.items() if key not in LIGHTNINGS]
    built_in = {kind.__name__ for kind in KEEPERS}
    for state in checkpoint.get("callbacks", {}).values():
        processes = state.get("processes", []) if isinstance(state, dict) else []
        kept = [part for process in processes for part in process.items()]
        own += [part for name, part in kept if name not in built_in]
        own += [] if processes else [state]
    values = [(DEPTH, value) for value in own]
    for depth, value in values:  # the loop also visits what it appends
        yield digest(value)
        if depth and isinstance(value, CONTAINERS):
            parts = value.values() if isinstance(value, dict) else value
            values += [(depth - 1, part) for part in parts]


def _is_held(value: Any, held: set[str]) -> bool:
    """True if a checkpoint holds a value, its state, or all its parts.

    Args:
        value: The value.
        held: The digests of what the checkpoint holds.
    """
    forms = [value]
    for name in ("state_dict", "get_state", "getstate"):
        if not isinstance(value, type) and callable(getattr(value, name, None)):
            forms.append(getattr(value, name)())
    if isinstance(value, CONTAINERS):
        parts = [*value.values()] if isinstance(value, dict) else [*value]
        return digest(value) in held or (bool(parts) and all(_is_held(p, held) for p in parts))
    own = getattr(value, "__dict__", {})
    forms += [own] if own else []
    are_held = bool(own) and all(digest(part) in held for part in own.values())
    return are_held or any(digest(form) in held for form in forms)


def _looks(value: Any) -> str:
    """A value in words, by its class: `a Steps in a list`."""
    things = [thing for _, thing in objects_in(value, MOST)]
    inner = next((thing for thing in things if not isinstance(thing, CONTAINERS)), value)
    names = [_with_article(type(inner).__name__)]
    if inner is not value:
        names.append(_with_article(type(value).__name__))
    return " in ".join(names)


def _with_article(name: str) -> str:
    return f"{'an' if name[0].lower() in 'aeio' else 'a'} {name}"
