"""Shows in TensorBoard where a finished network is wrong, how sure it is, and what it looks like inside."""

import shlex
import sys
import warnings
from contextlib import suppress
from functools import partial

import yaml
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter

from convblocks.evaluation import panels
from convblocks.evaluation.drawing import CARD, drawn
from convblocks.evaluation.measures import Evaluation
from convblocks.evaluation.trained import TrainedNetwork
from convblocks.runs.directory import RunDirectory
from convblocks.runs.tags import VISUALS, tag_when_done

# Training and evaluation in one chart of the Custom Scalars tab: it shows these curves of all runs that are ticked.
LAYOUT = {
    "training and evaluation": {
        "loss": ["Multiline", ["^train/loss$", "^(val|test)/loss$"]],
        "accuracy": ["Multiline", ["^train/acc$", "^(val|test)/acc$"]],
    }
}


def write_portrait(
    writer: SummaryWriter, run: RunDirectory, trained: TrainedNetwork, images: Tensor, evaluation: Evaluation, step: int
) -> None:
    """Write pictures of a network's answers to images (N, C, H, W), its graph, and a card of the run."""
    pictures = panels.evaluation_panels(evaluation, images)
    if filters := panels.first_layer(trained.network, trained.image_spec):
        pictures["first_layer"] = filters
    for name, panel in pictures.items():
        writer.add_figure(f"{VISUALS}/{name}", drawn(partial(panels.card_of, panel), CARD), step)
    writer.add_scalar(tag_when_done("calibration_error"), evaluation.calibration_error, step)
    # The writer traces with torch.jit, which torch deprecates, and which not every network can be traced with.
    with warnings.catch_warnings(), suppress(Exception):
        warnings.simplefilter("ignore")
        writer.add_graph(trained.network, trained.image_spec.normalize(images[:1]))
    writer.add_text("run", card(run), step)
    writer.add_custom_scalars(LAYOUT)


def card(run: RunDirectory) -> str:
    """The command and all settings, in Markdown."""
    settings = yaml.safe_dump(run.read_config(), sort_keys=False)
    return "".join(f"    {line}\n" for line in [shlex.join(sys.argv), "", *settings.splitlines()])
