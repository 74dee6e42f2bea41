"""The configuration of a search: its networks, fixed settings, space, sampler and pruner."""

import warnings
from dataclasses import dataclass

import numpy as np
from optuna.distributions import CategoricalDistribution
from optuna.exceptions import ExperimentalWarning
from optuna.pruners import BasePruner, MedianPruner, NopPruner
from optuna.samplers import BaseSampler, RandomSampler, TPESampler

from convblocks import wings
from convblocks.compare.trials import Trial, root_of
from convblocks.run.directory import RunDirectory
from convblocks.run.result import Overrides
from convblocks.search.space import ARCH, Params, Space, as_overrides, describe

# Random trials before the sampler learns from them, and finished trials before the pruner compares.
RANDOM_TRIALS = 10
UNPRUNED_TRIALS = 5


@dataclass(frozen=True)
class SearchTrial(Trial):
    """A run with settings chosen by a search, in a directory with its number."""

    number: int = 0

    @property
    def label(self) -> str:
        return f"trial_{self.number}"

    @property
    def name(self) -> str:
        return f"{self.comparison}/{self.label}"


@dataclass(frozen=True)
class SearchConfig:
    """The configuration of a search, which must not change while it goes on.

    Args:
        name: The directory below ``lightning_logs``.
        archs: The networks; several are a dimension of the space.
        common: Options of fit that are the same for all trials.
        space: The dimensions.
        seed: Of the sampler, and of every trial.
        sampler: "tpe" or "random".
        pruner: "median" or "none".
        storage: The URL of a storage of Optuna; without one the choices are kept in a journal.
        option: The option of fit that takes a network: "arch" or "model".
    """

    name: str
    archs: tuple[str, ...]
    common: Overrides
    space: Space
    seed: int = 0
    sampler: str = "tpe"
    pruner: str = "median"
    storage: str = ""
    option: str = "arch"

    @property
    def directory(self) -> RunDirectory:
        return RunDirectory(self.name, root_of(self.common))

    def dimensions(self) -> Space:
        return ({ARCH: CategoricalDistribution(self.archs)} if len(self.archs) > 1 else {}) | self.space

    def trial(self, number: int, params: Params) -> SearchTrial:
        chosen = as_overrides({option: value for option, value in params.items() if option != ARCH})
        arch = params.get(ARCH, self.archs[0])
        return SearchTrial(self.name, arch, self.common, chosen, self.seed, self.option, number)

    def sampler_for(self, number: int) -> BaseSampler:
        """Seeded by (seed, number), so that an interrupted search chooses like an uninterrupted one."""
        seed = int(np.random.SeedSequence((self.seed, number)).generate_state(1)[0])
        if self.sampler == "random":
            return RandomSampler(seed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)  # Optuna 4; in 5 both are the default
            return TPESampler(n_startup_trials=RANDOM_TRIALS, multivariate=True, constant_liar=True, seed=seed)

    def make_pruner(self) -> BasePruner:
        """The pruner, which compares a trial after each epoch with finished ones."""
        return MedianPruner(n_startup_trials=UNPRUNED_TRIALS) if self.pruner == "median" else NopPruner()

    def as_attributes(self) -> dict[str, str]:
        """The configuration as text, by option."""
        return {
            f"--{self.option}": " ".join(self.archs),
            "--seed": str(self.seed),
            "--sampler": self.sampler,
            "--pruner": self.pruner,
            **{f"--{option}": value for option, value in self.common if option not in wings.options()},
            **{f"--space {option}": describe(dimension) for option, dimension in self.space.items()},
        }
