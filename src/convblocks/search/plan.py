"""What a search is: its networks, the settings that are the same, the space, and how it chooses and prunes."""

import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from optuna.distributions import CategoricalDistribution
from optuna.exceptions import ExperimentalWarning
from optuna.pruners import BasePruner, MedianPruner, NopPruner
from optuna.samplers import BaseSampler, RandomSampler, TPESampler

from convblocks.comparison.trials import Settings, Trial, root_of
from convblocks.runs.directory import RunDirectory
from convblocks.search.space import Params, Space, described, settings_of

# How many trials are drawn at random before the sampler learns from them, and end before the pruner compares.
RANDOM_TRIALS = 10
UNPRUNED_TRIALS = 5

# What the network is called where it is a dimension.
ARCH = "arch"


@dataclass(frozen=True)
class Choice(Trial):
    """An ordinary run whose settings a search has chosen."""

    number: int

    @property
    def name(self) -> str:
        return f"{self.comparison}/trial_{self.number}"


@dataclass(frozen=True)
class Plan:
    """What makes two searches the same.

    Args:
        name: The directory below ``lightning_logs``.
        archs: The networks; several are a dimension of the space.
        settings: Options of fit.py that are the same for all trials.
        space: What is chosen.
        seed: Of the sampler, and of every trial.
        sampler: "tpe" or "random".
        pruner: "median" or "none".
    """

    name: str
    archs: tuple[str, ...]
    settings: Settings
    space: Space
    seed: int
    sampler: str
    pruner: str

    def directory(self) -> RunDirectory:
        return RunDirectory(self.name, root_of(self.settings))

    def journal(self) -> Path:
        return self.directory().path / "journal.log"

    def dimensions(self) -> Space:
        return ({ARCH: CategoricalDistribution(self.archs)} if len(self.archs) > 1 else {}) | self.space

    def trial(self, number: int, params: Params) -> Choice:
        arch, chosen = self.chosen(params)
        return Choice(self.name, arch, self.settings + chosen, self.seed, number)

    def chosen(self, params: Params) -> tuple[str, Settings]:
        """The network and the settings that were chosen."""
        others = {option: value for option, value in params.items() if option != ARCH}
        return params.get(ARCH, self.archs[0]), settings_of(others)

    def sampler_for(self, number: int) -> BaseSampler:
        """Seeded for each trial anew, so that a search that was interrupted chooses as one that was not."""
        seed = int(np.random.SeedSequence((self.seed, number)).generate_state(1)[0])
        if self.sampler == "random":
            return RandomSampler(seed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)  # Optuna 4; in 5 both are the default
            return TPESampler(n_startup_trials=RANDOM_TRIALS, multivariate=True, constant_liar=True, seed=seed)

    def pruning(self) -> BasePruner:
        """What compares a trial, after each epoch, with those that have ended."""
        return MedianPruner(n_startup_trials=UNPRUNED_TRIALS) if self.pruner == "median" else NopPruner()

    def as_attributes(self) -> dict[str, str]:
        """All that must not change while a search goes on, by name."""
        space = {f"--space {option}": described(one) for option, one in self.space.items()}
        own = {"--arch": " ".join(self.archs), "--seed": self.seed, "--sampler": self.sampler, "--pruner": self.pruner}
        settings = {f"--{option}": value for option, value in self.settings}
        return {name: str(value) for name, value in (own | settings | space).items()}
