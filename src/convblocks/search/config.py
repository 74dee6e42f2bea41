"""The configuration of a search: what is the same for all trials, the space, sampler and pruner."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, RandomSampler, TPESampler

from convblocks.compare.trials import NO_SETTINGS, Trial, command_line, root_of
from convblocks.run.directory import RunDirectory
from convblocks.search.space import as_overrides


@dataclass(frozen=True)
class SearchConfig:
    """The configuration of a search, which must not change while it goes on.

    Args:
        default: A trial without chosen options; the others have its network, seed and common options.
        space: The distribution of each option.
        sampler: "tpe" or "random".
        pruner: "median" or "none".
    """

    default: Trial
    space: Mapping[str, BaseDistribution]
    sampler: str = "tpe"
    pruner: str = "median"

    @property
    def name(self) -> str:
        return self.default.comparison

    @property
    def directory(self) -> RunDirectory:
        return RunDirectory(self.name, root_of(self.default.common))

    def trial(self, number: int, params: Mapping[str, Any]) -> Trial:
        """The trial of that number, which is kept in ``trial_3``, with these settings."""
        return replace(self.default, place=f"trial_{number}", chosen=as_overrides(params))

    def sampler_for(self, number: int) -> BaseSampler:
        """Seeded by (seed, number), so that an interrupted search chooses like an uninterrupted one."""
        seed = int(np.random.SeedSequence((self.default.seed, number)).generate_state(1)[0])
        return RandomSampler(seed) if self.sampler == "random" else TPESampler(seed=seed)

    def words(self) -> list[str]:
        """The configuration as words of the command line."""
        identity = (self.default.option, self.default.arch), ("seed", str(self.default.seed))
        common = [pair for pair in self.default.common if pair[0] not in NO_SETTINGS]
        space = [(f"space {option}", str(distribution)) for option, distribution in self.space.items()]
        return command_line([*identity, ("sampler", self.sampler), ("pruner", self.pruner), *common, *space])


def number_of(trial: Trial) -> int:
    """The number of a trial of a search."""
    return int(trial.place.removeprefix("trial_"))
