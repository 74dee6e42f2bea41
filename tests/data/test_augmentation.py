"""Images are augmented at random, each in its own way, and reproducibly."""

import pytest
import torch

from convblocks.data.images import ImageSets
from convblocks.data.loader import Augmentation, epoch_draws

# The largest of one movement, and none of the others.
RIGHT, DOWN, CLOCKWISE, LARGER = torch.eye(5)[:4].unsqueeze(1)
MIRRORED = -torch.eye(5)[4:]


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


def test_a_scale_enlarges_the_image(digits: ImageSets) -> None:
    images = digits.train.images[:100]
    draws = LARGER.expand(100, 5)
    grown, shrunk = Augmentation(scale=0.2)(images, draws), Augmentation(scale=0.2)(images, -draws)
    ink = images.sum(dtype=torch.float)
    assert float(grown.sum(dtype=torch.float) / ink) == pytest.approx(1.2**2, rel=0.02)
    assert float(shrunk.sum(dtype=torch.float) / ink) == pytest.approx(0.8**2, rel=0.02)


def test_a_flip_mirrors_half_of_the_images(digits: ImageSets) -> None:
    images, draws = digits.train.images[:1000], epoch_draws(1000, seed=0, epoch=0)
    flipped = Augmentation(flip=True)(images, draws)
    mirrored = draws[:, 4] < 0
    assert torch.equal(flipped[mirrored], images[mirrored].flip(3))
    assert torch.equal(flipped[~mirrored], images[~mirrored])
    assert 450 < int(mirrored.sum()) < 550


def test_an_image_is_mirrored_before_it_is_moved(digits: ImageSets) -> None:
    images = digits.train.images[:1]
    both = Augmentation(shift=3, flip=True)(images, RIGHT + MIRRORED)
    assert torch.equal(both, images.flip(3).roll(3, dims=3))


def test_movements_are_the_same_with_and_without_flips(digits: ImageSets) -> None:
    images, draws = digits.train.images[:100], epoch_draws(100, seed=0, epoch=0)
    kept = draws[:, 4] >= 0
    moves, flips_too = (Augmentation(shift=2, rotation=10, flip=flip) for flip in (False, True))
    assert torch.equal(flips_too(images, draws)[kept], moves(images, draws)[kept])


def test_all_channels_are_moved_together(digits: ImageSets) -> None:
    images, draws = digits.train.images[:50].expand(50, 3, 28, 28), epoch_draws(50, seed=0, epoch=0)
    moved = Augmentation(shift=2, rotation=10, scale=0.1, flip=True)(images, draws)
    assert torch.equal(moved, moved[:, :1].expand(50, 3, 28, 28))


@pytest.mark.parametrize("channels", [1, 3])
def test_the_area_moved_in_is_black_or_repeats_the_edge(channels: int) -> None:
    grey = torch.full((1, channels, 8, 12), 200, dtype=torch.uint8)
    moved = Augmentation(shift=4)(grey, RIGHT)
    assert (moved[..., :4] == 0).all()
    assert (moved[..., 4:] == 200).all()
    assert torch.equal(Augmentation(shift=4, black_outside=False)(grey, RIGHT), grey)


@pytest.mark.parametrize(("height", "width"), [(33, 65), (65, 33)])
def test_images_that_are_not_square_are_rotated_without_shear(height: int, width: int) -> None:
    """A disc in the centre stays one, and a bar keeps its length in every direction."""
    y, x = torch.meshgrid(torch.arange(height) - height // 2, torch.arange(width) - width // 2, indexing="ij")
    disc = 255 * (x**2 + y**2 < 12**2).to(torch.uint8).view(1, 1, height, width)
    turned = Augmentation(rotation=45)(disc, CLOCKWISE)
    assert (turned.float() - disc.float()).abs().mean() < 0.1 * disc.float().mean()
    bar = 255 * ((x.abs() <= 12) & (y.abs() <= 2)).to(torch.uint8).view(1, 1, height, width)
    upright = 255 * ((y.abs() <= 12) & (x.abs() <= 2)).to(torch.uint8).view(1, 1, height, width)
    assert torch.equal(Augmentation(rotation=90)(bar, CLOCKWISE), upright)


@pytest.mark.parametrize(("draw", "axis", "pixels"), [(RIGHT, 3, 3), (DOWN, 2, 3)])
def test_a_shift_is_in_pixels_for_any_shape(draw: torch.Tensor, axis: int, pixels: int) -> None:
    images = torch.zeros(1, 3, 12, 20, dtype=torch.uint8)
    images[:, :, 5:7, 8:12] = 255
    assert torch.equal(Augmentation(shift=pixels)(images, draw), images.roll(pixels, dims=axis))


def test_every_image_is_moved_in_its_own_way(digits: ImageSets) -> None:
    images = digits.train.images[:1].expand(100, 1, 28, 28)
    moved = Augmentation(shift=2, rotation=10)(images, epoch_draws(100, seed=0, epoch=0))
    assert len(moved.flatten(1).unique(dim=0)) == 100


def test_an_image_is_augmented_in_the_same_way_in_any_batch(digits: ImageSets) -> None:
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


def test_draws_depend_only_on_seed_and_epoch() -> None:
    torch.manual_seed(1)
    first = epoch_draws(10, seed=0, epoch=1)
    torch.manual_seed(2)
    assert torch.equal(epoch_draws(10, seed=0, epoch=1), first)
    assert not torch.equal(epoch_draws(10, seed=1, epoch=0), first)
    assert not torch.equal(epoch_draws(10, seed=0, epoch=2), first)
