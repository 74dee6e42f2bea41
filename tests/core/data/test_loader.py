"""Every image once an epoch, in an order and with movements determined by (seed,
epoch), shared by processes.
"""

from itertools import chain

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.utils.data import DataLoader, random_split

from convblocks.data.images import ImageSets, ImageSpec, LabelledImages
from convblocks.data.loader import Augmentation, ImageLoader, epoch_draws

epochs = st.integers(min_value=0, max_value=1000)

SPEC = ImageSpec(3, 4, 6, ("a", "b"), mean=(0.2, 0.4, 0.6), std=(0.1, 0.2, 0.3))


@pytest.fixture
def colourful() -> LabelledImages:
    images = torch.randint(
        256, (100, 3, 4, 6), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )
    return LabelledImages(images, torch.arange(100) % 2)


def numbered(size: int) -> LabelledImages:
    """Empty images labelled by their indices, so that a batch shows which images it holds."""
    return LabelledImages(torch.zeros(size, 1, 1, 1, dtype=torch.uint8), torch.arange(size))


def numbers(loader: ImageLoader) -> list[list[int]]:
    """The indices of the images in each batch of the loader's next epoch."""
    return [targets.tolist() for _, targets in loader]


def batches(
    size: int, batch_size: int, seed: int, epoch: int, processes: int = 1, process: int = 0
) -> list[list[int]]:
    loader = ImageLoader(
        numbered(size), batch_size, shuffle=True, seed=seed, processes=processes, process=process
    )
    loader.set_epoch(epoch)
    return numbers(loader)


@settings(deadline=None)  # hundreds of batches, on a machine that is busy
@given(
    st.integers(1, 500), st.integers(1, 100), st.integers(0, 2**32 - 1), epochs, st.integers(1, 5)
)
def test_loader_gives_every_image_once_an_epoch_in_batches_that_processes_share_evenly(
    size: int, batch_size: int, seed: int, epoch: int, processes: int
) -> None:
    *full, last = whole = batches(size, batch_size, seed, epoch)
    assert sorted(chain(*whole)) == list(range(size))
    assert {*map(len, full)} <= {batch_size}
    assert 1 <= len(last) <= batch_size
    loader = ImageLoader(numbered(size), batch_size, shuffle=True)
    assert [loader.images_in(index) for index in range(len(loader))] == [*map(len, whole)]
    shares = [
        batches(size, batch_size, seed, epoch, processes, process) for process in range(processes)
    ]
    for parts, batch in zip(zip(*shares, strict=True), whole, strict=True):
        assert list(chain(*parts)) == batch
        assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_loader_order_depends_only_on_seed_and_epoch_which_is_the_next_unless_set() -> None:
    orders = {
        (seed, epoch): batches(100, 10, seed, epoch) for seed in range(4) for epoch in range(4)
    }
    assert len({str(order) for order in orders.values()}) == len(orders)
    torch.manual_seed(7)
    loader = ImageLoader(numbered(100), 10, shuffle=True)
    assert [numbers(loader) for _ in range(3)] == [orders[0, epoch] for epoch in range(3)]
    iterator = iter(loader)
    loader.set_epoch(1)
    assert [targets.tolist() for _, targets in iterator] == orders[0, 1]


@settings(deadline=None)
@given(st.lists(st.integers(min_value=0, max_value=4), max_size=3), epochs)
def test_loader_resumes_an_epoch_where_others_stopped(stops: list[int], epoch: int) -> None:
    """However often it is stopped, each time after some batches."""
    seen, state = [], ImageLoader(numbered(100), 10, shuffle=True).state_dict()
    for done in [*stops, 100]:
        loader = ImageLoader(numbered(100), 10, shuffle=True)
        loader.load_state_dict(state)
        loader.set_epoch(epoch)
        seen += [targets.tolist() for _, (_, targets) in zip(range(done), loader, strict=False)]
        state = loader.state_dict()
    assert seen == batches(100, 10, 0, epoch)
    assert numbers(loader) == batches(100, 10, 0, epoch + 1)
    # Where limit_train_batches cut the epoch before short.
    loader.load_state_dict(state | {"position": 1})
    loader.set_epoch(epoch + 1)
    assert numbers(loader) == batches(100, 10, 0, epoch + 1)


def test_loader_moves_images_by_their_own_draws_of_the_epoch_and_normalises_them(
    colourful: LabelledImages,
) -> None:
    augmentation = Augmentation(shift=2, rotation=10)
    order, draws = (
        torch.tensor(batches(100, 64, seed=0, epoch=4)[0]),
        epoch_draws(100, seed=0, epoch=4),
    )
    moved = augmentation(colourful.images[order], draws[order])
    for move, expected in ((None, colourful.images[order]), (augmentation, moved)):
        loader = ImageLoader(colourful, 64, shuffle=True, image_spec=SPEC, augmentation=move)
        loader.set_epoch(4)
        images, targets = next(iter(loader))
        assert torch.equal(images, SPEC.normalize(expected))
        assert torch.equal(targets, colourful.labels[order])


def test_loader_has_its_images_one_by_one_for_other_tools(colourful: LabelledImages) -> None:
    """In the order of the files, as the loader gives them: (image, label)."""
    loader = ImageLoader(
        colourful, 64, shuffle=True, image_spec=SPEC, augmentation=Augmentation(flip=True)
    )
    assert len(loader.dataset) == len(colourful)
    pairs = [loader.dataset[index] for index in range(len(colourful))]
    plain = ImageLoader(colourful, len(colourful), shuffle=False, image_spec=SPEC)
    ((images, targets),) = plain
    assert torch.equal(torch.stack([image for image, _ in pairs]), images)
    assert torch.equal(torch.stack([target for _, target in pairs]), targets)
    # Workers get a copy of it.
    batches = DataLoader(loader.dataset, batch_size=30, num_workers=1)
    assert torch.equal(torch.cat([batch for batch, _ in batches]), images)
    subset, _ = random_split(loader.dataset, [10, 90])
    assert len(next(iter(DataLoader(subset, batch_size=64)))[1]) == 10


