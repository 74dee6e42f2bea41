"""Feature maps: the output of each ReLU of a network for one image."""

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from convblocks.diagnosis.relus import LAYERS, watch_relus
from convblocks.handwriting.sight import Pixels
from convblocks.model.restore import TrainedNetwork

# How many maps of a layer are drawn: more would be too small to be recognised.
MOST_MAPS = 256

# In pixels: the longer side of a drawn map, which is less than twice that, and the gap between maps.
SIDE, GAP = 28, 3
COLUMNS = 10

# A kernel whose weights are shown: its size and dilation.
SMALL = ((3, 3), (1, 1))

# The palette: 0..253 run through the scale, from 0 to the highest value of the layer.
INACTIVE, BETWEEN = 254, 255
SCALE = ((0, 0, 0), (213, 94, 0), (240, 228, 66), (255, 255, 255))
GREY = (150, 150, 150)


@dataclass(frozen=True)
class Layer:
    """The units of one use of a ReLU, each with a map (H, W); those of a linear layer are 1 x 1."""

    name: str
    maps: Tensor  # (units, H, W) float32, on the CPU

    @property
    def inactive(self) -> Tensor:
        """Which units are 0 everywhere: (units,) bool. Units that are so for every image are dead."""
        return ~self.maps.flatten(1).any(dim=1)

    def __str__(self) -> str:
        units, height, width = self.maps.shape
        of_units = f"{units} units" if height == width == 1 else f"{units} maps of {height} x {width}"
        drawn = f", the first {MOST_MAPS} drawn" if units > MOST_MAPS else ""
        return f"{self.name}: {of_units}, {int(self.inactive.sum())} inactive{drawn}"


def layers_of(trained: TrainedNetwork, seen: Pixels) -> list[Layer]:
    """The layers in the order in which they compute, for an image (C, H, W) uint8."""
    layers = []

    def note(name: str, units: Tensor) -> None:
        is_linear = units.ndim < 3
        maps = units.reshape(len(units), -1, 1 if is_linear else units.shape[-1])
        layers.append(Layer(name, maps.float().cpu()))

    with watch_relus(trained.network, note):
        trained.logits(torch.from_numpy(seen)[None])
    return layers


def window_of(trained: TrainedNetwork, layer: Layer, seen: Pixels) -> dict[str, Any] | None:
    """How the first layer computes a pixel from a window of the image; None unless by 3 x 3 weights for grey images.

    ``weights`` has nine for each map, row by row, ``side`` and ``gap`` the pixels of a drawn map and between maps,
    ``every`` those of a value.
    """
    first = next((module for module in trained.network.modules() if isinstance(module, LAYERS)), None)
    if not isinstance(first, nn.Conv2d) or first.in_channels > 1 or (first.kernel_size, first.dilation) != SMALL:
        return None
    image = trained.image_spec.normalize(torch.from_numpy(seen)[None]).to(first.weight)
    with torch.inference_mode():
        maps = first(image)[0].relu().float().cpu()
    height, width = layer.maps.shape[1:]
    side = as_picture(replace(layer, maps=layer.maps[:1])).height
    is_all = maps.shape == layer.maps.shape and torch.allclose(maps, layer.maps, atol=1e-4)  # no normalisation between
    if not is_all or height != width or side % height:
        return None
    padding = int(first.padding == "same") if isinstance(first.padding, str) else first.padding[0]
    sizes = {"side": side, "gap": GAP, "every": side // height, "columns": COLUMNS}
    weights = first.weight.detach().cpu().flatten(1).tolist()
    return sizes | {"stride": first.stride[0], "padding": padding, "weights": weights}


def as_picture(layer: Layer) -> Image.Image:
    """The maps of a layer side by side, inactive ones in grey."""
    maps, inactive = layer.maps[:MOST_MAPS].numpy(), layer.inactive.numpy()
    shown = [_resize(values) for values in np.rint(253 * maps / max(float(layer.maps.max()), 1e-12)).astype(np.uint8)]
    height, width = shown[0].shape
    rows, columns = math.ceil(len(shown) / COLUMNS), min(len(shown), COLUMNS)
    mosaic = np.full((rows * (height + GAP) - GAP, columns * (width + GAP) - GAP), BETWEEN, dtype=np.uint8)
    for index, values in enumerate(shown):
        top, left = index // COLUMNS * (height + GAP), index % COLUMNS * (width + GAP)
        mosaic[top : top + height, left : left + width] = INACTIVE if inactive[index] else values
    picture = Image.fromarray(mosaic, "P")
    picture.putpalette(_palette())
    picture.info["transparency"] = BETWEEN
    return picture


def _resize(values: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Repeat the values of a small map, and skip values of a large one."""
    longer = max(values.shape)
    times, every = math.ceil(SIDE / longer), max(1, longer // SIDE)
    return values[::every, ::every].repeat(times, axis=0).repeat(times, axis=1)


def _palette() -> list[int]:
    stops = np.linspace(0, INACTIVE - 1, len(SCALE))
    colours = np.stack([np.interp(np.arange(INACTIVE), stops, channel) for channel in np.transpose(SCALE)], axis=1)
    return [*np.rint(colours).astype(int).flatten().tolist(), *GREY, *GREY]
