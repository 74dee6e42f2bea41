"""Counts, with each evaluation, the units of the network that have fallen silent: they tell why a run collapses."""

import warnings

from lightning.pytorch import Callback, LightningModule, Trainer

from convblocks.data.module import MNISTDataModule
from convblocks.model.classifier import DigitClassifier
from convblocks.model.dead_units import dead_shares
from convblocks.runs.directory import DEAD

# So many images, the first that the run is evaluated on, say whether a unit is silent.
IMAGES = 1000

# So many at a time: what a convolution makes of them stays in the processor's cache, and takes a third less time.
AT_A_TIME = 100


class DeadUnits(Callback):
    """Logs the share of silent units behind each ReLU, as ``dead/relu1`` and so on; nothing where there is no ReLU.

    Each process computes it for itself, of the same weights and images. Training sees nothing of it.
    """

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        # Said of every value that is logged without a reduction; these are the same in all processes.
        warnings.filterwarnings("ignore", message=rf"It is recommended to use `self.log\('{DEAD}")

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        assert isinstance(pl_module, DigitClassifier)
        data = trainer.datamodule  # type: ignore[attr-defined]  # Lightning sets it at run time
        if not trainer.sanity_checking:
            pl_module.log_dict(measure_dead_units(trainer, pl_module, data))


def measure_dead_units(trainer: Trainer, classifier: DigitClassifier, data: MNISTDataModule) -> dict[str, float]:
    """The share of silent units behind each ReLU of the network as it is now, as metrics.

    The images are the same at each time, however many the Trainer evaluates.
    """
    images = data.val.images[:IMAGES].split(min(AT_A_TIME, data.eval_batch_size))
    precision = trainer.precision_plugin
    batches = (
        precision.convert_input(data.files.image_spec.normalize(batch.to(classifier.device))) for batch in images
    )
    with precision.forward_context():
        shares = dead_shares(classifier.network, batches)
    return {f"{DEAD}{relu}": share for relu, share in shares.items()}


def dead_units_in(metrics: dict[str, float]) -> dict[str, float]:
    """The share of silent units behind each ReLU, by its name, as far as these metrics tell."""
    return {name.removeprefix(DEAD): share for name, share in metrics.items() if name.startswith(DEAD)}


def in_whole_percent(share: float) -> str:
    """A share for people to read: 0 % is none, 100 % is all, and what lies between is never rounded to them."""
    rounded = round(100 * share)
    return f"{min(max(rounded, 1), 99) if 0 < share < 1 else rounded} %"
