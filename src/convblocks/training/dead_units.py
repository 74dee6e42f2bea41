"""Measures, with each evaluation, the share of dead units: they explain why a run collapses."""

import warnings

from lightning.pytorch import Callback, LightningModule, Trainer

from convblocks.data.module import MNISTDataModule
from convblocks.model.classifier import DigitClassifier
from convblocks.model.dead_units import dead_shares
from convblocks.runs.directory import DEAD

# A unit is dead if it outputs 0 for each of this many images: the first of those that the run is evaluated on.
IMAGES = 1000

# In batches whose activations stay in the processor's cache, which saves a third of the time.
BATCH_SIZE = 100


class DeadUnits(Callback):
    """Logs the share of dead units behind each ReLU, as ``dead/relu1`` and so on; nothing without ReLUs.

    Every process computes the same shares, from the same weights and images. Training is not affected.
    """

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        # Raised for every value logged without a reduction; these are the same in all processes.
        warnings.filterwarnings("ignore", message=rf"It is recommended to use `self.log\('{DEAD}")

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        assert isinstance(pl_module, DigitClassifier)
        data = trainer.datamodule  # type: ignore[attr-defined]  # Lightning sets it at run time
        if not trainer.sanity_checking:
            pl_module.log_dict(measure_dead_units(trainer, pl_module, data))


def measure_dead_units(trainer: Trainer, classifier: DigitClassifier, data: MNISTDataModule) -> dict[str, float]:
    """The share of dead units behind each ReLU, as metrics.

    The images are always the same, however many the Trainer evaluates.
    """
    images = data.val.images[:IMAGES].split(min(BATCH_SIZE, data.eval_batch_size))
    precision = trainer.precision_plugin
    batches = (
        precision.convert_input(data.files.image_spec.normalize(batch.to(classifier.device))) for batch in images
    )
    with precision.forward_context():
        shares = dead_shares(classifier.network, batches)
    return {f"{DEAD}{relu}": share for relu, share in shares.items()}


def dead_units_in(metrics: dict[str, float]) -> dict[str, float]:
    """The shares of dead units among these metrics, by the name of the ReLU."""
    return {name.removeprefix(DEAD): share for name, share in metrics.items() if name.startswith(DEAD)}


def whole_percent(share: float) -> str:
    """A share in whole per cent; 0 % and 100 % only where these are exact."""
    rounded = round(100 * share)
    return f"{min(max(rounded, 1), 99) if 0 < share < 1 else rounded} %"
