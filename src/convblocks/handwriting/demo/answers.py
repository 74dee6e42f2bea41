"""What the page asks for: what networks make of a picture file, in values that JSON can hold."""

import base64
import io
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import torch
from PIL import Image

from convblocks.data.image_spec import MNIST, ImageSpec
from convblocks.data.pictures import to_picture
from convblocks.errors import UserError
from convblocks.evaluation.trained import TrainedNetwork
from convblocks.handwriting.demo.maps import Layer, as_picture, layers_of
from convblocks.handwriting.doubt import doubt
from convblocks.handwriting.sight import Pixels, look
from convblocks.model.dead_units import relus_of
from convblocks.runs.directory import LOGS

# Nothing that the page sends has more pixels: it scales larger pictures down.
MOST_PIXELS = 1_000_000

# What all browsers show, by Pillow's names. In these formats a file's header tells how many pixels there are; within an
# icon lies another file, which may have more.
FORMATS = {"PNG": "image/png", "JPEG": "image/jpeg", "GIF": "image/gif", "WEBP": "image/webp", "BMP": "image/bmp"}

Answer = dict[str, Any]


def setup(networks: Sequence[TrainedNetwork]) -> Answer:
    """What the page must know before anything is drawn: shape and classes of the images, and the networks."""
    image_spec = networks[0].image_spec
    return image_spec.as_dict() | {
        "digits": image_spec == MNIST,
        "formats": list(FORMATS.values()),
        "most_pixels": MOST_PIXELS,
        "networks": [{"arch": network.arch, "run": run_of(network)} for network in networks],
        "maps": any(relus_of(network.network) for network in networks),
    }


def recognised(networks: Sequence[TrainedNetwork], content: bytes) -> Answer:
    """The image that the networks see in a picture file, and each one's probabilities.

    ``doubt`` says why the image hardly is a digit. Where there is nothing to recognise, ``problem`` says why.
    """

    def answer(seen: Pixels) -> Answer:
        return {
            "seen": as_data_url(to_picture(seen)),
            "doubt": doubt(seen) if networks[0].image_spec == MNIST else None,
            "networks": [network.probabilities(torch.from_numpy(seen)[None])[0].tolist() for network in networks],
        }

    return _answer(content, networks[0].image_spec, answer)


def mapped(networks: Sequence[TrainedNetwork], content: bytes) -> Answer:
    """What each ReLU of each network makes of a picture file, as a picture and a line; or a ``problem``."""

    def answer(seen: Pixels) -> Answer:
        return {"networks": [[as_entry(layer) for layer in layers_of(network, seen)] for network in networks]}

    return _answer(content, networks[0].image_spec, answer)


def as_entry(layer: Layer) -> Answer:
    picture = as_picture(layer)
    return {"caption": str(layer), "width": picture.width, "height": picture.height, "picture": as_data_url(picture)}


def run_of(network: TrainedNetwork) -> str:
    """The run that a checkpoint belongs to where it lies in a run directory, or else its file's name."""
    *folders, checkpoints, _ = network.path.absolute().parts
    if str(LOGS) not in folders or checkpoints != "checkpoints":
        return network.path.name
    return "/".join(folders[folders.index(str(LOGS)) + 1 :])


def as_data_url(picture: Image.Image) -> str:
    content = io.BytesIO()
    picture.save(content, "PNG")
    return "data:image/png;base64," + base64.b64encode(content.getvalue()).decode()


def _answer(content: bytes, image_spec: ImageSpec, answer: Callable[[Pixels], Answer]) -> Answer:
    """An answer to what a network sees of a picture file, or a line about what is wrong."""
    try:
        _check_format(content)
        return answer(look(content, image_spec, MOST_PIXELS)[1])
    except UserError as error:
        return {"problem": str(error)}


def _check_format(content: bytes) -> None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's own limit is a higher one than ours
            Image.open(io.BytesIO(content), formats=list(FORMATS)).close()
    except Image.DecompressionBombError as error:
        raise UserError("it is far too large: scale it down") from error
    except Exception as error:
        raise UserError(f"it is none of {', '.join(FORMATS)}") from error
