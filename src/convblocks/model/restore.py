"""Trained networks, restored from checkpoints, and their evaluation.

Checkpoints are read without running code: their pickles may be a stranger's.
"""

import math
import warnings
import zipfile
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import torch
from torch import Tensor, nn

from convblocks.console import command_text, see_current_folder
from convblocks.data.images import MNIST, ImageSpec, LabelledImages
from convblocks.errors import NotFiniteError, UsageError, UserError
from convblocks.model.networks import ARCHITECTURES, build_network
from convblocks.model.trust import import_class

# Pixels in a batch: those of a thousand MNIST images.
BATCH_PIXELS = 1000 * math.prod(MNIST.shape)


# The parts that a resume needs beyond the weights, and what a run keeps of itself.
RESUME_PARTS = {
    "optimizer_states": list,
    "lr_schedulers": list,
    "callbacks": {"MetricsLog": {"rows": list, "steps": int}, "BegunWith": {"settings": dict}},
    "loops": dict,
    "epoch": int,
    "global_step": int,
}


@dataclass(frozen=True)
class Evaluation:
    """Logits (N, classes) for N labelled images, their targets (N,) int64, and the
    names of the classes.
    """

    logits: Tensor
    targets: Tensor
    classes: tuple[str, ...]

    @property
    def losses(self) -> Tensor:
        """The cross-entropy of each image: (N,)."""
        return nn.functional.cross_entropy(self.logits, self.targets, reduction="none")

    @property
    def predicted(self) -> Tensor:
        """The most probable class of each image: (N,)."""
        return self.logits.argmax(dim=1)

    @property
    def loss(self) -> float:
        return float(self.losses.double().mean())

    @property
    def accuracy(self) -> float:
        """The share of the images that are classified correctly, in 0..1."""
        return float((self.predicted == self.targets).double().mean())


@dataclass(frozen=True)
class TrainedNetwork:
    """A network in evaluation mode, with the weights of a checkpoint."""

    path: Path
    arch: str
    network: nn.Module
    image_spec: ImageSpec = MNIST

    @torch.inference_mode()
    def logits(self, images: Tensor) -> Tensor:
        """Images (N, C, H, W) uint8 -> logits (N, classes) float32.

        Raises:
            NotFiniteError: some logits are infinite or nan.
        """
        normalised = map(self.image_spec.normalize, in_batches(images))
        logits = torch.cat([self.network(batch) for batch in normalised])
        if not logits.isfinite().all():
            raise NotFiniteError(f"the logits of {self.path} are not finite: its training diverged")
        return logits

    def probabilities(self, images: Tensor) -> Tensor:
        """Images (N, C, H, W) uint8 -> probabilities (N, classes) float32."""
        return self.logits(images).softmax(dim=1)

    def evaluate(self, test: LabelledImages) -> Evaluation:
        return Evaluation(self.logits(test.images), test.labels, self.image_spec.classes)


def in_batches(images: Tensor) -> Iterator[Tensor]:
    """Split images (N, C, H, W) into batches that fit into memory at any image size."""
    size = BATCH_PIXELS // math.prod(images.shape[1:])
    yield from images.split(max(1, size))


def read_checkpoint(path: Path, weights_only: bool = True) -> dict[str, Any]:
    """Load a checkpoint's tensors and plain values; code in a pickle is run only if it
    may hold more.

    Raises:
        UserError: the file cannot be read or is damaged, or is not a checkpoint.
    """
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise UserError(f"cannot load {path}: it is a pipe or a device, not a file")
    try:
        checkpoint = _load(path, weights_only)
    except PermissionError as error:
        raise UserError(f"cannot load {path}: {error.strerror}") from error
    except (ImportError, AttributeError) as error:  # of an object's class
        raise UserError(f"cannot load {path}: {error}") from error
    except Exception as error:  # damaged files raise many types
        reason = "it is damaged"
        if "Weights only load failed" in str(error):
            reason = (
                "it holds more than weights and plain values: objects, which can run code; "
                "--weights_only false trusts a checkpoint of your own"
            )
        raise UserError(f"cannot load {path}: {reason}") from error
    if not (isinstance(checkpoint, dict) and isinstance(checkpoint.get("state_dict"), dict)):
        raise wrong_version(path)
    return checkpoint


