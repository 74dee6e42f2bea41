"""A run in TensorBoard: the names of its tags, and the settings in the HParams tab."""

from collections.abc import Mapping
from typing import Any

from lightning.pytorch.loggers import TensorBoardLogger
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData
from torch.utils.tensorboard.summary import hparams

from convblocks.runs.directory import RunDirectory, flatten
from convblocks.runs.tags import tag_of, tag_when_done
from convblocks.training.options import Settings, parser

# The HParams tab shows five columns by default.
FIRST_COLUMNS = ("arch", "batch_size", "lr", "lr_scheduler", "seed")

# Settings of where and how a run is computed, not what.
NO_COLUMNS = ("threads", "data.root", "data.eval_batch_size")


class RunTensorBoardLogger(TensorBoardLogger):
    """TensorBoard's logger for a run, with the tags of ``convblocks.runs.tags``.

    The epoch, which Lightning adds to everything it logs, is left out: its curve would be a diagonal.

    Args:
        directory: The run directory.
        purge_step: The first step to be logged again after a resume.
        tests_once: Whether test metrics are final values, not curves.
    """

    def __init__(self, directory: RunDirectory, purge_step: int | None, tests_once: bool) -> None:
        super().__init__(
            directory.logs, name="", version=directory.name, default_hp_metric=False, purge_step=purge_step
        )
        self.tests_once = tests_once

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        # Lightning's epoch is an int; a metric of that name logged by a module is a float.
        shown = {name: value for name, value in metrics.items() if name != "epoch" or not isinstance(value, int)}
        super().log_metrics({self._tag_of(name): value for name, value in shown.items()}, step)

    def log_results(self, settings: Settings, results: Mapping[str, float], step: int) -> None:
        """Log the final values, and the run's row in the HParams tab."""
        final = {tag_when_done(name): results[name] for name in sorted(results)}
        if not self.tests_once:  # otherwise trainer.test has logged them
            self.log_metrics(final, step)
        experiment, *session = hparams(columns(settings), final)
        put_first(experiment)
        for part in (experiment, *session):
            self.experiment._get_file_writer().add_summary(part, step)

    def _tag_of(self, metric: str) -> str:
        return tag_when_done(metric) if self.tests_once and metric.startswith("test/") else tag_of(metric)


def columns(settings: Settings) -> dict[str, str | int | float]:
    """The settings that distinguish runs, flattened.

    Of the Trainer's, only those that are not defaults, since most never change. Of the others, all: they may differ in
    another run, and TensorBoard takes its columns from a single run.
    """
    defaults = parser().get_defaults().trainer
    changed = {name: value for name, value in settings["trainer"].items() if value != defaults.get(name)}
    options = flatten(settings | {"trainer": changed})
    shown = {option: value for option, value in options.items() if option not in NO_COLUMNS}
    return {option: value if isinstance(value, str | int | float) else str(value) for option, value in shown.items()}


def put_first(experiment: Any) -> None:
    """Mark the first columns as differing between runs, so that TensorBoard puts them first."""
    content = experiment.value[0].metadata.plugin_data
    data = HParamsPluginData.FromString(content.content)
    for column in data.experiment.hparam_infos:
        column.differs = column.name.partition(".")[0] in FIRST_COLUMNS
    content.content = data.SerializeToString()
