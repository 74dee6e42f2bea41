"""Noise of any size to train on, a network of any width, and the earlier runs and
trials of reports and searches.
"""

import random
from collections.abc import Iterator
from dataclasses import replace

import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import RandomSampler
from optuna.trial import FrozenTrial, create_trial
from torch import nn

from convblocks.compare.dry_run import Plan
from convblocks.compare.trials import Trial
from convblocks.figures.grouping import by_arch
from convblocks.record.judge import ACCURACY
from convblocks.record.result import RunResult
from convblocks.search.config import SearchConfig, parse_space
from lab import NETWORKS
from lab.pages.writing import DATA
from lab.results import read_results

# MNIST's runs of the three networks, with several settings.
RUNS = DATA / "study-confirm.jsonl"


def wide(width: int = 100) -> nn.Sequential:
    """The MLP with another number of hidden units."""
    hidden, output = nn.Linear(784, width), nn.Linear(width, 10)
    return nn.Sequential(nn.Flatten(), hidden, nn.ReLU(), output)


def runs(count: int) -> list[RunResult]:
    """Runs of the three networks at one setting: those on record, again and again with
    other seeds.
    """
    known = read_results(RUNS)
    alike = [run for run in known if run.overrides == known[0].overrides]
    return [
        replace(own[seed % len(own)], seed=seed)
        for own in by_arch(alike).values()
        for seed in range(count // len(NETWORKS))
    ]


# Of a search's trials.
PLAN = Plan(settings={}, judge=ACCURACY, epochs=3, is_validated=True)


def search(name: str) -> SearchConfig:
    """Of a search of the default space, by TPE."""
    trial = Trial(name, "mlp", (("epochs", "3"),), (), seed=0)
    return SearchConfig(trial, parse_space([]))


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
