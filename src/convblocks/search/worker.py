"""The trials of a search: which exist, which process runs them, how they ended, and which comes next."""

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import optuna
from filelock import FileLock, Timeout
from optuna.trial import FrozenTrial, TrialState, create_trial

from convblocks.errors import UsageError
from convblocks.run.directory import has_dead_layer, is_epoch
from convblocks.run.judge import ACCURACY, Judge
from convblocks.run.result import Row
from convblocks.search.config import SearchConfig, SearchTrial
from convblocks.search.storage import open_search

# Keys of a trial's user attributes: the epoch in which it collapsed, and the reason why it has no result.
COLLAPSED, FAILED = "collapsed", "failed"

# A trial that is killed this often needs more memory than the machine has.
MOST_KILLS = 3

# So many failures, one after the other, stop the search: the disk is full, or the network has a bug.
MOST_FAILURES = 2

# How trials end, in reports; for Optuna a collapsed one is pruned.
ENDS = {TrialState.COMPLETE: "complete", TrialState.PRUNED: "pruned", TrialState.FAIL: "failed"}


class SearchWorker:
    """One of any number of processes, on any number of machines, that work on a study of Optuna.

    A trial belongs to the process that holds the lock in its directory. A running trial with a free lock has lost its
    process, and the next process that is looking for work carries it on.

    Args:
        config: Of the search.
        chance_threshold: The validation accuracy up to which a network has learned nothing; None for other scores.
        data: The MD5 of each part of the images' data, by its name.

    Raises:
        UserError: the journal or storage cannot be used, or is of another configuration or other images.
    """

    def __init__(self, config: SearchConfig, chance_threshold: float | None, data: Mapping[str, str]) -> None:
        self.config = config
        self.chance_threshold = chance_threshold
        directory = config.directory()
        directory.create()
        # One process at a time writes, and a process that chooses sees what the others have chosen; with a storage
        # too, since the trials are in this directory anyway.
        self._lock = FileLock(directory.path / ".journal.lock")
        with self._lock:
            began = config.as_attributes() | {f"{part} of MD5": md5 for part, md5 in data.items()}
            self.study, self._storage = open_search(config, self._lock, began)
        self._study_id = self._storage.get_study_id_from_name(self.study.study_name)
        self._pruner = config.make_pruner()
        self._owned: dict[int, FileLock] = {}
        self._judged: dict[int, int] = {}  # the last epoch judged, by the trial's number
        self._stopped: dict[int, str] = {}  # the results of trials that were ended early
        self._kills: dict[int, int] = {}
        self._again: list[SearchTrial] = []
        self._failed: list[SearchTrial] = []  # those that failed since the last one that did not

    def trials(self) -> list[FrozenTrial]:
        """All trials, by their numbers."""
        return self.study.get_trials(deepcopy=False)

    def ended(self) -> int:
        """The number of trials that have ended, in whatever way."""
        return sum(one.state.is_finished() for one in self.trials())

    def next_trial(self, wanted: int) -> SearchTrial | None:
        """The next trial for this process: a killed one, one that lost its process, or a new one.

        Args:
            wanted: The number of trials of all processes together.
        """
        if self.lost() or self.failing():
            return None
        if self._again:
            return self._again.pop()
        with self._lock:
            trials = self.trials()
            for one in trials:
                if one.state == TrialState.RUNNING and one.number not in self._owned and self._adopt(one.number):
                    return self.config.trial(one.number, one.params)
            return self._choose(trials) if len(trials) < wanted else None

    def should_stop_early(self, trial: SearchTrial) -> bool:
        """Record the epochs of a running trial since the last call; whether it is pruned or has collapsed."""
        for row in trial.metrics():
            if trial.number in self._stopped:
                return True
            if is_epoch(row) and self.config.judge.metric in row and row["epoch"] > self._judged.get(trial.number, 0):
                self._judge(trial, row)
        return trial.number in self._stopped

    def tell(self, trial: SearchTrial, status: int) -> str | None:
        """Record the end of a trial's process, and return the result as text.

        None if the process was killed or stopped, or failed for another reason than its settings: then ``next_trial``
        returns the trial again, up to ``MOST_KILLS`` times, and Optuna does not learn of it.
        """
        if not self.should_stop_early(trial):
            if status < 0 or status > 128:
                self._note_lost(trial)
                return None
            if status not in (0, UsageError.exit_status):
                self._failed.append(trial)
                self._note_lost(trial)
                return None
            self._note_end(trial, status)
        self._failed.clear()
        self._owned.pop(trial.number).release()
        return self._stopped.get(trial.number) or self._result(trial)

    def lost(self) -> list[int]:
        """The numbers of trials that were killed too often."""
        return [number for number, kills in self._kills.items() if kills >= MOST_KILLS]

    def failing(self) -> list[SearchTrial]:
        """The trials that failed last, if there are so many that the search must stop."""
        return self._failed if len(self._failed) >= MOST_FAILURES else []

    def _choose(self, trials: list[FrozenTrial]) -> SearchTrial:
        """A new trial, recorded at once with all of its settings: a kill leaves no part of it."""
        number = len(trials)
        memory = optuna.create_study(direction=self.config.direction, sampler=self.config.sampler_for(number))
        memory.add_trials(trials)
        dimensions = self.config.dimensions()
        params = memory.ask(dict(dimensions)).params
        is_free = self._own(number)
        assert is_free, f"trial {number} has a process, and is not in the journal"
        self.study.add_trial(create_trial(state=TrialState.RUNNING, params=params, distributions=dict(dimensions)))
        return self.config.trial(number, params)

    @contextmanager
    def owning(self) -> Iterator[None]:
        """At the end, give up the trials that this process still owns, so that a next search may adopt them."""
        try:
            yield
        finally:
            while self._owned:
                self._owned.popitem()[1].release()

    def _adopt(self, number: int) -> bool:
        """Take a trial over if no process runs it; it may have ended since its state was read."""
        if not self._own(number):
            return False
        found = self.trials()[number]
        if found.state == TrialState.RUNNING:
            self._judged[number] = max(found.intermediate_values, default=1) - 1  # the last one again
            return True
        self._owned.pop(number).release()
        return False

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
        number, storage = trial.number, self._storage
        epoch, score, judge = int(row["epoch"]), row[self.config.judge.metric], self.config.judge
        if math.isfinite(score) and epoch not in storage.get_trial(self._id(number)).intermediate_values:
            storage.set_trial_intermediate_value(self._id(number), epoch, score)
        self._judged[number] = epoch
        chance = self.chance_threshold
        if not math.isfinite(score) or (chance is not None and not score > chance and has_dead_layer(row)):
            self._note_collapse(trial, epoch)
        elif epoch != trial.epochs and self._pruner.prune(self.study, storage.get_trial(self._id(number))):
            self._stop(trial, f"pruned in epoch {epoch} at {judge.name_of(judge.metric)} {judge.text(score)}")

    def _note_end(self, trial: SearchTrial, status: int) -> None:
        result = None if status else trial.result()
        if result is None:
            self._note_failure(trial, f"fit does not take these settings: see {trial.log}")
        elif result.failed:
            self._note_collapse(trial, result.facts.get("collapsed_in", len(result.epochs)))
        elif result.validation is None:
            self._note_failure(trial, "it was never evaluated on validation data")
        else:
            self.study.tell(trial.number, result.validation)

    def _note_collapse(self, trial: SearchTrial, epoch: int | None) -> None:
        self._storage.set_trial_user_attr(self._id(trial.number), COLLAPSED, epoch)
        self._stop(trial, f"collapsed in epoch {epoch}")

    def _note_failure(self, trial: SearchTrial, reason: str) -> None:
        self._storage.set_trial_user_attr(self._id(trial.number), FAILED, reason)
        self.study.tell(trial.number, state=TrialState.FAIL)

    def _note_lost(self, trial: SearchTrial) -> None:
        self._kills[trial.number] = self._kills.get(trial.number, 0) + 1
        if self._kills[trial.number] < MOST_KILLS:
            self._again.append(trial)

    def _stop(self, trial: SearchTrial, result: str) -> None:
        self.study.tell(trial.number, state=TrialState.PRUNED)
        self._stopped[trial.number] = result

    def _result(self, trial: SearchTrial) -> str:
        found = self.trials()[trial.number]
        if found.state == TrialState.FAIL:
            return f"FAILED, {found.user_attrs[FAILED]}"
        judge = self.config.judge
        return f"{judge.name_of(judge.metric)} {judge.text(found.values[0])}"

    def _id(self, number: int) -> int:
        return self._storage.get_trial_id_from_study_id_trial_number(self._study_id, number)


def best_first(trials: Sequence[FrozenTrial], judge: Judge = ACCURACY) -> list[FrozenTrial]:
    """The complete trials, the best score on validation data first, the earlier of equals first."""
    ended = [one for one in trials if one.state == TrialState.COMPLETE]
    return sorted(ended, key=lambda one: (-judge.sign * one.values[0], one.number))


def ending_of(trial: FrozenTrial) -> str:
    """One of ``ENDS``, "collapsed" or "running"."""
    if trial.state == TrialState.PRUNED and COLLAPSED in trial.user_attrs:
        return COLLAPSED
    return ENDS.get(trial.state, "running")
