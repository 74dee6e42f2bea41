"""Networks restored from checkpoints, and the data to evaluate them on."""

import math
from argparse import Namespace
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from convblocks.command_line import Parser
from convblocks.data import mnist
from convblocks.data.folder import PictureFolder
from convblocks.data.images import MNIST, ImageSets, ImageSource, ImageSpec, LabelledImages, load_images
from convblocks.data.module import find_source
from convblocks.errors import DataError, NotFiniteError, UserError
from convblocks.model import class_specs
from convblocks.model.evaluation import Evaluation
from convblocks.model.networks import ARCHITECTURES, build_network
from convblocks.runs.checkpoints import kinds_of, read_checkpoint

# Pixels in a batch: those of a thousand MNIST images.
BATCH_PIXELS = 1000 * math.prod(MNIST.shape)


@dataclass(frozen=True)
class TrainedNetwork:
    """A network in evaluation mode, with the weights of a checkpoint."""

    path: Path
    arch: str
    network: nn.Module
    image_spec: ImageSpec = MNIST

    @torch.inference_mode()
    def logits(self, images: Tensor) -> Tensor:
        """Images (N, C, H, W) uint8 -> logits (N, classes) float32.

        Raises:
            NotFiniteError: some logits are infinite or nan.
        """
        logits = torch.cat([self.network(self.image_spec.normalize(batch)) for batch in in_batches(images)])
        if not logits.isfinite().all():
            raise NotFiniteError(f"the logits of {self.path} are not finite: its training diverged")
        return logits

    def probabilities(self, images: Tensor) -> Tensor:
        """Images (N, C, H, W) uint8 -> probabilities (N, classes) float32."""
        return self.logits(images).softmax(dim=1)

    def evaluate(self, test: LabelledImages) -> Evaluation:
        return Evaluation(self.logits(test.images), test.labels, self.image_spec.classes)


def in_batches(images: Tensor) -> Iterable[Tensor]:
    """Split images (N, C, H, W) into batches that fit into memory at any image size."""
    batches: Iterable[Tensor] = images.split(max(1, BATCH_PIXELS // math.prod(images.shape[1:])))
    return batches


def load_network(path: Path, allowed: Collection[str] = ()) -> TrainedNetwork:
    """Restore the network of a checkpoint, which may come from a stranger.

    Args:
        path: The checkpoint.
        allowed: Network classes outside this project that may be imported. The checkpoint alone must not decide that.

    Raises:
        UserError: the file is missing, damaged, not a checkpoint of this project, or its network is not allowed.
        NotFiniteError: some weights are infinite or nan.
    """
    if not path.is_file():
        raise UserError(f"there is no checkpoint {path}")
    checkpoint = read_checkpoint(path)
    arch = checkpoint["hyper_parameters"]["arch"]
    if not isinstance(arch, str) or not (arch in ARCHITECTURES or class_specs.is_dotted(arch)):
        raise UserError(f"{path} holds a network {arch!r}, which is not one of {', '.join(ARCHITECTURES)}")
    if arch not in ARCHITECTURES:
        if arch not in allowed:
            raise UserError(f"{path} holds a network of the class {arch}: allow its import with --arch {arch}")
        class_specs.import_class(arch)
    trained = restore_network(path, checkpoint["hyper_parameters"], checkpoint["state_dict"])
    if not all(weights.isfinite().all() for weights in trained.network.state_dict().values()):
        raise NotFiniteError(f"the weights in {path} are not finite: training diverged, use another checkpoint")
    return trained


def restore_network(path: Path, hyper_parameters: Mapping[str, Any], weights: Mapping[str, Tensor]) -> TrainedNetwork:
    """The network of a classifier with these hyper-parameters and weights.

    Raises:
        UserError: the weights belong to another network.
    """
    arch = hyper_parameters["arch"]
    image_spec = ImageSpec.from_dict(hyper_parameters["image_spec"])
    own = {name.removeprefix("network."): value for name, value in weights.items() if name.startswith("network.")}
    if arch in ARCHITECTURES:
        with torch.device("meta"):  # takes no memory: a forged image spec may ask for more than there is
            expected = kinds_of(ARCHITECTURES[arch](image_spec).state_dict())
        if expected != kinds_of(own):
            raise UserError(f"{path} does not hold the weights of the network {arch}")
    network = build_network(arch, hyper_parameters.get("network"), image_spec)
    try:
        network.load_state_dict(own)
    except (RuntimeError, AttributeError) as error:
        raise UserError(f"{path} does not hold the weights of the network {arch}") from error
    return TrainedNetwork(path, arch, network.eval(), image_spec)


def checkpoint_parser() -> Parser:
    """A parser with the options that name them."""
    parser = Parser()
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--arch", action="append", default=[])
    parser.add_argument("--data.root", type=Path, dest="root", default=mnist.DEFAULT_ROOT)
    parser.add_argument("--data.source", dest="source")
    return parser


def load_network_and_data(options: Namespace) -> tuple[TrainedNetwork, ImageSets]:
    """Load both; pictures are scaled to the size that the network takes.

    Raises:
        UserError: the checkpoint cannot be used.
        DataError: the data cannot be read, has no test images, or is not of the kind that the network was trained on.
    """
    trained, root = load_network(options.checkpoint, options.arch), options.root
    expected = trained.image_spec
    if options.source:
        class_specs.import_class(options.source)
        source = class_specs.instantiate(ImageSource, options.source, root)
    elif root.is_dir() or expected.same_images(MNIST):
        source = find_source(root)
        if isinstance(source, PictureFolder):
            source.size = (expected.height, expected.width)
    else:  # a missing folder would be filled with MNIST
        raise DataError(f"there is no folder {root}: give the data that {trained.path} was trained on")
    source.prepare()
    data = load_images(source)
    if not expected.same_images(data.image_spec):
        raise DataError(
            f"{trained.path} was trained on {expected}, but {root} holds {data.image_spec}: give the data that it was "
            "trained on as --data.root"
        )
    if not len(data.test.labels):
        raise DataError(f"{root} has no test images: add some, in a folder of pictures as test/<class>/*")
    return trained, data
