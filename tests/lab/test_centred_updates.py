"""What is changed in a layer's first updates, and that nothing else is."""

from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, get_args

import pytest
import torch
from torch import Tensor, nn

from convblocks.data.images import ImageSets
from convblocks.record.directory import RunDirectory
from lab import by_seed, centred_updates
from lab.blocks import BlockNetwork
from lab.centred_updates import (
    FACT,
    UPDATES,
    CentredUpdates,
    Change,
    centred,
    directions_like,
    mean_of,
    reach,
    share_of_mean,
    with_length_of,
    without,
)
from lab.preactivations import FACT as PRE_ACTIVATIONS
from tests.conftest import REPOSITORY, write_digits
from tests.core.run.test_fit import QUICK, train, weights

pytestmark = pytest.mark.slow  # a fixture trains

BLOCKS = ["--arch", "lab.blocks.BlockNetwork", *QUICK, "--data.root", "digits"]
LAYER, SEED = 2, 5


def updates(change: str | None, steps: int = 3) -> list[dict[str, Tensor]]:
    """What Adam changes in each weight and bias, step by step; None leaves it as it is."""
    torch.manual_seed(SEED)
    network, images, digits = BlockNetwork(), torch.randn(32, 1, 28, 28), torch.arange(32) % 10
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-2)
    callback: Any = CentredUpdates(LAYER, change) if change else None  # type: ignore[arg-type]
    module, trainer = SimpleNamespace(network=network), SimpleNamespace(global_step=0)
    if callback:
        callback.on_train_start(trainer, module)
    found = []
    for step in range(steps):
        before = {name: values.clone() for name, values in network.state_dict().items()}
        optimizer.zero_grad()
        nn.functional.cross_entropy(network(images), digits).backward()
        trainer.global_step = step
        if callback:
            callback.on_train_batch_start(trainer, module, (images, digits), step)
            callback.on_before_optimizer_step(trainer, module, optimizer)
        optimizer.step()
        if callback:
            callback.on_train_batch_end(trainer, module, None, None, step)
        found.append({name: network.state_dict()[name] - old for name, old in before.items()})
    return found


CHANGED = "blocks.1.0.weight"


@pytest.fixture(scope="module")
def first() -> dict[str, dict[str, Tensor]]:
    """The first update of the plain optimizer and of each change: they begin alike."""
    return {str(change): updates(change, 1)[0] for change in (None, *get_args(Change))}


def units(update: dict[str, Tensor]) -> Tensor:
    return update[CHANGED].flatten(1)


def test_centred_update_has_no_mean_and_the_length_of_the_plain_one(
    first: dict[str, dict[str, Tensor]],
) -> None:
    plain, changed = units(first["None"]), units(first["centred"])
    assert float(changed.mean(dim=1).abs().max()) < 1e-6 < float(plain.mean(dim=1).abs().max())
    torch.testing.assert_close(changed.norm(dim=1), plain.norm(dim=1), rtol=1e-4, atol=1e-6)


def test_shrunk_update_has_the_centred_length_and_the_plain_direction(
    first: dict[str, dict[str, Tensor]],
) -> None:
    plain, changed = units(first["None"]), units(first["shrunk"])
    torch.testing.assert_close(
        changed.norm(dim=1), centred(plain).norm(dim=1), rtol=1e-4, atol=1e-6
    )
    moving = plain.norm(dim=1) > 0  # others are dead
    alike = nn.functional.cosine_similarity(plain[moving], changed[moving])
    torch.testing.assert_close(alike, torch.ones_like(alike))


def test_random_update_loses_one_direction_and_keeps_its_length(
    first: dict[str, dict[str, Tensor]],
) -> None:
    """As centred does, of which the direction is that of equal weights."""
    plain, changed = units(first["None"]), units(first["random"])
    torch.testing.assert_close(changed.norm(dim=1), plain.norm(dim=1), rtol=1e-4, atol=1e-6)
    directions = directions_like(plain, torch.Generator().manual_seed(0))
    torch.testing.assert_close(directions.norm(dim=1), torch.ones(len(plain)))
    lost = without(plain, directions)
    assert float((lost * directions).sum(dim=1).abs().max()) < 1e-6
    equal = torch.full_like(plain, plain.shape[1] ** -0.5)
    torch.testing.assert_close(without(plain, equal), centred(plain), rtol=0, atol=1e-6)
    identity = torch.eye(plain.shape[1])
    ranks = [
        int(torch.linalg.matrix_rank(without(identity, one.expand_as(identity))))
        for one in (directions[0], equal[0])
    ]
    assert ranks == [plain.shape[1] - 1] * 2


