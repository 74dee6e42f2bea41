"""A checkpoint made into files that need nothing of this project: ONNX, and torch.export's.

Both take plain uint8 images (B, C, H, W), (B, 1, 28, 28) of MNIST, for any B, and give logits (B, classes): the
normalisation is part of the graph.
"""

import io
import json
import warnings
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from torch import Tensor, nn

from convblocks.command_line import Parser, output_file
from convblocks.console import echo
from convblocks.data.image_spec import ImageSpec
from convblocks.errors import UsageError, UserError
from convblocks.evaluation.data import add_data_options, read_data
from convblocks.evaluation.trained import in_batches, load_network
from convblocks.model.evaluation import Evaluation
from convblocks.runs.provenance import git_commit
from convblocks.tables import as_shown, percent

# The most that an exported network's logits may differ from the checkpoint's.
TOLERANCE = 1e-4

# What the extra [export] installs.
REQUIRED = ("onnx", "onnxscript", "onnxruntime")

METADATA = "metadata.json"


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
    """Export, and say so once the exported networks have answered as the checkpoint does.

    Raises:
        UserError: the extra is not installed, or the checkpoint, the data or the files cannot be used.
    """
    options = parse(arguments)
    if missing := [package for package in REQUIRED if find_spec(package) is None]:
        raise UserError(f'{", ".join(missing)} not found: install the extra with pip install -e ".[export]"')
    trained = load_network(options.checkpoint, options.arch)
    test = read_data(options, trained).test
    expected = trained.logits(test.images)
    metadata = {
        "arch": trained.arch,
        "accuracy": f"{Evaluation(expected, test.labels, trained.image_spec.classes).accuracy:.4f}",
        "test_images": str(len(test.labels)),
        "classes": json.dumps(trained.image_spec.classes),
        "commit": git_commit() or "unknown",
    }
    network = ImageNetwork(trained.network, trained.image_spec).eval()
    example = test.images[:1].repeat(2, 1, 1, 1)  # of one alone the exporters would conclude that there is always one
    base = options.output or options.checkpoint.with_suffix("")
    graph, program = base.with_name(f"{base.name}.onnx"), base.with_name(f"{base.name}.pt2")
    write_onnx(network, example, metadata, graph)
    hold_against(graph, onnx_logits(graph, test.images), expected)
    write_program(network, example, metadata, program)
    hold_against(program, program_logits(program, test.images), expected)
    echo(f"Both make the same predictions for all {len(expected):,} test images as the checkpoint.")
    echo(f"{trained.arch}: accuracy {percent(float(metadata['accuracy']))}")


def parse(arguments: list[str]) -> Namespace:
    parser = Parser()
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--arch", action="append", default=[])
    parser.add_argument("--output", type=Path)
    add_data_options(parser)
    options = parser.parse_args(arguments)
    if options.output and not options.output.name:
        raise UsageError("--output must name a file, without its ending")
    return options


def write_onnx(network: nn.Module, images: Tensor, metadata: dict[str, str], path: Path) -> None:
    """Export to ONNX, with the metadata among the model's properties."""
    import onnx  # of an extra

    with quiet(), TemporaryDirectory() as folder:
        file = Path(folder) / "network.onnx"
        to_onnx = partial(torch.onnx.export, network, (images,), file, input_names=["images"], output_names=["logits"])
        if torch.__version__ >= "2.7":  # compared as versions: it is no plain string
            to_onnx(dynamic_shapes=({0: "batch"},), dynamo=True, external_data=False, verbose=False)
        else:  # dynamo's exporter then knew no named dimensions, and failed at what normalize does in place
            to_onnx(dynamic_axes={"images": {0: "batch"}, "logits": {0: "batch"}}, dynamo=False)
        model = onnx.load(file)
    for key, value in metadata.items():
        model.metadata_props.add(key=key, value=value)
    with output_file(path) as output:
        output.write(model.SerializeToString())


def onnx_logits(path: Path, images: Tensor) -> Tensor:
    """The logits (N, classes) that onnxruntime computes for images (N, C, H, W) uint8."""
    from onnxruntime import InferenceSession  # of an extra

    session = InferenceSession(path, providers=["CPUExecutionProvider"])
    answers = [session.run(["logits"], {"images": batch.numpy()})[0] for batch in in_batches(images)]
    return torch.from_numpy(np.concatenate(answers))


def write_program(network: nn.Module, images: Tensor, metadata: dict[str, str], path: Path) -> None:
    """Export with torch.export, with the metadata as a file of its own in the archive."""
    content = io.BytesIO()
    with quiet():
        program = torch.export.export(network, (images,), dynamic_shapes=({0: torch.export.Dim("batch")},))
        torch.export.save(program, content, extra_files={METADATA: json.dumps(metadata)})
    with output_file(path) as file:
        file.write(content.getvalue())


def program_logits(path: Path, images: Tensor) -> Tensor:
    """The logits (N, classes) of a torch.export archive for images (N, C, H, W) uint8."""
    with quiet(), torch.inference_mode():
        network = torch.export.load(path).module()
        return torch.cat([network(batch) for batch in in_batches(images)])


def hold_against(path: Path, logits: Tensor, expected: Tensor) -> None:
    """Compare an exported network's logits (N, classes) with the checkpoint's, and print how far they are apart.

    Raises:
        RuntimeError: another prediction, or a logit that is further away than the tolerance.
    """
    difference = float((logits - expected).abs().max())
    changed = int((logits.argmax(dim=1) != expected.argmax(dim=1)).sum())
    if changed or not difference <= TOLERANCE:
        raise RuntimeError(f"{path} is wrong: {changed} other predictions, logits up to {difference:.2g} apart")
    echo(f"{as_shown(path)}: logits within {difference:.1e}")


@contextmanager
def quiet() -> Iterator[None]:
    """Without what torch's exporters say about their own insides."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
