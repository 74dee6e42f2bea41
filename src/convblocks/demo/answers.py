"""What the page is told, as values that JSON can hold."""

import re
import traceback
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from convblocks.data.images import MNIST
from convblocks.diagnosis.relus import watch_relus
from convblocks.errors import UserError
from convblocks.handwriting.sight import doubt, look
from convblocks.model.networks import ARCHITECTURES
from convblocks.model.restore import TrainedNetwork

# Of a picture, in bytes and in pixels. The page scales larger ones down.
LARGEST = 1_000_000

# Those whose layers the page computes itself, in network.js, to explain each pixel; if they are for MNIST's digits.
EXPLAINED = ("maxpool", "batchnorm")

# Of a layer so many maps are shown, and of large maps every second pixel, every third and so on.
MOST_MAPS, SIDE = 256, 28

Answer = dict[str, Any]


def setup(networks: Sequence[TrainedNetwork]) -> Answer:
    """What the page needs before anything is drawn: shape and classes of the images, and the networks."""
    spec = networks[0].image_spec
    entries = [
        {
            "arch": trained.arch,
            "run": re.sub(r".*lightning_logs/|/checkpoints/last\.ckpt$", "", trained.path.as_posix()),
            "colour": colour,
            "weights": {name: values.flatten().tolist() for name, values in trained.network.state_dict().items()}
            if trained.arch in EXPLAINED and spec == MNIST
            else None,
        }
        for trained, colour in zip(networks, colours_of([trained.arch for trained in networks]), strict=True)
    ]
    return spec.as_dict() | {"digits": spec == MNIST, "networks": entries}


def colours_of(archs: Sequence[str]) -> list[int]:
    """The colours that networks have in figures; by their places if there are own ones, or one stands twice."""
    places = {arch: place for place, arch in enumerate(ARCHITECTURES)}
    are_known = set(archs) <= places.keys() and len(set(archs)) == len(archs)
    return [places[arch] for arch in archs] if are_known else [*range(len(archs))]


def answer(networks: Sequence[TrainedNetwork], content: bytes, with_layers: bool) -> Answer:
    """What networks say about a picture file, or a ``problem`` if there is no answer.

    That is the image they see, why it hardly is a digit, if so, and each one's probabilities and, if asked for, layers.
    """
    try:
        _, seen = look(content, networks[0].image_spec, most_pixels=LARGEST)
        images = torch.from_numpy(seen)[None]
        return {
            "pixels": seen.flatten().tolist(),
            "doubt": doubt(seen) if networks[0].image_spec == MNIST else None,
            "networks": [trained.probabilities(images)[0].tolist() for trained in networks],
            "layers": [layers_of(trained, images) for trained in networks] if with_layers else None,
        }
    except UserError as error:
        return {"problem": str(error)}
    except Exception as error:  # a user's own network may raise anything
        traceback.print_exc()
        return {"problem": " ".join(f"{type(error).__name__}: {error}".split())}


def layers_of(trained: TrainedNetwork, images: Tensor) -> list[Answer]:
    """The output of each use of a ReLU for an image (1, C, H, W) uint8, in the order in which they compute.

    Units have maps (units, H, W), those of a linear layer 1 x 1, in shades 0..255. A unit that is 0 everywhere is
    inactive; one that is so for every image is dead.
    """
    layers: list[Answer] = []

    def note(name: str, units: Tensor) -> None:
        maps = units.reshape(len(units), -1, units.shape[-1] if units.ndim > 2 else 1).float().cpu()
        every = max(1, max(maps.shape[1:]) // SIDE)
        shades = (255 * maps / maps.max().clamp(min=1e-12)).round().int()[:MOST_MAPS, ::every, ::every]
        inactive = (~maps.flatten(1).any(dim=1)).tolist()
        layers.append({"name": name, "shape": [*maps.shape], "inactive": inactive, "shades": shades.tolist()})

    with watch_relus(trained.network, note):
        trained.logits(images)
    return layers
