"""What reaches the ReLUs in the first steps, and the signs of gradients, as the record
of a run has them.
"""

import pytest
import torch
from torch import nn

from convblocks.data.images import ImageSets
from convblocks.record.directory import RunDirectory
from lab import gradients
from lab.preactivations import FACT, MEASURES, STEPS
from tests.conftest import write_digits
from tests.core.run.test_fit import QUICK, train

pytestmark = pytest.mark.slow  # a fixture trains

BATCH_NORM = ["--arch", "lab.blocks.BlockNetwork", "--network.normalisation", "batch"]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, digits: ImageSets) -> dict[str, RunDirectory]:
    """A run that records what reaches its ReLUs, and the same without."""
    folder = tmp_path_factory.mktemp("runs")
    write_digits(folder / "digits", digits, train=640)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        callbacks = "[lab.preactivations.PreActivations,lab.gradients.GradientSigns]"
        for name, options in {"recorded": ["--trainer.callbacks", callbacks], "plain": []}.items():
            train(*BATCH_NORM, *QUICK, "--data.root", "digits", "--name", name, *options)
        return {name: RunDirectory(name, folder) for name in ("recorded", "plain")}


def test_pre_activations_are_recorded_for_each_of_the_first_steps_and_each_block(
    runs: dict[str, RunDirectory],
) -> None:
    result = runs["recorded"].read_result()
    found = result.facts[FACT]
    assert tuple(found) == MEASURES
    steps = min(STEPS, int(result.epochs[-1]["step"]))
    assert all(
        len(found[measure]) == steps and {len(step) for step in found[measure]} == {3}
        for measure in MEASURES
    )
    assert all(spread > 0 for spread in found["spread"][0])
    assert all(0 <= dead <= 1 for step in found["dead"] for dead in step)


def test_pre_activations_leave_the_training_as_it_is(runs: dict[str, RunDirectory]) -> None:
    assert runs["recorded"].read_result().final == runs["plain"].read_result().final


def test_signs_of_gradients_are_counted_for_each_of_the_first_steps_and_each_block(
    runs: dict[str, RunDirectory],
) -> None:
    found = runs["recorded"].read_result().facts[gradients.FACT]
    assert all(len(found[measure]) == gradients.STEPS for measure in gradients.MEASURES)
    assert all(0.5 <= block <= 1 for step in found["agreeing"] for block in step)
    assert all(0 <= block <= 1 for step in found["falling"] for block in step)


def test_signs_are_those_of_the_units_that_have_a_gradient() -> None:
    convolution = nn.Conv2d(1, 3, (1, 4))
    signs = torch.tensor([[1.0, 1.0, 1.0, -1.0], [-1.0, -1.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0]])
    convolution.weight.grad = signs.view_as(convolution.weight)
    assert gradients.signs_of(convolution) == pytest.approx(((3 / 4 + 1) / 2, 0.5))
