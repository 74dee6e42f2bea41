"""Shows in TensorBoard where a finished network is wrong, how sure it is, and what it looks like inside."""

import shlex
import sys
import warnings
from functools import partial

import yaml
from torch.utils.tensorboard import SummaryWriter

from convblocks import pictures
from convblocks.data import normalize
from convblocks.evaluation import Evaluation
from convblocks.mnist import Digits
from convblocks.runs import RunDirectory
from convblocks.trained import TrainedNetwork

# Train and test in one chart of the Custom Scalars tab: it shows these curves of all runs that are ticked.
LAYOUT = {
    "train and test": {
        "loss": ["Multiline", ["^train/loss$", "^test/loss$"]],
        "accuracy": ["Multiline", ["^train/acc$", "^test/acc$"]],
    }
}


def write_portrait(writer: SummaryWriter, run: RunDirectory, trained: TrainedNetwork, test: Digits, step: int) -> None:
    """Write pictures of a network's answers to the test images, its graph, and a card of the run that trained it."""
    evaluation = Evaluation(trained.logits(test.images), test.labels)
    panels = pictures.evaluation_panels(evaluation, test.images)
    panels["first_layer"] = partial(pictures.filters, trained.network)
    for name, panel in panels.items():
        writer.add_figure(f"pictures/{name}", pictures.figure_of(panel), step)
    writer.add_scalar("test/calibration_error", evaluation.calibration_error, step)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the writer traces with torch.jit, which torch deprecates
        writer.add_graph(trained.network, normalize(test.images[:1]))
    writer.add_text("run", card(run), step)
    writer.add_custom_scalars(LAYOUT)


def card(run: RunDirectory) -> str:
    """The command and all settings, in Markdown."""
    settings = yaml.safe_dump(run.read_config(), sort_keys=False)
    return "".join(f"    {line}\n" for line in [shlex.join(sys.argv), "", *settings.splitlines()])
