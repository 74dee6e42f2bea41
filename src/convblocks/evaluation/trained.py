"""A checkpoint as a network that answers."""

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from convblocks.data.image_spec import MNIST, ImageSpec
from convblocks.errors import NotFiniteError, UserError
from convblocks.model import names
from convblocks.model.networks import ARCHITECTURES, build_network
from convblocks.runs.checkpoints import read_checkpoint

# Pixels that go through a network at once: a thousand of MNIST's images.
PIXELS_AT_ONCE = 1000 * math.prod(MNIST.shape)


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
            NotFiniteError: some of them are infinite or nan.
        """
        logits = torch.cat([self.network(self.image_spec.normalize(batch)) for batch in in_batches(images)])
        if not logits.isfinite().all():
            raise NotFiniteError(f"{self.path}: the network's answers are not finite: its training has diverged")
        return logits

    def probabilities(self, images: Tensor) -> Tensor:
        """Images (N, C, H, W) uint8 -> probabilities (N, classes) float32."""
        return self.logits(images).softmax(dim=1)


def in_batches(images: Tensor) -> tuple[Tensor, ...]:
    """Images (N, C, H, W) in parts that go through a network at once."""
    parts: tuple[Tensor, ...] = images.split(max(1, PIXELS_AT_ONCE // math.prod(images.shape[1:])))
    return parts


def load_network(path: Path, allowed: Collection[str] = ()) -> TrainedNetwork:
    """Rebuild the network of a checkpoint, whatever machine it comes from.

    Args:
        path: The checkpoint.
        allowed: The classes of networks, beyond this project's own, that may be imported: a checkpoint that names one
            must not decide that by itself.

    Raises:
        UserError: the file is missing, damaged, not a checkpoint of this project, or of a class that is not allowed.
        NotFiniteError: some of its weights are infinite or nan.
    """
    if not path.is_file():
        raise UserError(f"there is no checkpoint {path}")
    checkpoint = read_checkpoint(path)
    arch = checkpoint["hyper_parameters"]["arch"]
    if not isinstance(arch, str) or (arch not in ARCHITECTURES and "." not in arch):
        raise UserError(f"{path} holds a network {arch!r}, which is none of {', '.join(ARCHITECTURES)}")
    if "." in arch:
        if arch not in allowed:
            raise UserError(f"{path} holds a network of the class {arch}: to let it be imported, give --arch {arch}")
        names.import_class(arch)
    weights = checkpoint["state_dict"]
    if not all(value.isfinite().all() for name, value in weights.items() if name.startswith("network.")):
        raise NotFiniteError(f"the weights in {path} are not finite, since training diverged: use another checkpoint")
    return restore_network(path, checkpoint["hyper_parameters"], weights)


def restore_network(path: Path, hyper_parameters: Mapping[str, Any], weights: Mapping[str, Tensor]) -> TrainedNetwork:
    """The network of a classifier with these hyper-parameters and weights.

    Raises:
        UserError: the weights are another network's.
    """
    arch = hyper_parameters["arch"]
    image_spec = ImageSpec.from_dict(hyper_parameters["image_spec"])
    network = build_network(arch, hyper_parameters.get("network"), image_spec)
    own = {name.removeprefix("network."): value for name, value in weights.items() if name.startswith("network.")}
    try:
        network.load_state_dict(own)
    except (RuntimeError, AttributeError) as error:
        raise UserError(f"{path} does not hold the weights of the network {arch}") from error
    return TrainedNetwork(path, arch, network.eval(), image_spec)
