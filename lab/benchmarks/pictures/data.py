"""The data sets of the benchmark: MNIST's own files, the same digits as a folder of
pictures, and colour pictures.
"""

from pathlib import Path

import numpy as np
from PIL import Image

from convblocks.data.images import MNIST as MNIST_SPEC
from convblocks.data.images import ImageSpec
from convblocks.data.mnist import DEFAULT_ROOT, MNISTFiles
from convblocks.errors import UserError
from convblocks.pictures.decoding import to_picture
from convblocks.pictures.source import PictureFolder, kept_file
from lab.benchmarks.noise import for_testing, noise_flags

# As many as MNIST has.
TRAINING_PICTURES = 60_000

# So many are decoded in each round, in a second or two. They lie in a folder beside
# ``train`` and ``test``.
DECODED_PICTURES = 6000
DECODED = "decoded"

# As large as most photographs of ImageNet, in (width, height), and what networks are given.
PHOTOGRAPH = (500, 375)
PHOTOGRAPHS = 640
SCALED = (3, 224, 224)

CLASSES = MNIST_SPEC.classes

# Speed depends on the shape alone.
COLOUR = ImageSpec(3, 32, 32, CLASSES, mean=(0.5,) * 3, std=(0.25,) * 3)
DESCRIPTIONS = {"MNIST": MNIST_SPEC, "folder": MNIST_SPEC, "colour": COLOUR}


def data_flags(data: str, folder: Path) -> list[str]:
    """The options of ``fit.py`` for a data set."""
    if data == "colour":
        return noise_flags(TRAINING_PICTURES, len(CLASSES), COLOUR.shape)
    return ["--data.root", str(folder if data == "folder" else DEFAULT_ROOT)]


def write_pictures(folder: Path, pictures: int) -> None:
    """Write MNIST as ``train/<label>/<index>.png`` and ``test/<label>/<index>.png``.

    Args:
        folder: Where to; it is empty.
        pictures: How many of the training images, from the first on; of the test images
            as large a share.
    """
    files = MNISTFiles(DEFAULT_ROOT).load()
    for split, part, count in (
        ("train", files.train, pictures),
        ("test", files.test, for_testing(pictures)),
    ):
        images = part.images[:count].numpy()
        labels = part.labels[:count].tolist()
        for index, (pixels, label) in enumerate(zip(images, labels, strict=True)):
            path = folder / split / CLASSES[label] / f"{index}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            to_picture(pixels).save(path)


def write_photographs(folder: Path, count: int) -> None:
    """Write JPEG files with as many bytes a pixel as photographs have: coarse and fine noise."""
    folder.mkdir()
    random = np.random.default_rng(0)
    for index in range(count):
        coarse = Image.fromarray(random.integers(256, size=(12, 16, 3), dtype=np.uint8))
        picture = np.asarray(coarse.resize(PHOTOGRAPH, Image.Resampling.BICUBIC), dtype=np.int16)
        noisy = picture + random.normal(0, 14, size=picture.shape)
        pixels = noisy.clip(0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{index}.jpg", quality=90)


def keep_decoded(folder: Path) -> None:
    """Decode the pictures, so that runs find them decoded.

    Raises:
        UserError: they cannot be kept.
    """
    PictureFolder(folder).load()
    if not kept_file(folder).is_file():
        raise UserError(f"cannot keep decoded pictures in {folder}: is the disk full?")
