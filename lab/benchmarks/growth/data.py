"""Noise of any size to train on, a network of any width, and the earlier runs and
trials of reports and searches.
"""

import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import optuna
import torch
from optuna.distributions import BaseDistribution
from optuna.samplers import RandomSampler
from optuna.trial import FrozenTrial, create_trial
from torch import Tensor, nn

from convblocks.compare.dry_run import Plan
from convblocks.compare.trials import Trial
from convblocks.data.images import MNIST, ImageSets, ImageSource, LabelledImages
from convblocks.run.judge import ACCURACY
from convblocks.run.result import RunResult
from convblocks.search.config import SearchConfig, parse_space
from lab import NETWORKS
from lab.results import read_results

# As many training images to a test image as MNIST has.
TRAINING_TO_TEST = 6

# MNIST's runs of the three networks, with several settings.
RUNS = Path(__file__).parents[3] / "docs" / "data" / "study-confirm.jsonl"


class Noise(ImageSource):
    """Images like MNIST's of random pixels and labels; the root ``2000-10`` stands for
    2,000 of 10 classes.
    """

    def load(self) -> ImageSets:
        images, classes = map(int, self.root.name.split("-"))
        return checked(*noise(images, classes), classes)


def noise(images: int, classes: int) -> tuple[LabelledImages, LabelledImages]:
    """Training and test images."""
    generator = torch.Generator().manual_seed(0)

    def draw(count: int) -> LabelledImages:
        pixels = torch.randint(256, (count, *MNIST.shape), dtype=torch.uint8, generator=generator)
        return LabelledImages(pixels, torch.randint(classes, (count,), generator=generator))

    return draw(images), draw(-(-images // TRAINING_TO_TEST))


def checked(train: LabelledImages, test: LabelledImages, classes: int) -> ImageSets:
    """What the project finds out about any source's images: whether they are alike,
    MD5, mean, deviation.
    """
    return ImageSets.of(train, test, [str(label) for label in range(classes)])


class Wide(nn.Module):
    """The MLP with another number of hidden units."""

    def __init__(self, width: int = 100) -> None:
        super().__init__()
        pixels = MNIST.height * MNIST.width
        classes = len(MNIST.classes)
        self.layers = nn.Sequential(
            nn.Flatten(), nn.Linear(pixels, width), nn.ReLU(), nn.Linear(width, classes)
        )

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.layers(images)
        return logits


def parameters_of(width: int) -> int:
    """Each hidden unit has its weights in and out and a bias, each class a bias."""
    return (784 + 10 + 1) * width + 10


def runs(count: int) -> list[RunResult]:
    """Runs of the three networks at one setting: those on record, again and again with
    other seeds.
    """
    known = read_results(RUNS)
    alike = [run for run in known if run.overrides == known[0].overrides]
    found = []
    for arch in NETWORKS:
        own = [run for run in alike if run.arch == arch]
        found += [
            replace(own[seed % len(own)], seed=seed) for seed in range(count // len(NETWORKS))
        ]
    return found


# Of a search's trials.
PLAN = Plan(settings={}, judge=ACCURACY, epochs=3, is_validated=True)


def search(name: str) -> SearchConfig:
    """Of a search of the default space, by TPE."""
    return SearchConfig(Trial(name, "mlp", (("epochs", "3"),), (), seed=0), parse_space([]))


def trials(count: int) -> Iterator[FrozenTrial]:
    """Finished trials with settings and scores at random."""
    drawn = random.Random(0)
    dimensions: dict[str, BaseDistribution] = {**search("").space}
    study = optuna.create_study(sampler=RandomSampler(0))
    for _ in range(count):
        scores = sorted(drawn.random() for _ in range(3))
        yield create_trial(
            params=study.ask(dimensions).params,
            distributions=dimensions,
            value=scores[-1],
            intermediate_values=dict(enumerate(scores, start=1)),
        )
