"""A checkpoint as a network that answers."""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from convblocks.data.loader import normalize
from convblocks.errors import UserError
from convblocks.model.networks import ARCHITECTURES, build_network
from convblocks.runs.checkpoints import read_checkpoint

# Images that go through a network at once.
BATCH_SIZE = 1000


@dataclass(frozen=True)
class TrainedNetwork:
    """A network in evaluation mode, with the weights of a checkpoint."""

    path: Path
    arch: str
    network: nn.Module

    @torch.inference_mode()
    def logits(self, images: Tensor) -> Tensor:
        """Images (N, 28, 28) uint8, 0 is background -> logits (N, 10) float32."""
        return torch.cat([self.network(normalize(batch)) for batch in images.split(BATCH_SIZE)])

    def probabilities(self, images: Tensor) -> Tensor:
        """Images (N, 28, 28) uint8, 0 is background -> probabilities (N, 10) float32."""
        return self.logits(images).softmax(dim=1)


def load_network(path: Path) -> TrainedNetwork:
    """Rebuild the network of a checkpoint, whatever machine it comes from.

    Raises:
        UserError: the file is missing, damaged, not a checkpoint of this project, or more than one.
    """
    if not path.is_file():
        raise UserError(f"there is no checkpoint {path}")
    checkpoint = read_checkpoint(path)
    arch = checkpoint["hyper_parameters"]["arch"]
    if not isinstance(arch, str) or arch not in ARCHITECTURES:
        raise UserError(f"{path} holds a network {arch!r}, which is none of {', '.join(ARCHITECTURES)}")
    network = build_network(arch)
    weights = {
        name.removeprefix("network."): value
        for name, value in checkpoint["state_dict"].items()
        if name.startswith("network.")
    }
    try:
        network.load_state_dict(weights)
    except (RuntimeError, AttributeError) as error:
        raise UserError(f"{path} does not hold the weights of the network {arch}") from error
    return TrainedNetwork(path, arch, network.eval())
