"""The final network of a run that classifies images, evaluated on the test images once for all callbacks."""

from functools import cached_property, lru_cache

from convblocks.data.module import ImageDataModule
from convblocks.errors import NotFiniteError
from convblocks.model.classifier import ImageClassifier
from convblocks.model.restore import Evaluation, TrainedNetwork, restore_network
from convblocks.run.directory import RunDirectory
from convblocks.run.run import Run


class Classification:
    """What callbacks know of a run of an ImageClassifier on an ImageDataModule."""

    def __init__(self, module: ImageClassifier, data: ImageDataModule, directory: RunDirectory) -> None:
        self.module, self.data, self.directory = module, data, directory

    @cached_property
    def trained(self) -> TrainedNetwork:
        """The network with the final weights, once these are there."""
        return restore_network(self.directory.path, dict(self.module.hparams), self.module.state_dict())

    @cached_property
    def evaluation(self) -> Evaluation | None:
        """The final network's answers to all test images; None if they are not finite."""
        try:
            return self.trained.evaluate(self.data.test)
        except NotFiniteError:
            return None


@lru_cache(maxsize=1)
def classification_of(run: Run) -> Classification | None:
    """The one of a run, the same for all of its callbacks; None if it trains something else."""
    if isinstance(run.module, ImageClassifier) and isinstance(run.data, ImageDataModule):
        return Classification(run.module, run.data, run.directory)
    return None
