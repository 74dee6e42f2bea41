"""A run in TensorBoard: what its tags are called, and which settings stand in the HParams tab."""

from collections.abc import Mapping
from typing import Any

from lightning.pytorch.loggers import TensorBoardLogger
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData
from torch.utils.tensorboard.summary import hparams

from convblocks.runs.directory import RunDirectory, flatten
from convblocks.runs.tags import tag_of, tag_when_done
from convblocks.training.options import Settings, parser

# The HParams tab shows five columns until more are ticked.
FIRST_COLUMNS = ("arch", "batch_size", "lr", "lr_scheduler", "seed")

# They say where and how a run is computed, not what.
NO_COLUMNS = ("threads", "data.root", "data.eval_batch_size")


class Board(TensorBoardLogger):
    """TensorBoard's logger of a run, with the curves first: see ``convblocks.runs.tags``.

    The number of the epoch, which Lightning adds to all that it logs, is left out: as a curve it is a diagonal.

    Args:
        directory: Where the run is kept.
        purge_step: The first step that is logged anew where the run has been begun before.
        tests_once: Whether what is measured on the test images is a final value, and no curve.
    """

    def __init__(self, directory: RunDirectory, purge_step: int, tests_once: bool) -> None:
        super().__init__(
            directory.logs, name="", version=directory.name, default_hp_metric=False, purge_step=purge_step
        )
        self.tests_once = tests_once

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        # Lightning's own is an int; what a module logs under that name is a float by now.
        shown = {name: value for name, value in metrics.items() if name != "epoch" or not isinstance(value, int)}
        super().log_metrics({self._tag_of(name): value for name, value in shown.items()}, step)

    def log_results(self, settings: Settings, results: Mapping[str, float], step: int) -> None:
        """Write final values, and with them the run's row of the HParams tab."""
        final = {tag_when_done(name): results[name] for name in sorted(results)}
        if not self.tests_once:  # otherwise the test has logged them
            self.log_metrics(final, step)
        experiment, *session = hparams(columns(settings), final)
        put_first(experiment)
        for part in (experiment, *session):
            self.experiment._get_file_writer().add_summary(part, step)

    def _tag_of(self, metric: str) -> str:
        return tag_when_done(metric) if self.tests_once and metric.startswith("test/") else tag_of(metric)


def columns(settings: Settings) -> dict[str, str | int | float]:
    """The settings by which a person tells runs apart, flat.

    Those of the Trainer, of which most never change, only where they are not the defaults. Of the others all: they may
    differ in another run, and TensorBoard takes the columns from one of the runs.
    """
    defaults = parser().get_defaults().trainer
    changed = {name: value for name, value in settings["trainer"].items() if value != defaults.get(name)}
    options = flatten(settings | {"trainer": changed})
    told = {option: value for option, value in options.items() if option not in NO_COLUMNS}
    return {option: value if isinstance(value, str | int | float) else str(value) for option, value in told.items()}


def put_first(experiment: Any) -> None:
    """Let TensorBoard sort the first columns before the others, as it does with those in which runs differ."""
    content = experiment.value[0].metadata.plugin_data
    data = HParamsPluginData.FromString(content.content)
    for column in data.experiment.hparam_infos:
        column.differs = column.name.partition(".")[0] in FIRST_COLUMNS
    content.content = data.SerializeToString()
