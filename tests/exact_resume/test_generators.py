"""Generators have the same names at a save and at its resume, whatever happened between."""

import numpy as np
import pytest
import torch

from exact_resume.keepers.generators import PARTS, _parts, generators_in
from tests.any_task.kinds import LOADERS

pytestmark = pytest.mark.filterwarnings("ignore:'set_vital' is deprecated")  # by torchdata

OF_SAMPLER, OF_DATA = "/0/sampler/generator", "/0/dataset/noise/generator"


def test_generators_are_named_by_the_way_to_them() -> None:
    loader = LOADERS["own generator"]()
    generators = generators_in(loader)
    assert generators.keys() == {OF_SAMPLER, OF_DATA}
    assert generators[OF_SAMPLER] is loader.sampler.generator
    assert generators[OF_DATA] is loader.dataset.noise["generator"]


def test_names_stay_when_something_asks_for_attributes() -> None:
    """Python makes the dictionary of an object then, one level more on the way."""
    loader = LOADERS["own generator"]()
    before = generators_in(loader)
    vars(loader.sampler)
    assert generators_in(loader) == before


def test_names_stay_when_another_generator_comes() -> None:
    """As the loaders of an evaluation do, nearer than those that were there."""
    loader = LOADERS["own generator"]()
    before = generators_in(loader)
    loader.dataset.another = np.random.default_rng(1)
    later = generators_in(loader, torch.Generator())
    assert later.items() > before.items()
    assert len(later) == len(before) + 2


def test_first_parts_of_any_container_are_looked_at() -> None:
    """A loader may hold millions of objects."""
    assert len([*_parts(frozenset(range(PARTS + 1)))]) == PARTS
