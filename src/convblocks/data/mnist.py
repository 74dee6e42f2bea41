"""MNIST's four IDX files, or those of another data set, such as Fashion-MNIST: read
where they are, packed or not.
"""

import gzip
import hashlib
import math
import os
import zlib
from pathlib import Path

import torch
from torch import Tensor

from convblocks.data.images import MNIST, ImageSets, ImageSource, LabelledImages, Size
from convblocks.errors import DataError, UsageError


def default_root() -> Path:
    """The folder that CONVBLOCKS_DATA names, else the repository's data folder, else
    this one, where a wheel has it.
    """
    named = os.environ.get("CONVBLOCKS_DATA")
    if named:
        return Path(os.path.expanduser(named)).absolute()
    repository = Path(__file__).resolve().parents[3] / "data"
    if (repository / "MNIST").is_dir():
        return repository
    return Path(__file__).parent


DEFAULT_ROOT = default_root()

# The files, with the MD5 of MNIST's own when unpacked.
ORIGINAL_MD5 = {
    "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
    "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
    "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
    "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
}

# Bytes of a file; EMNIST's largest has 547 million.
LARGEST = 1_000_000_000


def find(root: Path, size: Size | None) -> ImageSource | None:
    """The files in a folder, if there are any.

    Raises:
        UsageError: a size was given, which only pictures have.
    """
    if not find_files(root):
        return None
    if size:
        raise UsageError(f"--data.size is for folders of pictures: {root} holds MNIST's files")
    return MNISTFiles(root)


class MNISTFiles(ImageSource):
    """The four files below a folder, MNIST's or another data set's."""

    def load(self) -> ImageSets:
        """Read both sets into memory: images (N, 1, H, W) uint8.

        Those of 28 x 28 pixels in at most ten classes get MNIST's image spec, others
        one of their own.

        Raises:
            DataError: a file is missing or damaged, or does not fit the others.
        """
        root = self.root
        files = find_files(root)
        if not files:
            problem = f"{root} holds no data" if root.is_dir() else f"there is no folder {root}"
            raise DataError(
                f"{problem}: --data.root must name a folder with MNIST's four files "
                "(in it, in raw/ or in MNIST/raw/), or pictures as train/<class>/* and "
                "test/<class>/*"
            )
        train_images, train_labels, test_images, test_labels = files.values()
        train, train_md5 = _read_set(train_images, train_labels)
        test, test_md5 = _read_set(test_images, test_labels)
        fingerprint = dict(zip(files, train_md5 + test_md5, strict=True))
        last = int(max(train.labels.max(), test.labels.max()))
        classes = [str(label) for label in range(last + 1)]
        shapes = {train.images.shape[1:], test.images.shape[1:]}
        if shapes == {MNIST.shape} and last < len(MNIST.classes):
            image_spec = MNIST
        else:
            image_spec = ImageSets.of(train, test, classes).image_spec
        return ImageSets(train, test, image_spec, fingerprint)


def find_files(root: Path) -> dict[str, Path]:
    """The four files by name, in ``<root>``, ``<root>/raw`` or ``<root>/MNIST/raw``;
    empty if none is there.

    Raises:
        DataError: not all four are there.
    """
    for folder in (root, root / "raw", root / "MNIST/raw"):
        files = {}
        for name in ORIGINAL_MD5:
            # Unpacked ones last: they are read faster.
            for path in (folder / f"{name}.gz", folder / name):
                if path.is_file():
                    files[name] = path
        missing = " and ".join(name for name in ORIGINAL_MD5 if name not in files)
        if files and missing:
            raise DataError(f"{folder} lacks {missing}: put the file or its .gz archive there")
        if files:
            return files
    return {}


def _read_set(images_file: Path, labels_file: Path) -> tuple[LabelledImages, tuple[str, str]]:
    """The images with their labels, and the MD5 of both files."""
    images, images_md5 = read_idx(images_file, 3)
    labels, labels_md5 = read_idx(labels_file, 1)
    if len(images) != len(labels):
        raise DataError(
            f"{images_file} holds {len(images):,} images, but {labels_file} {len(labels):,} labels"
        )
    return LabelledImages(images.unsqueeze(1), labels.long()), (images_md5, labels_md5)


def read_idx(path: Path, dimensions: int) -> tuple[Tensor, str]:
    """The uint8 array in an IDX file, and the MD5 of the whole file, unpacked.

    The format: 0, 0, 8, the number of dimensions; each dimension as a big-endian 32-bit
    integer; the bytes, row by row.

    Raises:
        DataError: the file is damaged, or has another number of dimensions.
    """
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            header = file.read(4 + 4 * dimensions)
            shape = [int.from_bytes(header[at : at + 4], "big") for at in range(4, len(header), 4)]
            size = math.prod(shape)
            if header[:4] != bytes((0, 0, 8, dimensions)) or not 0 < size < LARGEST:
                raise ValueError("its header is wrong")
            # Beyond the end, where gzip verifies its checksum.
            content = file.read(size + 1)
        if len(content) != size:
            more_or_fewer = "more" if len(content) > size else "fewer"
            raise ValueError(f"it has {more_or_fewer} bytes than its header says")
    except (EOFError, ValueError, gzip.BadGzipFile, zlib.error) as error:
        raise DataError(
            f"{path} is damaged, or not an IDX file ({error}): put an intact IDX file there"
        ) from error
    digest = hashlib.md5(header, usedforsecurity=False)
    digest.update(content)
    values = torch.frombuffer(bytearray(content), dtype=torch.uint8)
    return values.reshape(shape), digest.hexdigest()