# Of each movement the largest, and none of the others.
RIGHT, DOWN, CLOCKWISE, LARGER = torch.eye(5)[:4].unsqueeze(1)
MIRRORED = -torch.eye(5)[4:]


@pytest.fixture
def images(digits: ImageSets) -> Tensor:
    return digits.train.images[:1000]


@pytest.fixture
def draws() -> Tensor:
    return epoch_draws(1000, seed=0, epoch=0)


@pytest.mark.parametrize("size", [(28, 28), (12, 20)], ids=str)
@pytest.mark.parametrize(("draw", "axis"), [(RIGHT, 3), (DOWN, 2)], ids=["right", "down"])
def test_augmentation_shifts_by_pixels_in_any_shape(
    draw: Tensor, axis: int, size: tuple[int, int]
) -> None:
    images = torch.zeros(1, 3, *size, dtype=torch.uint8)
    images[..., 4:-4, 4:-4] = torch.arange((size[0] - 8) * (size[1] - 8)).view(
        size[0] - 8, size[1] - 8
    )
    assert torch.equal(Augmentation(shift=3)(images, draw), images.roll(3, dims=axis))


@pytest.mark.parametrize(("height", "width"), [(33, 65), (65, 33)])
def test_augmentation_rotates_images_that_are_not_square_without_shear(
    height: int, width: int
) -> None:
    """A disc in the centre stays one, and a bar keeps its length in every direction."""
    y, x = torch.meshgrid(
        torch.arange(height) - height // 2, torch.arange(width) - width // 2, indexing="ij"
    )
    disc, bar, upright = (
        255 * inside.to(torch.uint8).view(1, 1, height, width)
        for inside in (
            x**2 + y**2 < 12**2,
            (x.abs() <= 12) & (y.abs() <= 2),
            (y.abs() <= 12) & (x.abs() <= 2),
        )
    )
    turned = Augmentation(rotation=45)(disc, CLOCKWISE)
    assert (turned.float() - disc.float()).abs().mean() < 0.1 * disc.float().mean()
    assert torch.equal(Augmentation(rotation=90)(bar, CLOCKWISE), upright)


def test_augmentation_rotates_clockwise_and_scales(images: Tensor) -> None:
    assert torch.equal(
        Augmentation(rotation=90)(images[:1], CLOCKWISE), images[:1].rot90(-1, dims=(2, 3))
    )
    for draw, size in ((LARGER, 1.2), (-LARGER, 0.8)):
        scaled = Augmentation(scale=0.2)(images[:100], draw.expand(100, 5))
        ink = images[:100].sum(dtype=torch.float)
        assert float(scaled.sum(dtype=torch.float) / ink) == pytest.approx(size**2, rel=0.02)


def test_augmentation_flips_half_of_the_images_before_it_moves_them(
    images: Tensor, draws: Tensor
) -> None:
    mirrored = draws[:, 4] < 0
    assert 450 < int(mirrored.sum()) < 550
    flipped = Augmentation(flip=True)(images, draws)
    assert torch.equal(flipped, torch.where(mirrored.view(-1, 1, 1, 1), images.flip(3), images))
    both = Augmentation(shift=3, flip=True)(images[:1], RIGHT + MIRRORED)
    assert torch.equal(both, images[:1].flip(3).roll(3, dims=3))


def test_augmentation_moves_all_channels_together_each_image_in_its_own_way_in_any_batch(
    images: Tensor, draws: Tensor
) -> None:
    move, images, draws = (
        Augmentation(shift=2, rotation=10, scale=0.1, flip=True),
        images[:64],
        draws[:64],
    )
    moved = move(images.expand(-1, 3, -1, -1), draws)
    assert torch.equal(moved, move(images, draws).expand(-1, 3, -1, -1))
    assert len(move(images[:1].expand(64, 1, 28, 28), draws).flatten(1).unique(dim=0)) == 64
    alone = [move(image, draw) for image, draw in zip(images.split(1), draws.split(1), strict=True)]
    assert torch.equal(torch.cat(alone), move(images, draws))
    assert move(images[:0], draws[:0]).shape == (0, 1, 28, 28)
    assert not Augmentation()


def test_augmentation_fills_the_area_moved_in_with_black_or_repeats_the_edge() -> None:
    grey = torch.full((1, 3, 8, 12), 200, dtype=torch.uint8)
    moved = Augmentation(shift=4)(grey, RIGHT)
    assert (moved[..., :4] == 0).all()
    assert (moved[..., 4:] == 200).all()
    assert torch.equal(Augmentation(shift=4, black_outside=False)(grey, RIGHT), grey)


def test_draws_fill_their_range_evenly_and_depend_only_on_seed_and_epoch() -> None:
    draws = epoch_draws(60_000, seed=0, epoch=0)
    assert draws.shape == (60_000, 5)
    assert draws.min() < -0.999
    assert draws.max() > 0.999
    assert draws.mean(dim=0).abs().max() < 0.01
    torch.manual_seed(2)
    assert torch.equal(epoch_draws(60_000, seed=0, epoch=0), draws)
    for seed, epoch in ((1, 0), (0, 2)):
        assert not torch.equal(epoch_draws(60_000, seed, epoch), draws)