def test_matched_update_has_the_plain_direction_and_the_reach_of_the_centred_one(
    first: dict[str, dict[str, Tensor]],
) -> None:
    """For the images of the first batch, and the inputs that block 1 now makes of them."""
    plain, changed, wanted = (units(first[change]) for change in ("None", "matched", "centred"))
    torch.manual_seed(SEED)
    network, images = BlockNetwork(), torch.randn(32, 1, 28, 28)
    for name, values in network.named_parameters():
        values.data += first["None"][name]
    layer = network.blocks[1][0]  # type: ignore[index]
    with torch.no_grad():
        inputs = network.blocks[0](images)
    found, meant = (reach(layer, inputs, update) for update in (changed, wanted))
    torch.testing.assert_close(found, meant, rtol=1e-4, atol=1e-7)
    moving = plain.norm(dim=1) > 0  # others are dead
    assert float(reach(layer, inputs, plain)[moving].median()) > float(meant[moving].median())
    alike = nn.functional.cosine_similarity(plain[moving], changed[moving])
    torch.testing.assert_close(alike, torch.ones_like(alike))


def test_reach_is_the_root_mean_square_of_what_pre_activations_change() -> None:
    layer, inputs = nn.Conv2d(2, 3, 3, padding="same"), torch.randn(4, 2, 5, 5)
    update = torch.randn_like(layer.weight)
    before = layer(inputs)
    layer.weight.data += update
    changed = (layer(inputs) - before).transpose(0, 1).flatten(1)
    wanted = changed.square().mean(dim=1, keepdim=True).sqrt()
    torch.testing.assert_close(reach(layer, inputs, update.flatten(1)), wanted)


def test_replaced_update_moves_along_a_direction_without_a_mean_as_far_as_its_mean_did(
    first: dict[str, dict[str, Tensor]],
) -> None:
    plain, changed = units(first["None"]), units(first["replaced"])
    assert float(changed.mean(dim=1).abs().max()) < 1e-6
    moved = changed - centred(plain)
    torch.testing.assert_close(moved.norm(dim=1), mean_of(plain).norm(dim=1), rtol=1e-4, atol=1e-6)
    generator = torch.Generator().manual_seed(SEED + centred_updates.OTHER_SEED)
    directions = centred(directions_like(plain, generator))
    moving = mean_of(plain).norm(dim=1) > 1e-3 * plain.norm(dim=1)  # else rounding, or dead
    alike = nn.functional.cosine_similarity(moved[moving], directions[moving])
    torch.testing.assert_close(alike, plain[moving].mean(dim=1).sign())


def test_mean_alone_has_the_sign_of_the_mean_and_the_length_of_the_whole(
    first: dict[str, dict[str, Tensor]],
) -> None:
    plain, changed = units(first["None"]), units(first["alone"])
    lengths = plain.norm(dim=1) / plain.shape[1] ** 0.5
    wanted = (plain.mean(dim=1).sign() * lengths)[:, None].expand_as(plain)
    moving = mean_of(plain).norm(dim=1) > 1e-3 * plain.norm(dim=1)  # else rounding, or dead
    assert len(plain) - 2 <= int(moving.sum())
    torch.testing.assert_close(changed[moving], wanted[moving], rtol=1e-4, atol=1e-6)


def test_mean_turned_upward_has_the_length_of_the_mean_and_the_opposite_sign(
    first: dict[str, dict[str, Tensor]],
) -> None:
    """Of units that fall; those that rise are left, and so is the rest of each update."""
    plain, changed = units(first["None"]), units(first["upward"])
    falling = plain.mean(dim=1) < 0
    assert 0 < int(falling.sum()) < len(plain)
    close = partial(torch.testing.assert_close, rtol=1e-4, atol=1e-6)
    close(changed[~falling], plain[~falling])
    close(mean_of(changed)[falling], -mean_of(plain)[falling])
    close(centred(changed), centred(plain))


