"""A run in TensorBoard: its tags, its HParams and its figures.

TensorBoard sorts tags by name and opens the first two of the groups that they form: ``test`` and ``train`` or, with
validation images, ``train`` and ``val``. The groups of this file come after these.
"""

from collections.abc import Mapping

from lightning.pytorch.loggers import TensorBoardLogger
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter

from convblocks.model.restore import Evaluation
from convblocks.run.directory import DEAD, RunDirectory
from convblocks.run.parser import Settings
from convblocks.text import flatten

# Dead units and speed; the figures of the evaluation; and single values, known at the end.
VITALS, VISUALS, WHEN_DONE = "vitals", "visuals", "when_done"


class RunTensorBoardLogger(TensorBoardLogger):
    """TensorBoard's logger of a run, with the curves of loss and accuracy first.

    It skips the epoch's number, which Lightning adds to everything it logs: as a curve it is a diagonal.

    Args:
        directory: Of the run.
        purge_step: The first step that is logged again if the run was begun before.
        tests_once: Whether test metrics are final values, which ``log_results`` gets, and no curves.
    """

    def __init__(self, directory: RunDirectory, purge_step: int, tests_once: bool) -> None:
        super().__init__(
            directory.logs, name="", version=directory.name, default_hp_metric=False, purge_step=purge_step
        )
        self.tests_once = tests_once

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        hidden = [name for name in metrics if name == "epoch" or (self.tests_once and name.startswith("test/"))]
        super().log_metrics({tag_of(name): metrics[name] for name in metrics if name not in hidden}, step)

    def log_results(self, settings: Settings, results: Mapping[str, float], step: int) -> None:
        """Write final values, and the run's row of the HParams tab: its settings without the Trainer's many."""
        final = {tag_when_done(name): results[name] for name in sorted(results)}
        self.log_hyperparams(flatten({name: settings[name] for name in settings if name != "trainer"}), final, step)


def tag_of(metric: str) -> str:
    """The tag of a metric: its name, in a group of its own if it must not come first."""
    if metric == "seconds":
        return f"{VITALS}/speed/{metric}"
    return f"{VITALS}/{metric}" if metric.startswith(DEAD) else metric


def tag_when_done(metric: str) -> str:
    """The tag of a final value, which as a point of the metric's curve would be a false one."""
    return f"{WHEN_DONE}/{metric.replace('/', '_')}"


def write_evaluation(writer: SummaryWriter, images: Tensor, evaluation: Evaluation, step: int) -> None:
    """Write the figures of a network's answers to images (N, C, H, W), and its calibration error."""
    # Imports matplotlib, which is slow and which only finished runs need.
    from convblocks.figures.panels import calibration_error, evaluation_charts
    from convblocks.figures.style import render, themed

    for name, chart in evaluation_charts(evaluation, images).items():
        with themed():
            writer.add_figure(f"{VISUALS}/{name}", render(chart.draw), step)
    writer.add_scalar(tag_when_done("calibration_error"), calibration_error(evaluation), step)
