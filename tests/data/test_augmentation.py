"""Images are moved a little, each in its own way, and always in the same one."""

import pytest
import torch

from convblocks.data.augmentation import Augmentation, epoch_draws
from convblocks.data.images import ImageSets

# The most of one movement, and nothing of the others.
RIGHT, DOWN, CLOCKWISE, LARGER = torch.eye(5)[:4].unsqueeze(1)


def test_without_movements_images_stay_as_they_are(digits: ImageSets) -> None:
    images = digits.train.images[:100]
    assert not Augmentation()
    assert torch.equal(Augmentation()(images, epoch_draws(100, seed=0, epoch=0)), images)


@pytest.mark.parametrize(("draw", "axis"), [(RIGHT, 3), (DOWN, 2)])
def test_a_shift_moves_the_image_by_whole_pixels(draw: torch.Tensor, axis: int, digits: ImageSets) -> None:
    images = digits.train.images[:1]  # its border of four pixels is empty
    assert torch.equal(Augmentation(shift=3)(images, draw), images.roll(3, dims=axis))


def test_a_rotation_turns_the_image(digits: ImageSets) -> None:
    images = digits.train.images[:1]
    assert torch.equal(Augmentation(rotation=90)(images, CLOCKWISE), images.rot90(-1, dims=(2, 3)))


def test_a_scale_lets_the_image_grow(digits: ImageSets) -> None:
    images = digits.train.images[:100]
    draws = LARGER.expand(100, 5)
    grown, shrunk = Augmentation(scale=0.2)(images, draws), Augmentation(scale=0.2)(images, -draws)
    ink = images.sum(dtype=torch.float)
    assert float(grown.sum(dtype=torch.float) / ink) == pytest.approx(1.2**2, rel=0.02)
    assert float(shrunk.sum(dtype=torch.float) / ink) == pytest.approx(0.8**2, rel=0.02)


def test_every_image_is_moved_in_its_own_way(digits: ImageSets) -> None:
    images = digits.train.images[:1].expand(100, 1, 28, 28)
    moved = Augmentation(shift=2, rotation=10)(images, epoch_draws(100, seed=0, epoch=0))
    assert len(moved.flatten(1).unique(dim=0)) == 100


def test_an_image_is_moved_alike_in_any_batch(digits: ImageSets) -> None:
    images, draws = digits.train.images[:64], epoch_draws(64, seed=0, epoch=0)
    move = Augmentation(shift=2, rotation=10, scale=0.1)
    alone = [move(image.unsqueeze(0), draw.unsqueeze(0)) for image, draw in zip(images, draws, strict=True)]
    assert torch.equal(torch.cat(alone), move(images, draws))


def test_an_empty_share_of_a_batch_stays_empty() -> None:
    assert len(Augmentation(shift=2)(torch.empty(0, 1, 28, 28, dtype=torch.uint8), torch.empty(0, 5))) == 0


def test_draws_fill_their_range_evenly() -> None:
    draws = epoch_draws(60_000, seed=0, epoch=0)
    assert draws.shape == (60_000, 5)
    assert draws.min() < -0.999
    assert draws.max() > 0.999
    assert draws.mean(dim=0).abs().max() < 0.01


def test_draws_depend_on_seed_and_epoch_and_on_nothing_else() -> None:
    torch.manual_seed(1)
    first = epoch_draws(10, seed=0, epoch=1)
    torch.manual_seed(2)
    assert torch.equal(epoch_draws(10, seed=0, epoch=1), first)
    assert not torch.equal(epoch_draws(10, seed=1, epoch=0), first)
    assert not torch.equal(epoch_draws(10, seed=0, epoch=2), first)
