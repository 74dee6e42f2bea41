"""Writes checkpoints so that a kill cannot damage them, and finds the one to resume from."""

import io
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.plugins.io import TorchCheckpointIO
from torch import Tensor
from torch.optim import SGD, Adagrad, Adam, AdamW, Optimizer

from convblocks.errors import UnreadableError, UsageError, UserError
from convblocks.files import write
from convblocks.model.checkpoints import check_weights, of_another_version, read_checkpoint

# The parts that a resume needs beyond weights and hyper-parameters, with their types.
RESUME_PARTS: dict[str, type] = {
    "optimizer_states": list,
    "lr_schedulers": list,
    "callbacks": dict,
    "loops": dict,
    "epoch": int,
    "global_step": int,
}

# The callback whose state in a checkpoint is the run's settings.
SETTINGS = "RunSettings"

# States, for a parameter and in its shape, of those of torch's optimizers that have fused kernels.
PARAMETER_SHAPED = {"exp_avg", "exp_avg_sq", "max_exp_avg_sq", "momentum_buffer", "sum"}

# Stands for the run directory in a checkpoint's paths: it may be renamed and moved, so that absolute ones are wrong.
RUN = "<run>"


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes checkpoints so that a kill at any moment leaves a complete one, without absolute paths.

    Lightning's callbacks store the paths of their checkpoints. Those in the run directory are stored relative to it,
    since runs are renamed, copied and moved to other machines.

    Args:
        run: The run directory.
        keep_previous: The checkpoint whose predecessor is kept too, as ``previous-<name>``.
        check_first: Whether to check that the first one can be read back.

    Raises:
        UserError: the first one holds more than weights and plain values.
    """

    def __init__(self, run: Path, keep_previous: Path, check_first: bool = False) -> None:
        super().__init__()
        self.run = run
        self.keep_previous = keep_previous
        self.check_first = check_first

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any | None = None) -> None:
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        content = io.BytesIO()  # first into memory: torch's file writer hides the reason of a disk error
        torch.save(relocated(checkpoint, str(self.run.resolve()), RUN), content)
        if self.check_first:
            refuse_objects(checkpoint)
            self.check_first = False
        complete = path.with_name(f".{path.name}.tmp")
        write(complete, content.getbuffer())
        if path.resolve() == self.keep_previous.resolve() and path.is_file():
            path.replace(previous(path))
        complete.replace(path)

    def load_checkpoint(self, path: str | Path, *arguments: Any, **options: Any) -> dict[str, Any]:
        checkpoint = super().load_checkpoint(path, *arguments, **options)
        return relocated(checkpoint, RUN, str(self.run.resolve()))


def refuse_objects(parts: Mapping[str, Any], owner: str = "the checkpoint's") -> None:
    """Raise a UsageError for a part that cannot be read without running code: found now, not by a resume."""
    if _is_readable(dict(parts)):
        return
    for name, part in parts.items():
        if not _is_readable(part):
            raise UsageError(
                f"{owner} {name} holds a {type(part).__name__} that a resume would refuse, since only plain values and "
                "tensors are safe to read: leave it out (save_hyperparameters has ignore=[...])"
            )


def _is_readable(part: Any) -> bool:
    content = io.BytesIO()
    try:
        torch.save(part, content)
        content.seek(0)
        torch.load(content, weights_only=True)
    except Exception:  # a pickle's errors are of many types
        return False
    return True


def previous(path: Path) -> Path:
    """The path of the previous checkpoint, which a newer one has replaced."""
    return path.with_name(f"previous-{path.name}")


def newest_checkpoint(path: Path, module: LightningModule) -> tuple[Path, dict[str, Any]] | None:
    """The path and content of the checkpoint to resume from: ``path``, or the previous one if it is missing or damaged.

    None if there is neither.

    Args:
        path: The newest checkpoint.
        module: Which resumes: the names and shapes of its state must be in the checkpoint.

    Raises:
        UserError: both are damaged, or one is damaged and the other missing; or one may not be read by this user.
    """
    problems = []
    for candidate in (path, previous(path)):
        if candidate.exists():
            try:
                return candidate, _read_resumable(candidate, module)
            except UnreadableError:
                raise
            except UserError as error:
                problems.append(str(error))
    if problems:
        raise UserError(f"{'; '.join(problems)}. Put an intact copy there, or delete it to start the run over")
    return None


def _read_resumable(path: Path, module: LightningModule) -> dict[str, Any]:
    """Read a checkpoint and check that it has all parts that a resume needs."""
    checkpoint = read_checkpoint(path)
    parts = RESUME_PARTS | ({"hyper_parameters": dict} if module.hparams else {})
    is_complete = all(isinstance(checkpoint.get(part), kind) for part, kind in parts.items())
    if not (is_complete and checkpoint["callbacks"].keys() >= {"MetricsLog", SETTINGS}):
        raise of_another_version(path)
    check_weights(path, checkpoint, module.state_dict())
    return checkpoint


def check_optimizer_states(path: str | Path | None, optimizers: Iterable[Optimizer]) -> None:
    """Raise a UserError unless states from a checkpoint have their parameters' shapes, which fused kernels trust."""
    for optimizer in optimizers:
        if not isinstance(optimizer, Adagrad | Adam | AdamW | SGD):
            continue
        for parameter, state in optimizer.state.items():
            held = [state[name] for name in PARAMETER_SHAPED & state.keys()]
            if any(value.shape != parameter.shape for value in held if isinstance(value, Tensor)):
                raise UserError(
                    f"cannot resume from {path}: an optimizer's state is not of its parameter's shape: put an intact "
                    "copy there"
                )


def relocated(checkpoint: dict[str, Any], old: str, new: str) -> dict[str, Any]:
    """The checkpoint with paths below one folder, in the states of its callbacks, moved to another."""
    if "callbacks" not in checkpoint:
        return checkpoint
    return checkpoint | {"callbacks": _replaced(checkpoint["callbacks"], old, new)}


def _replaced(value: Any, old: str, new: str) -> Any:
    if type(value) is dict:
        return {_replaced(key, old, new): _replaced(one, old, new) for key, one in value.items()}
    if type(value) is list:
        return [_replaced(one, old, new) for one in value]
    if isinstance(value, str) and (value == old or value.startswith((f"{old}/", f"{old}\\"))):
        return new + value[len(old) :]
    return value