@pytest.mark.parametrize("change", get_args(Change))
def test_only_the_weights_of_the_layer_are_changed(
    change: str, first: dict[str, dict[str, Tensor]]
) -> None:
    different = {
        name for name in first["None"] if not first["None"][name].equal(first[change][name])
    }
    assert different == {CHANGED}


def test_random_directions_stay_the_same_and_are_those_of_the_seed() -> None:
    found = [units(step) for step in updates("random")]
    generator = torch.Generator().manual_seed(SEED + centred_updates.OTHER_SEED)
    directions = directions_like(found[0], generator)
    for update in found:
        parts = (update * directions).sum(dim=1)
        assert float(parts.abs().max()) < 1e-6 < float(update.norm(dim=1).max())


def test_updates_that_are_constant_or_none_become_none() -> None:
    update = torch.stack([torch.full((288,), 0.01), torch.zeros(288)])
    assert with_length_of(update, centred(update)).equal(torch.zeros(2, 288))
    assert with_length_of(centred(update), update).abs().max() < 1e-6


def test_share_of_the_mean_is_that_of_the_units_that_change() -> None:
    update = torch.tensor([[1.0, 1.0], [1.0, -1.0], [0.0, 0.0]])
    assert share_of_mean(update) == pytest.approx(0.5)
    assert share_of_mean(update[2:]) != share_of_mean(update[2:])


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, digits: ImageSets) -> dict[str, RunDirectory]:
    """A plain run, one that is centred, and one of which no update is changed."""
    folder = tmp_path_factory.mktemp("runs")
    write_digits(folder / "digits", digits, train=640)
    config = ["--config", str(REPOSITORY / "docs/data/cause/centred-block-2.yaml")]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        train(*BLOCKS, "--name", "plain")
        train(*BLOCKS, *config, "--name", "centred")
        patch.setattr(centred_updates, "UPDATES", 0)
        train(*BLOCKS, *config, "--name", "unchanged")
    return {name: RunDirectory(name, folder) for name in ("plain", "centred", "unchanged")}


def test_run_without_changed_updates_ends_with_the_bits_of_the_plain_optimizer(
    runs: dict[str, RunDirectory],
) -> None:
    plain, centred_run, unchanged = (weights(run) for run in runs.values())
    assert all(plain[name].equal(values) for name, values in unchanged.items())
    assert not plain["network.blocks.1.0.weight"].equal(centred_run["network.blocks.1.0.weight"])


def test_first_updates_are_changed_and_recorded(runs: dict[str, RunDirectory]) -> None:
    result = runs["centred"].read_result()
    (shares,) = result.facts[FACT].values()
    assert len(shares) == min(UPDATES, int(result.epochs[-1]["step"]))
    assert all(0 <= layer[0] <= 1 for layer in shares)
    assert runs["unchanged"].read_result().facts[FACT] == {"mean": []}


def test_each_arm_of_the_protocol_has_a_config_that_says_what_it_changes() -> None:
    folder = REPOSITORY / "docs/data/cause"
    assert {path.stem for path in folder.iterdir()} == set(by_seed.ARMS)
    for change in by_seed.CHANGES:
        for place, layer in enumerate(by_seed.LAYERS, start=1):
            text = Path(folder, f"{change}-{layer}.yaml").read_text()
            assert f"init_args: {{layer: {place}, change: {change}}}" in text


def test_run_whose_updates_are_matched_measures_the_training_batches_alone(
    tmp_path: Path, digits: ImageSets, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not the batch on which an update's reach is measured."""
    write_digits(tmp_path / "digits", digits, train=640)
    monkeypatch.chdir(tmp_path)
    config = REPOSITORY / "docs/data/direction/matched-block-2.yaml"
    train(*BLOCKS, "--config", str(config), "--name", "matched")
    result = RunDirectory("matched").read_result()
    steps = int(result.epochs[-1]["step"])
    assert [len(step) for step in result.facts[PRE_ACTIVATIONS]["dead"]] == [3] * steps
    assert len(result.facts[FACT]["mean"]) == min(UPDATES, steps)
