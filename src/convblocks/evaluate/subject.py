"""The network of a checkpoint and the data that it is tested on, for evaluate and export."""

from argparse import Namespace
from pathlib import Path

from convblocks.command_line import Parser
from convblocks.data import mnist
from convblocks.data.images import ImageSets, ImageSource
from convblocks.data.module import find_source
from convblocks.errors import DataError
from convblocks.model import trust
from convblocks.model.restore import TrainedNetwork, load_network
from convblocks.working import working


def checkpoint_parser() -> Parser:
    """A parser with the options that name the checkpoint and the data."""
    parser = Parser()
    parser.add_argument("checkpoint", type=Path)
    parser.add_loading()
    parser.add_argument("--data.root", type=Path, dest="root", default=mnist.DEFAULT_ROOT)
    parser.add_argument("--data.source", dest="source")
    return parser


def load_network_and_data(options: Namespace) -> tuple[TrainedNetwork, ImageSets]:
    """Load both; pictures are scaled to the size that the network takes.

    Raises:
        UserError: the checkpoint cannot be used.
        DataError: the data cannot be read, has no test images, or is not of the kind
            that the network was trained on.
    """
    root = options.root
    if not options.checkpoint.is_file():
        from convblocks.evaluate.loops import find_checkpoint  # slow to load

        _, options.checkpoint = find_checkpoint(str(options.checkpoint))
    trained = load_network(options.checkpoint, options.arch, options.weights_only, options.threads)
    expected = trained.image_spec
    if options.source:
        trust.import_class(options.source)
        source = trust.instantiate(ImageSource, options.source, root)
    else:
        source = find_source(root)
        source.size = (expected.height, expected.width)
    with working(f"reading the images in {root}"):
        source.prepare()
        data = source.load()
    if not expected.same_images(data.image_spec):
        raise DataError(
            f"{trained.path} was trained on {expected}, but {root} holds {data.image_spec}: "
            "give the data that it was trained on as --data.root or --data.source"
        )
    if not data.test:
        raise DataError(
            f"{root} has no test images: add some, in a folder of pictures as test/<class>/*"
        )
    return trained, data
