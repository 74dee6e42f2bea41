"""A run in TensorBoard: its tags and its HParams.

TensorBoard sorts tags by name and opens the first two of the groups that they form:
``test`` and ``train`` or, with validation images, ``train`` and ``val``. The groups of
this file come after these.
"""

from lightning.pytorch.loggers import TensorBoardLogger

from convblocks.record.directory import DEAD
from convblocks.record.judge import Metrics
from convblocks.text import Settings


class RunTensorBoardLogger(TensorBoardLogger):
    """TensorBoard's logger of a run, with the curves of loss and accuracy first.

    It skips the epoch's number, which Lightning adds to everything it logs: as a curve
    it is a diagonal.
    """

    def log_metrics(self, metrics: Metrics, step: int | None = None) -> None:
        tags = {tag_of(name): metrics[name] for name in metrics if name != "epoch"}
        super().log_metrics(tags, step)

    def log_results(self, hparams: Settings, results: Metrics, step: int) -> None:
        """Write final values, and with these hyper-parameters the run's row of the HParams tab.

        As points of the metrics' curves, final values would be false ones.
        """
        final = {f"when_done/{name.replace('/', '_')}": results[name] for name in results}
        self.log_hyperparams(hparams, final, step)


def tag_of(metric: str) -> str:
    """The tag of a metric: its name, in a group of its own if it must not come first."""
    if metric == "seconds":
        return "vitals/speed/seconds"
    if metric.startswith(DEAD):
        return f"vitals/{metric}"
    return metric
