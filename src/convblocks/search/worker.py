"""The trials of a search: which exist, which process runs them, how they ended, and which comes next."""

import math
from collections import Counter
from collections.abc import Mapping
from types import MappingProxyType

import optuna
from filelock import FileLock, Timeout
from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial

from convblocks.compare.dry_run import Plan
from convblocks.errors import UsageError
from convblocks.run.directory import has_dead_layer, is_epoch
from convblocks.run.result import Row
from convblocks.search.config import SearchConfig, SearchTrial
from convblocks.search.storage import direction_of, open_study

# Keys of a trial's user attributes: the epoch in which it collapsed, and the reason why it has no result.
COLLAPSED, FAILED = "collapsed", "failed"

# A trial that is killed or fails this often needs more memory than there is, or its network has a bug.
MOST_TRIES = 3

# How trials end, in reports; for Optuna a collapsed one is pruned.
ENDS = {TrialState.COMPLETE: "complete", TrialState.PRUNED: "pruned", TrialState.FAIL: "failed"}


class SearchWorker:
    """One of any number of processes, on any number of machines, that work on a study of Optuna.

    A trial belongs to the process that holds the lock in its directory. A running trial with a free lock has lost its
    process, and the next process that is looking for work carries it on.

    Args:
        config: Of the search.
        plan: Of a trial, for what all have in common: the metric and the number of epochs.
        chance: The validation accuracy up to which a network has learned nothing; None for other scores.
        data: The MD5 of each part of the images' data, by its name.

    Raises:
        UserError: the storage cannot be used, or the search was begun with other options or data.
    """

    def __init__(
        self,
        config: SearchConfig,
        plan: Plan,
        chance: float | None = None,
        data: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self.config = config
        self.plan = plan
        self.chance = chance
        config.directory.create()
        # One process at a time chooses, ends or gives back a trial; with a storage too, since the trials are here.
        self._lock = FileLock(config.directory.path / ".journal.lock")
        with self._lock:
            self.study, self._storage = open_study(config, plan.judge, self._lock, data)
        self._study_id = self._storage.get_study_id_from_name(self.study.study_name)
        self._pruner = config.make_pruner()
        self._owned: dict[int, FileLock] = {}
        self._judged: dict[int, int] = {}  # the last epoch judged, by the trial's number
        self._stopped: set[int] = set()
        self._tries: Counter[int] = Counter()

    def trials(self) -> list[FrozenTrial]:
        """All trials, by their numbers."""
        return self.study.get_trials(deepcopy=False)

    def best(self) -> list[FrozenTrial]:
        """The complete trials, the best score on validation data first, the earlier of equals first."""
        complete = [found for found in self.trials() if found.state == TrialState.COMPLETE]
        return sorted(complete, key=lambda found: (-self.plan.judge.sign * found.values[0], found.number))

    def ended(self) -> int:
        """The number of trials that have ended, in whatever way."""
        return sum(found.state.is_finished() for found in self.trials())

    def next_trial(self, wanted: int) -> SearchTrial | None:
        """The next trial for this process: one that lost its process, or a new one; None if there is none for now.

        Args:
            wanted: The number of trials of all processes together.
        """
        if self.stuck() is not None:
            return None
        with self._lock:
            trials = self.trials()
            for found in trials:
                if found.state == TrialState.RUNNING and self._own(found.number):
                    self._judged[found.number] = max(found.intermediate_values, default=1) - 1  # the last one again
                    return self.config.trial(found.number, found.params)
            return self._choose(trials) if len(trials) < wanted else None

    def should_stop_early(self, trial: SearchTrial) -> bool:
        """Record the epochs of a running trial since the last call; whether it is pruned or has collapsed."""
        for row in trial.metrics():
            if trial.number in self._stopped:
                break
            if is_epoch(row) and self.plan.judge.metric in row and row["epoch"] > self._judged.get(trial.number, 0):
                self._judge(trial, row)
        return trial.number in self._stopped

    def tell(self, trial: SearchTrial, status: int) -> str | None:
        """Record the end of a trial's process, and return the result as text.

        None if the process was killed, or failed for another reason than its settings: Optuna does not learn of it,
        and ``next_trial`` returns the trial again, up to ``MOST_TRIES`` times.
        """
        ended = self.should_stop_early(trial)
        with self._lock:
            if not ended and status in (0, UsageError.exit_status):
                self._end(trial, status)
                ended = True
            self._tries[trial.number] += not ended
            self._owned.pop(trial.number).release()
            return self._result(self.trials()[trial.number]) if ended else None

    def stuck(self) -> int | None:
        """The number of a trial that ended so often without a result that the search must stop."""
        return next((number for number, tries in self._tries.items() if tries >= MOST_TRIES), None)

    def _choose(self, trials: list[FrozenTrial]) -> SearchTrial:
        """A new trial, chosen in memory and recorded with all of its settings at once.

        A kill leaves no part of it: ``study.ask`` would record a trial first, and then its settings one by one.
        """
        number = len(trials)
        dimensions: dict[str, BaseDistribution] = {**self.config.dimensions()}
        memory = optuna.create_study(direction=direction_of(self.plan.judge), sampler=self.config.sampler_for(number))
        memory.add_trials(trials)
        params = memory.ask(dimensions).params
        is_free = self._own(number)
        assert is_free, f"trial {number} has a process, and is not recorded"
        self.study.add_trial(create_trial(state=TrialState.RUNNING, params=params, distributions=dimensions))
        return self.config.trial(number, params)

    def _own(self, number: int) -> bool:
        """Take a trial's lock; whether it was free."""
        folder = self.config.trial(number, {}).run
        folder.create()
        lock = FileLock(folder.path / ".owner.lock", blocking=False)
        try:
            lock.acquire()
        except Timeout:
            return False
        self._owned[number] = lock
        return True

    def _judge(self, trial: SearchTrial, row: Row) -> None:
        """Record an epoch, and decide by it and earlier ones alone, however far the run has got meanwhile."""
        epoch, score = int(row["epoch"]), row[self.plan.judge.metric]
        if math.isfinite(score) and epoch not in self._record(trial).intermediate_values:
            self._storage.set_trial_intermediate_value(self._id(trial), epoch, score)
        self._judged[trial.number] = epoch
        if not math.isfinite(score) or (self.chance is not None and not score > self.chance and has_dead_layer(row)):
            self._collapse(trial, epoch)
        elif epoch != self.plan.epochs and self._pruner.prune(self.study, self._record(trial)):
            self._prune(trial)

    def _end(self, trial: SearchTrial, status: int) -> None:
        result = None if status else trial.result()
        if result and result.failed:
            self._collapse(trial, result.facts.get("collapsed_in", len(result.epochs)))
        elif result and result.validation is not None:
            self.study.tell(trial.number, result.validation)
        else:
            reason = "it was not evaluated on validation data" if result else "fit does not take these settings"
            self._storage.set_trial_user_attr(self._id(trial), FAILED, f"{reason}: see {trial.log}")
            self.study.tell(trial.number, state=TrialState.FAIL)

    def _collapse(self, trial: SearchTrial, epoch: int | None) -> None:
        self._storage.set_trial_user_attr(self._id(trial), COLLAPSED, epoch)
        self._prune(trial)

    def _prune(self, trial: SearchTrial) -> None:
        self.study.tell(trial.number, state=TrialState.PRUNED)
        self._stopped.add(trial.number)

    def _result(self, trial: FrozenTrial) -> str:
        """How a trial ended."""
        if trial.state == TrialState.FAIL:
            return f"FAILED, {trial.user_attrs[FAILED]}"
        if COLLAPSED in trial.user_attrs:
            return f"collapsed in epoch {trial.user_attrs[COLLAPSED]}"
        judge = self.plan.judge
        score = f"{judge.name_of(judge.metric)} {judge.text(trial.values[0])}"
        return score if trial.state == TrialState.COMPLETE else f"pruned in epoch {trial.last_step} at {score}"

    def _record(self, trial: SearchTrial) -> FrozenTrial:
        return self._storage.get_trial(self._id(trial))

    def _id(self, trial: SearchTrial) -> int:
        return self._storage.get_trial_id_from_study_id_trial_number(self._study_id, trial.number)


def ending_of(trial: FrozenTrial) -> str:
    """One of ``ENDS``, "collapsed" or "running"."""
    if trial.state == TrialState.PRUNED and COLLAPSED in trial.user_attrs:
        return COLLAPSED
    return ENDS.get(trial.state, "running")
