"""Checks of the data and the network, in seconds: ``python -m pytest``."""

import pytest
from convblocks import ImageClassifier, ImageDataModule
from lightning import Trainer, seed_everything

from my_project_data import MyProjectData
from my_project_model import MyProjectNetwork


@pytest.fixture(scope="module")
def data() -> ImageDataModule:
    data = ImageDataModule(".", batch_size=32, source=MyProjectData)
    data.prepare_data()
    data.setup()
    return data


def test_the_images_have_the_stated_shape_and_classes(data: ImageDataModule) -> None:
    assert data.image_spec.shape == (3, 32, 32)
    assert data.image_spec.classes == ("three petals", "five petals", "seven petals")
    for images in (data.train, data.test):
        assert images.labels.unique().tolist() == [0, 1, 2]


def test_one_epoch_is_much_better_than_chance(data: ImageDataModule) -> None:
    seed_everything(0, verbose=False)
    classifier = ImageClassifier(MyProjectNetwork, lr=0.01, lr_scheduler="onecycle", image_spec=data.image_spec)
    trainer = Trainer(max_epochs=1, logger=False, enable_checkpointing=False, enable_progress_bar=False)
    trainer.fit(classifier, datamodule=data)
    (result,) = trainer.test(classifier, datamodule=data, verbose=False)
    assert result["test/acc"] > 2 / len(data.image_spec.classes)
