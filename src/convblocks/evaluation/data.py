"""The images that a checkpoint is judged by."""

from argparse import Namespace
from pathlib import Path

from convblocks.command_line import Parser
from convblocks.data import mnist
from convblocks.data.folder import PictureFolder
from convblocks.data.image_spec import MNIST
from convblocks.data.images import ImageSets, ImageSource
from convblocks.data.sources import find_source, load_images
from convblocks.errors import DataError
from convblocks.evaluation.trained import TrainedNetwork
from convblocks.model import names


def add_data_options(parser: Parser) -> None:
    """Let a command line say where the images are."""
    parser.add_argument("--data.root", type=Path, dest="root", default=mnist.DEFAULT_ROOT)
    parser.add_argument("--data.source", dest="source")


def read_data(options: Namespace, trained: TrainedNetwork) -> ImageSets:
    """The data set that the options name; pictures are scaled to what the network takes.

    Raises:
        DataError: it cannot be read, has no test images, or others than the network was trained on.
    """
    wanted = trained.image_spec
    if options.source:
        names.import_class(options.source)
        source = names.instantiate(ImageSource, options.source, options.root)
    else:
        if not options.root.is_dir() and not wanted.same_images(MNIST):  # or MNIST would be downloaded there
            raise DataError(f"there is no folder {options.root}: give the data that {trained.path} was trained on")
        source = find_source(options.root)
        if isinstance(source, PictureFolder):
            source.size = (wanted.height, wanted.width)
    source.prepare()
    files = load_images(source)
    if not wanted.same_images(files.image_spec):
        raise DataError(
            f"{trained.path} was trained on {wanted}, but {options.root} holds {files.image_spec}: give the data that "
            "it was trained on as --data.root"
        )
    if not len(files.test.labels):
        raise DataError(f"{options.root} has no test images: add some, of pictures as test/<class>/*")
    return files