def _load(path: Path, weights_only: bool) -> Any:
    with zipfile.ZipFile(path) as archive:
        # torch.load ignores the checksums.
        if archive.testzip():
            raise zipfile.BadZipFile
    if not weights_only:
        see_current_folder()  # for the classes of objects
    with warnings.catch_warnings():
        # torch warns of a foreign pickle before it refuses it.
        warnings.simplefilter("ignore")
        return torch.load(path, map_location="cpu", weights_only=weights_only)


def read_resumable(path: Path, weights_only: bool = True) -> dict[str, Any] | None:
    """The content of the checkpoint to resume from; None if there is none.

    Whether the weights fit is left to Lightning: ``setup`` may make or rename some.

    Raises:
        UserError: it is damaged, or lacks parts that a resume needs.
    """
    if not path.exists():
        return None
    try:
        checkpoint = read_checkpoint(path, weights_only)
        if not _is_like(checkpoint, RESUME_PARTS):
            raise wrong_version(path)
    except UserError as error:
        raise UserError(
            f"{error}. Put a copy of that file back, or delete it to start the run over"
        ) from error
    return checkpoint


def _is_like(part: Any, kind: Any) -> bool:
    """True if a part of a checkpoint is of a type, or is a dict with parts of these types."""
    if isinstance(kind, type):
        return isinstance(part, kind)
    return isinstance(part, dict) and all(_is_like(part.get(name), kind[name]) for name in kind)


def wrong_version(path: Path) -> UserError:
    """The error for a checkpoint that lacks a part."""
    return UserError(
        f"{path} is not a checkpoint of this version of convblocks: "
        "train again, or use the version that wrote it"
    )


def load_network(
    path: Path, allowed: Collection[str] = (), weights_only: bool = True, threads: int | None = None
) -> TrainedNetwork:
    """Restore the network of a checkpoint, which may come from a stranger.

    Args:
        path: The checkpoint.
        allowed: Network classes outside this project that may be imported. The
            checkpoint alone must not decide that.
        weights_only: As for ``read_checkpoint``.
        threads: CPU threads of this process from now on; by default as many as there are.

    Raises:
        UserError: the file is missing, damaged, not a checkpoint of this project, or
            its network is not allowed.
    """
    if threads:
        torch.set_num_threads(threads)
    if not path.is_file():
        raise UserError(
            f"there is no checkpoint {path}: a run has its own in checkpoints/, such as last.ckpt"
        )
    checkpoint = read_checkpoint(path, weights_only)
    hyper_parameters = checkpoint.get("hyper_parameters", {})
    try:
        arch = str(hyper_parameters["arch"])
        ImageSpec.from_dict(hyper_parameters["image_spec"])
        {**(hyper_parameters.get("network") or {})}  # a TypeError where it is no mapping
    except (KeyError, TypeError, UsageError, msgspec.ValidationError) as error:
        if "pytorch-lightning_version" in checkpoint and "arch" not in hyper_parameters:
            raise UserError(
                f"{path} holds a LightningModule, not an image classifier: in Python its "
                "load_from_checkpoint restores it, for torch.export; the commands validate, "
                f"predict without pictures, and test run it: {command_text('test', str(path))}"
            ) from error
        raise wrong_version(path) from error
    if arch not in ARCHITECTURES:
        if arch not in allowed:
            raise UserError(
                f"{path} holds a network of the class {arch!r}: "
                "allow its import with --arch and this name"
            )
        import_class(arch)
    return restore_network(path, hyper_parameters, checkpoint["state_dict"])


def restore_network(
    path: Path, hyper_parameters: Mapping[str, Any], weights: Mapping[str, Tensor]
) -> TrainedNetwork:
    """The network of a classifier with these hyper-parameters and weights.

    Raises:
        UserError: the weights belong to another network.
    """
    arch = hyper_parameters["arch"]
    image_spec = ImageSpec.from_dict(hyper_parameters["image_spec"])
    network = build_network(arch, hyper_parameters.get("network"), image_spec)
    state = {
        name.removeprefix("network."): value
        for name, value in weights.items()
        if name.startswith("network.")
    }
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        raise UserError(f"{path} does not hold the weights of the network {arch}") from error
    return TrainedNetwork(path, arch, network.eval(), image_spec)
