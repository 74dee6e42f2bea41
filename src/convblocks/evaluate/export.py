"""Export a checkpoint to ONNX.

usage: convblocks export CHECKPOINT [options]

The file takes any number of uint8 images, for MNIST (B, 1, 28, 28), normalises
them, and returns one logit per class. It is checked against the checkpoint on
all test images. This needs onnx, onnxscript and onnxruntime.

  --arch NAME          allow the import of your own network, such as mynets.Rows
  --output BASE        write BASE.onnx (default: beside the checkpoint)
  --data.root DIR      the data the network was trained on (default: MNIST)
  --data.source NAME   a class of your own that reads the data
  --weights_only false  read the objects in a checkpoint of your own
  --threads N          CPU threads; 1 is faster on a busy machine

Example:
  convblocks export lightning_logs/mlp/version_0/checkpoints/last.ckpt
"""

import json
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from warnings import catch_warnings

import numpy as np
import torch
from torch import Tensor, nn
from torch.testing import assert_close

from convblocks.console import echo
from convblocks.data.images import ImageSpec
from convblocks.errors import UsageError, UserError
from convblocks.evaluate.subject import checkpoint_parser, load_network_and_data
from convblocks.files import refuse_to_overwrite
from convblocks.model.restore import in_batches
from convblocks.text import as_shown, percent
from convblocks.working import working
from exact_resume.files import write

# The largest difference between a logit of an exported network and of the checkpoint.
TOLERANCE = 1e-4

# The packages of the extra [export]. They are imported where they are needed.
REQUIRED = ("onnx", "onnxscript", "onnxruntime")


class ImageNetwork(nn.Module):
    """A network with its normalisation: uint8 images (B, C, H, W) -> logits (B, classes)."""

    def __init__(self, network: nn.Module, image_spec: ImageSpec) -> None:
        super().__init__()
        self.network = network
        self.image_spec = image_spec

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.network(self.image_spec.normalize(images))
        return logits


def main(arguments: list[str]) -> None:
    """Export a checkpoint, and check the file against it on the test images.

    Raises:
        UserError: the extra is not installed, the checkpoint or the data cannot be
            used, or a file cannot be written.
    """
    parser = checkpoint_parser()
    parser.add_argument("--output", type=Path)
    options = parser.parse_args(arguments)
    path = Path(f"{options.output or options.checkpoint.with_suffix('')}.onnx")
    if path.name.startswith("."):
        raise UsageError(f"--output {options.output}: give the name of a file, without .onnx")
    refuse_to_overwrite(path, [options.checkpoint])
    missing = " ".join(package for package in REQUIRED if find_spec(package) is None)
    if missing:
        raise UserError(f"{missing} not found: pip install {missing}")
    trained, data = load_network_and_data(options)
    images = data.test.images
    with working(f"evaluating {len(images):,} test images"):
        evaluation = trained.evaluate(data.test)
    network = ImageNetwork(trained.network, trained.image_spec).eval()
    with working(f"writing {as_shown(path)}"):
        # The exporter would specialise on a batch of 1.
        write_onnx(network, images[:1].repeat(2, 1, 1, 1), path)
    with working(f"checking it on {len(images):,} test images"):
        logits = onnx_logits(path, images)
    check(path, logits, evaluation.logits)
    echo(f"It makes the same predictions for all {len(images):,} test images as the checkpoint.")
    echo(f"{trained.arch}: accuracy {percent(evaluation.accuracy)}")


def write_onnx(network: ImageNetwork, images: Tensor, path: Path) -> None:
    """Export to ONNX, with the names of the classes as a property of the model."""
    import onnx

    with catch_warnings(action="ignore"), TemporaryDirectory() as folder:
        file = Path(folder) / "network.onnx"
        to_onnx = partial(
            torch.onnx.export,
            network,
            (images,),
            file,
            input_names=["images"],
            output_names=["logits"],
        )
        batch = {0: "batch"}
        # A TorchVersion, which compares as one.
        if torch.__version__ >= "2.7":
            to_onnx(dynamic_shapes=(batch,), dynamo=True, external_data=False, verbose=False)
        else:
            # The dynamo exporter of an older torch has no named dimensions, and fails at the
            # in-place operations of normalize.
            to_onnx(dynamic_axes={"images": batch, "logits": batch}, dynamo=False)
        model = onnx.load(file)
    onnx.helper.set_model_props(model, {"classes": json.dumps(network.image_spec.classes)})
    write(path, model.SerializeToString())


def onnx_logits(path: Path, images: Tensor) -> Tensor:
    """The logits (N, classes) of an ONNX file for images (N, C, H, W) uint8."""
    from onnxruntime import InferenceSession

    session = InferenceSession(path, providers=["CPUExecutionProvider"])
    logits = []
    for batch in in_batches(images):
        logits += session.run(["logits"], {"images": batch.numpy()})
    return torch.from_numpy(np.concatenate(logits))


def check(path: Path, logits: Tensor, expected: Tensor) -> None:
    """Compare the logits (N, classes) of an exported file with the checkpoint's, and
    print the largest difference.

    Raises:
        AssertionError: a prediction differs, or a logit differs by more than the
            tolerance.
    """
    assert_close(logits, expected, rtol=0, atol=TOLERANCE)
    assert_close(logits.argmax(dim=1), expected.argmax(dim=1), rtol=0, atol=0)
    echo(f"{as_shown(path)}: logits within {float((logits - expected).abs().max()):.1e}")
