"""Every image once an epoch, in an order determined by (seed, epoch), shared evenly between processes."""

from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from lightning import Fabric
from torch.utils.data import DataLoader

from convblocks import DigitClassifier, MNISTDataModule
from convblocks.data.images import MNIST, ImageSets, ImageSpec, LabelledImages
from convblocks.data.loader import Augmentation, ImageLoader, epoch_draws
from tests.any_trainer.plain import trainer

sizes = st.integers(min_value=1, max_value=500)
batch_sizes = st.integers(min_value=1, max_value=100)
numbers_of_processes = st.integers(min_value=1, max_value=5)
seeds = st.integers(min_value=0, max_value=2**32 - 1)
epochs = st.integers(min_value=0, max_value=1000)


def numbered(size: int) -> LabelledImages:
    """Empty images labelled by their indices, so that a batch shows which images it holds."""
    return LabelledImages(torch.zeros(size, 1, 1, 1, dtype=torch.uint8), torch.arange(size))


def numbers(loader: ImageLoader) -> list[list[int]]:
    """The indices of the images in each batch of the loader's next epoch."""
    return [targets.tolist() for _, targets in loader]


def batches(size: int, batch_size: int, seed: int, epoch: int, processes: int = 1, process: int = 0) -> list[list[int]]:
    loader = ImageLoader(numbered(size), batch_size, shuffle=True, seed=seed, processes=processes, process=process)
    loader.set_epoch(epoch)
    return numbers(loader)


@given(sizes, batch_sizes, seeds, epochs)
def test_every_image_comes_once(size: int, batch_size: int, seed: int, epoch: int) -> None:
    assert sorted(index for batch in batches(size, batch_size, seed, epoch) for index in batch) == list(range(size))


@given(sizes, batch_sizes, seeds, epochs)
def test_only_the_last_batch_is_short(size: int, batch_size: int, seed: int, epoch: int) -> None:
    *full, last = batches(size, batch_size, seed, epoch)
    assert all(len(batch) == batch_size for batch in full)
    assert 1 <= len(last) <= batch_size
    assert len(full) + 1 == len(ImageLoader(numbered(size), batch_size, shuffle=True))


@settings(deadline=None)  # hundreds of batches, on a machine that is busy
@given(sizes, batch_sizes, seeds, epochs, numbers_of_processes)
def test_shares_put_together_are_the_global_batch(
    size: int, batch_size: int, seed: int, epoch: int, processes: int
) -> None:
    shares = [batches(size, batch_size, seed, epoch, processes, process) for process in range(processes)]
    together = [[index for part in parts for index in part] for parts in zip(*shares, strict=True)]
    assert together == batches(size, batch_size, seed, epoch)


@settings(deadline=None)  # hundreds of batches, on a machine that is busy
@given(sizes, batch_sizes, numbers_of_processes)
def test_shares_differ_by_at_most_one(size: int, batch_size: int, processes: int) -> None:
    shares = [batches(size, batch_size, 0, 0, processes, process) for process in range(processes)]
    for parts in zip(*shares, strict=True):
        lengths = [len(part) for part in parts]
        assert max(lengths) - min(lengths) <= 1


def test_order_depends_only_on_seed_and_epoch() -> None:
    orders = {(seed, epoch): batches(1000, 64, seed, epoch) for seed in range(4) for epoch in range(4)}
    assert len({str(order) for order in orders.values()}) == len(orders)
    torch.manual_seed(7)
    assert batches(1000, 64, 2, 3) == orders[2, 3]


def test_order_is_drawn_when_the_first_batch_is_asked_for() -> None:
    loader = ImageLoader(numbered(100), 10, shuffle=True)
    iterator = iter(loader)
    loader.set_epoch(3)
    assert [targets.tolist() for _, targets in iterator] == batches(100, 10, 0, 3)


def test_each_iteration_is_the_next_epoch() -> None:
    loader = ImageLoader(numbered(100), 10, shuffle=True)
    assert [numbers(loader) for _ in range(3)] == [batches(100, 10, 0, epoch) for epoch in range(3)]


def test_evaluation_keeps_the_order_of_the_files_each_time() -> None:
    loader = ImageLoader(numbered(25), 10, shuffle=False)
    for _ in range(2):
        assert numbers(loader) == [[*range(10)], [*range(10, 20)], [*range(20, 25)]]


@given(st.integers(min_value=0, max_value=10), epochs)
def test_an_epoch_goes_on_where_another_loader_stopped(done: int, epoch: int) -> None:
    stopped, resumed = (ImageLoader(numbered(100), 10, shuffle=True) for _ in range(2))
    stopped.set_epoch(epoch)
    first = [targets.tolist() for _, (_, targets) in zip(range(done), stopped, strict=False)]
    resumed.load_state_dict(stopped.state_dict())
    resumed.set_epoch(epoch)
    assert first + numbers(resumed) == batches(100, 10, 0, epoch)
    assert numbers(resumed) == batches(100, 10, 0, epoch + 1)


