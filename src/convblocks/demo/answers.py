"""The answers to the page's questions, as values that JSON can hold."""

import base64
import io
from collections.abc import Sequence
from typing import Any
from warnings import catch_warnings

import torch
from PIL import Image

from convblocks.data.images import MNIST
from convblocks.demo.maps import Layer, as_picture, layers_of, window_of
from convblocks.diagnosis.relus import relus_of
from convblocks.errors import UserError
from convblocks.handwriting.sight import Pixels, doubt, look
from convblocks.model.networks import ARCHITECTURES
from convblocks.model.restore import TrainedNetwork
from convblocks.pictures.decoding import to_picture
from convblocks.run.directory import LOGS

# The page scales larger pictures down.
MOST_PIXELS = 1_000_000

# What all browsers can show, by Pillow's names. The headers of these formats give the number of pixels; an icon, for
# example, contains another file, which may have more.
FORMATS = {"PNG": "image/png", "JPEG": "image/jpeg", "GIF": "image/gif", "WEBP": "image/webp", "BMP": "image/bmp"}

# Of networks, in the page's style.css.
COLOURS = 4

Answer = dict[str, Any]


def setup(networks: Sequence[TrainedNetwork]) -> Answer:
    """What the page needs before anything is drawn: shape and classes of the images, and the networks."""
    image_spec = networks[0].image_spec
    return image_spec.as_dict() | {
        "digits": image_spec == MNIST,
        "formats": list(FORMATS.values()),
        "most_pixels": MOST_PIXELS,
        "networks": [
            {"arch": network.arch, "run": run_of(network), "colour": colour}
            for network, colour in zip(networks, colours_of([one.arch for one in networks]), strict=True)
        ],
        "maps": any(relus_of(network.network) for network in networks),
    }


def colours_of(archs: Sequence[str]) -> list[int]:
    """Of 4 colours those that networks have in figures; by their places if one stands twice, or the colours run out."""
    places = {arch: place for place, arch in enumerate(dict.fromkeys([*ARCHITECTURES, *archs]))}
    colours = [places[arch] for arch in archs]
    return colours if len(set(colours)) == len(archs) and max(colours) < COLOURS else [*range(len(archs))]


def run_of(network: TrainedNetwork) -> str:
    """The run that a checkpoint belongs to or, outside a run directory, the name of the file."""
    *folders, checkpoints, _ = network.path.absolute().parts
    if str(LOGS) not in folders or checkpoints != "checkpoints":
        return network.path.name
    return "/".join(folders[folders.index(str(LOGS)) + 1 :])


def answer(question: str, networks: Sequence[TrainedNetwork], content: bytes) -> Answer:
    """Answer one of the ``QUESTIONS`` about a picture file, or with a ``problem`` if the picture cannot be used."""
    try:
        check_format(content)
        _, seen = look(content, networks[0].image_spec, MOST_PIXELS)
        return QUESTIONS[question](networks, seen)
    except UserError as error:
        return {"problem": str(error)}


def recognise(networks: Sequence[TrainedNetwork], seen: Pixels) -> Answer:
    """The image itself, the probabilities of each network, and why the image hardly is a digit, if so."""
    return {
        "seen": as_data_url(to_picture(seen)),
        "doubt": doubt(seen) if networks[0].image_spec == MNIST else None,
        "networks": [network.probabilities(torch.from_numpy(seen)[None])[0].tolist() for network in networks],
    }


def feature_maps(networks: Sequence[TrainedNetwork], seen: Pixels) -> Answer:
    """For each network, a picture of each of its layers, and how the first computes a pixel."""
    answers = []
    for network in networks:
        layers = layers_of(network, seen)
        window = window_of(network, layers[0], seen) if layers else None
        answers.append([as_entry(layer) | {"window": window if layer is layers[0] else None} for layer in layers])
    return {"networks": answers}


def as_entry(layer: Layer) -> Answer:
    picture = as_picture(layer)
    return {"caption": str(layer), "width": picture.width, "height": picture.height, "picture": as_data_url(picture)}


QUESTIONS = {"/recognise": recognise, "/maps": feature_maps}


def check_format(content: bytes) -> None:
    try:
        with catch_warnings(action="ignore"):  # Pillow warns at a higher limit than ours
            Image.open(io.BytesIO(content), formats=list(FORMATS)).close()
    except Image.DecompressionBombError as error:
        raise UserError("it is far too large: scale it down") from error
    except Exception as error:
        raise UserError(f"it is not in a supported format ({', '.join(FORMATS)})") from error


def as_data_url(picture: Image.Image) -> str:
    content = io.BytesIO()
    picture.save(content, "PNG")
    return "data:image/png;base64," + base64.b64encode(content.getvalue()).decode()
