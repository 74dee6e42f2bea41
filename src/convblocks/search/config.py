"""The configuration of a search: its networks, fixed settings, space, sampler and pruner."""

import warnings
from dataclasses import dataclass

import numpy as np
from optuna.distributions import CategoricalDistribution
from optuna.exceptions import ExperimentalWarning
from optuna.pruners import BasePruner, MedianPruner, NopPruner
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.study import StudyDirection

from convblocks import wings
from convblocks.compare.training import Arm
from convblocks.compare.trials import Trial, choice_of, judge_of, root_of
from convblocks.run.directory import RunDirectory
from convblocks.run.judge import Judge
from convblocks.run.result import Overrides
from convblocks.search.space import Params, Space, as_overrides, describe

# Random trials before the sampler learns from them, and finished trials before the pruner compares.
RANDOM_TRIALS = 10
UNPRUNED_TRIALS = 5

# The name of the network as a dimension.
ARCH = "arch"


@dataclass(frozen=True)
class SearchTrial(Trial):
    """An ordinary run with settings chosen by a search."""

    number: int

    @property
    def name(self) -> str:
        return f"{self.comparison}/trial_{self.number}"


@dataclass(frozen=True)
class SearchConfig:
    """The configuration of a search, which must not change while it goes on.

    Args:
        name: The directory below ``lightning_logs``.
        archs: The networks; several are a dimension of the space.
        overrides: Options of fit that are the same for all trials.
        space: The dimensions.
        seed: Of the sampler, and of every trial.
        sampler: "tpe" or "random".
        pruner: "median" or "none".
        storage: The URL of a storage of Optuna; without one the choices are kept in a journal.
    """

    name: str
    archs: tuple[str, ...]
    overrides: Overrides
    space: Space
    seed: int
    sampler: str
    pruner: str
    storage: str = ""

    @property
    def judge(self) -> Judge:
        """The metric by which the trials are judged."""
        return judge_of(self.overrides)

    @property
    def direction(self) -> StudyDirection:
        return StudyDirection.MAXIMIZE if self.judge.sign > 0 else StudyDirection.MINIMIZE

    @property
    def directory(self) -> RunDirectory:
        return RunDirectory(self.name, root_of(self.overrides))

    def dimensions(self) -> Space:
        return ({ARCH: CategoricalDistribution(self.archs)} if len(self.archs) > 1 else {}) | self.space

    def trial(self, number: int, params: Params) -> SearchTrial:
        arch, chosen = self.chosen(params)
        return SearchTrial(self.name, arch, self.overrides + chosen, self.seed, number)

    def chosen(self, params: Params) -> Arm:
        """The chosen network and settings."""
        others = {option: value for option, value in params.items() if option != ARCH}
        return Arm(params.get(ARCH, self.archs[0]), as_overrides(others))

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
        settings = [pair for pair in self.overrides if pair[0] not in wings.options()]
        return {
            choice_of("", self.overrides)[0]: " ".join(self.archs),
            "--seed": str(self.seed),
            "--sampler": self.sampler,
            "--pruner": self.pruner,
            **{f"--{option}": value for option, value in settings},
            **{f"--space {option}": describe(dimension) for option, dimension in self.space.items()},
        }
