"""Makes the answers that the server sends to the page, of values that JSON can hold."""

import re
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from convblocks.data.images import MNIST
from convblocks.demo.layout import layout_of
from convblocks.diagnosis.collapse import layer_name
from convblocks.diagnosis.dead_units import watch_relus
from convblocks.errors import UserError
from convblocks.handwriting.predict import look
from convblocks.model.names import RECORDS
from convblocks.model.restore import TrainedNetwork

# Pixels of a picture. The page scales larger ones down.
LARGEST = 1_000_000

# The page has so many colours.
COLOURS = 4

# The most maps of a layer that are shown, and the side of the largest: of larger ones
# every second pixel and so on.
MOST_MAPS, SIDE = 256, 28

Answer = dict[str, Any]


def setup(networks: Sequence[TrainedNetwork]) -> Answer:
    """The answer that the page needs before anything is drawn: shape and classes of the images,
    and the networks.

    Registered networks for MNIST's digits come with ``layers`` and weights, from which the
    page computes the maps itself, in network.js, to explain each pixel.
    """
    spec = networks[0].image_spec
    are_digits = spec == MNIST
    entries = []
    for trained, colour in zip(networks, colours_of(networks), strict=True):
        run = re.sub(r".*lightning_logs/|/checkpoints/last\.ckpt$", "", trained.path.as_posix())
        is_explained = are_digits and trained.arch in RECORDS
        layers = layout_of(trained.network, spec) if is_explained else None
        weights = None
        if layers:
            tensors = trained.network.state_dict().items()
            weights = {name: values.flatten().tolist() for name, values in tensors}
        entry = {"arch": trained.arch, "run": run, "colour": colour}
        entries.append(entry | {"layers": layers, "weights": weights})
    return spec.as_dict() | {"digits": are_digits, "networks": entries}


def colours_of(networks: Sequence[TrainedNetwork]) -> list[int]:
    """The number of each network's colour: as in figures, unless two runs are of one network
    or one is not registered.
    """
    archs = {trained.arch for trained in networks}
    styles = [RECORDS[trained.arch].style for trained in networks if trained.arch in RECORDS]
    have_own = len(archs) == len(styles) == len(networks) and max(styles) < COLOURS
    return styles if have_own else [*range(len(networks))]


def answer(networks: Sequence[TrainedNetwork], content: bytes, with_layers: bool) -> Answer:
    """The answer of networks to a picture file, or a ``problem`` if there is none: the image
    that they see, the probabilities of each network and, if asked for, its layers.
    """
    try:
        _, seen = look(content, networks[0].image_spec, most_pixels=LARGEST)
        images = torch.from_numpy(seen)[None]
        probabilities = [trained.probabilities(images)[0].tolist() for trained in networks]
        layers = [layers_of(trained, images) for trained in networks] if with_layers else None
    except UserError as error:
        return {"problem": str(error)}
    return {"pixels": seen.flatten().tolist(), "networks": probabilities, "layers": layers}


def layers_of(trained: TrainedNetwork, images: Tensor) -> list[Answer]:
    """The output of each use of a ReLU for an image (1, C, H, W) uint8, in the order in
    which they compute.

    Units have maps (units, H, W), those of a linear layer 1 x 1, in shades 0..255. A
    unit that is 0 everywhere is inactive; one that is so for every image is dead.
    """
    layers = []

    def note(name: str, units: Tensor) -> None:
        width = units.shape[-1] if units.ndim > 2 else 1
        maps = units.reshape(len(units), -1, width).float().cpu()
        shades = (255 * maps / maps.max().clamp(min=1e-12)).round().int()
        every = max(1, max(maps.shape[1:]) // SIDE)
        layers.append(
            {
                "name": layer_name(name, trained.arch),
                "shape": [*maps.shape],
                "inactive": (~maps.flatten(1).any(dim=1)).tolist(),
                "shades": shades[:MOST_MAPS, ::every, ::every].tolist(),
            }
        )

    with watch_relus(trained.network, note):
        trained.logits(images)
    return layers