def test_an_epoch_that_was_cut_short_does_not_shorten_the_next() -> None:
    """As with limit_train_batches: the Trainer starts the next epoch without telling the loader."""
    stopped, resumed = (ImageLoader(numbered(100), 10, shuffle=True) for _ in range(2))
    next(iter(stopped))
    resumed.load_state_dict(stopped.state_dict())
    resumed.set_epoch(1)
    assert numbers(resumed) == batches(100, 10, 0, 1)


def test_a_batch_is_its_images_normalised_and_their_labels(digits: ImageSets) -> None:
    order = torch.tensor(batches(60_000, 64, seed=0, epoch=0)[0])
    images, targets = next(iter(ImageLoader(digits.train, 64, shuffle=True)))
    assert torch.equal(images, MNIST.normalize(digits.train.images[order]))
    assert torch.equal(targets, digits.train.labels[order])


def test_a_batch_is_normalised_by_the_description_of_its_data() -> None:
    image_spec = ImageSpec(3, 4, 6, ("a", "b"), mean=(0.2, 0.4, 0.6), std=(0.1, 0.2, 0.3))
    images = torch.randint(256, (10, 3, 4, 6), dtype=torch.uint8)
    loader = ImageLoader(LabelledImages(images, torch.arange(10) % 2), 4, shuffle=False, image_spec=image_spec)
    batches_of_it = list(loader)
    assert [tuple(batch.shape) for batch, _ in batches_of_it] == [(4, 3, 4, 6), (4, 3, 4, 6), (2, 3, 4, 6)]
    assert torch.equal(torch.cat([batch for batch, _ in batches_of_it]), image_spec.normalize(images))


def test_an_image_is_moved_by_its_own_draws_of_the_epoch(digits: ImageSets) -> None:
    augmentation = Augmentation(shift=2, rotation=10)
    loader = ImageLoader(digits.train, 64, shuffle=True, augmentation=augmentation)
    loader.set_epoch(4)
    order = torch.tensor(batches(60_000, 64, seed=0, epoch=4)[0])
    moved = augmentation(digits.train.images[order], epoch_draws(60_000, seed=0, epoch=4)[order])
    assert torch.equal(next(iter(loader))[0], MNIST.normalize(moved))


def test_the_training_images_have_mean_0_and_standard_deviation_1(digits: ImageSets) -> None:
    pixels = MNIST.normalize(digits.train.images)
    assert pixels.shape == (60_000, 1, 28, 28)
    assert pixels.dtype == torch.float32
    assert abs(float(pixels.mean())) < 1e-3
    assert abs(float(pixels.std()) - 1) < 1e-3


# Other loaders and trainers.


@pytest.mark.parametrize("shuffle", [True, False])
def test_the_dataset_of_a_loader_holds_its_images_one_by_one(shuffle: bool, digits: ImageSets) -> None:
    augmentation = Augmentation(shift=2) if shuffle else None
    loader = ImageLoader(digits.test, 300, shuffle=shuffle, augmentation=augmentation)
    assert len(loader.dataset) == 10_000
    in_order = ImageLoader(digits.test, 300, shuffle=False)
    pairs = zip(DataLoader(loader.dataset, batch_size=300), in_order, strict=True)
    for (images, targets), (own_images, own_targets) in pairs:
        assert torch.equal(images, own_images)
        assert torch.equal(targets, own_targets)
        assert (images.dtype, targets.dtype) == (torch.float32, torch.int64)


def test_the_dataset_holds_images_in_colour() -> None:
    image_spec = ImageSpec(3, 4, 6, ("a", "b"), mean=(0.2, 0.4, 0.6), std=(0.1, 0.2, 0.3))
    images = torch.randint(256, (10, 3, 4, 6), dtype=torch.uint8)
    loader = ImageLoader(LabelledImages(images, torch.arange(10) % 2), 4, shuffle=True, image_spec=image_spec)
    assert torch.equal(torch.stack([loader.dataset[index][0] for index in range(10)]), image_spec.normalize(images))
    assert loader.dataset[9][1] == 1


def test_fabric_gets_the_batches_and_epochs_of_the_loader(digits: ImageSets) -> None:
    loader, other = (
        ImageLoader(digits.test, 300, shuffle=True, seed=3, augmentation=Augmentation(shift=2)) for _ in range(2)
    )
    fabric = Fabric(accelerator="cpu", devices=1)
    set_up = fabric.setup_dataloaders(DataLoader(loader, batch_size=None))
    assert len(set_up) == len(other)
    for _ in range(2):
        for (images, targets), (own_images, own_targets) in zip(set_up, other, strict=True):
            assert torch.equal(images, own_images)
            assert torch.equal(targets, own_targets)


def test_a_trainer_keeps_loaders_that_it_gets_without_the_data_module(tmp_path: Path) -> None:
    """With each option for which Lightning replaces torch's own loaders."""
    data = MNISTDataModule()
    data.setup()
    train, evaluate = data.train_dataloader(), data.val_dataloader()
    fitted = trainer(tmp_path, overfit_batches=2, log_every_n_steps=1)
    fitted.fit(DigitClassifier("mlp"), train, evaluate)
    assert fitted.train_dataloader is train
    fitted.predict(DigitClassifier("mlp"), evaluate)
    assert fitted.predict_dataloaders is evaluate
