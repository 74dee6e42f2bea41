"""The trials of a search in Optuna's journal: which exist, which process runs them, how
they ended, which is next.
"""

import math
import os
import warnings
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import optuna
from filelock import FileLock, Timeout
from optuna import Study
from optuna.pruners import MedianPruner, NopPruner
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState, create_trial

from convblocks.compare.dry_run import Plan
from convblocks.compare.trials import Trial
from convblocks.console import print_error
from convblocks.errors import BusyError, UsageError, UserError
from convblocks.record.directory import is_epoch
from convblocks.record.judge import Judge
from convblocks.search.config import SearchConfig, number_of

# The key of the configuration.
CONFIG = "config"

COLLAPSED = "collapsed"

# A trial that is killed or fails this often needs more memory than there is, or its
# network has a bug.
MOST_TRIES = 3

# The words of reports for how trials end; for Optuna a collapsed trial is a pruned one.
ENDS = {TrialState.COMPLETE: "complete", TrialState.PRUNED: "pruned", TrialState.FAIL: "failed"}


class SearchWorker:
    """One of any number of processes, on any number of machines, that work on a study
    of Optuna.

    A trial belongs to the process that holds the lock in its directory. A running trial
    with a free lock has lost its process, and the next process that is looking for work
    carries it on.

    Args:
        config: The configuration of the search.
        plan: The plan of a trial, for what all have in common: the metric and the number
            of epochs.

    Raises:
        UsageError: nothing names the metric.
        UserError: the search was begun with other options.
    """

    def __init__(self, config: SearchConfig, plan: Plan) -> None:
        if plan.judge is None:
            raise UsageError(
                "a search needs a metric to choose by: give --judge METRIC:min or METRIC:max"
            )
        self.config, self.plan, self.judge = config, plan, plan.judge
        config.directory.create()
        # One process at a time chooses, ends or gives back a trial.
        self._lock = FileLock(config.directory.path / ".journal.lock")
        with self._lock:
            self.study = open_study(config, self.judge, self._lock)
        self._owned: dict[int, FileLock] = {}
        self._tries: Counter[int] = Counter()

    def trials(self) -> list[FrozenTrial]:
        """All trials, by their numbers."""
        return self.study.get_trials(deepcopy=False)

    def best(self) -> list[FrozenTrial]:
        """The complete trials, the best score on validation data first, the earlier of
        equals first.
        """
        complete = [trial for trial in self.trials() if trial.state == TrialState.COMPLETE]
        sign = self.judge.sign
        return sorted(complete, key=lambda trial: (-sign * trial.values[0], trial.number))

    def ended(self) -> int:
        """The number of trials that have ended, in whatever way."""
        return sum(trial.state.is_finished() for trial in self.trials())

    def so_far(self) -> str:
        """``best 97.20 % (trial_3), 5 complete, 2 pruned``."""
        parts = [
            f"best {self.judge.text(trial.values[0])} (trial_{trial.number})"
            for trial in self.best()[:1]
        ]
        ends = Counter(map(ending_of, self.trials()))
        parts += [f"{count} {how}" for how, count in ends.items()]
        return ", ".join(parts)

    def next_trial(self, wanted: int) -> Trial | None:
        """The next trial for this process: one that lost its process, or a new one;
        None if there is none for now.

        Args:
            wanted: The number of trials of all processes together.
        """
        with self._lock:
            trials = self.trials()
            for trial in trials:
                if trial.state == TrialState.RUNNING and self._own(trial.number):
                    return self.config.trial(trial.number, trial.params)
            if len(trials) < wanted:
                return self._choose(trials)
        return None

    def should_stop_early(self, trial: Trial) -> bool:
        """Record the epochs of a running trial since the last call; whether it is pruned."""
        recorded = self._recorded(trial)
        if recorded.state.is_finished():
            return True
        handle = self._handle(trial)
        last = recorded.last_step or 0
        for row in filter(is_epoch, trial.metrics()):
            score = row.get(self.judge.metric, math.nan)
            if not math.isfinite(score) or row["epoch"] < last:
                continue
            # The trial is judged by this epoch and earlier ones alone, however far its run has got
            # meanwhile.
            epoch = int(row["epoch"])
            if epoch > last:
                handle.report(score, epoch)
            if epoch != self.plan.epochs and handle.should_prune():
                self.study.tell(recorded.number, state=TrialState.PRUNED)
                return True
        return False

    def tell(self, trial: Trial, status: int) -> str | None:
        """Record the end of a trial's process, and return the result as text.

        None if the process was killed, or failed for another reason than its settings:
        Optuna does not learn of it, and ``next_trial`` returns the trial again.

        Raises:
            UserError: that has happened ``MOST_TRIES`` times.
        """
        ended = self.should_stop_early(trial)
        number = number_of(trial)
        with self._lock:
            if not ended and status in (0, UsageError.exit_status):
                self._end(trial, status)
                ended = True
            self._owned.pop(number).release()
        if ended:
            recorded = self._recorded(trial)
            how = ending_of(recorded)
            if not recorded.values:
                return f"{how}, see {trial.log}"
            judge = self.judge
            return f"{how}: {judge.name_of(judge.metric)} {judge.text(recorded.values[0])}"
        self._tries[number] += 1
        if self._tries[number] == MOST_TRIES:
            raise UserError(
                f"{trial.label} of {trial.comparison} was killed or failed {MOST_TRIES} times: "
                f"see {trial.log}; the same command carries on"
            )
        return None

    def _choose(self, trials: Sequence[FrozenTrial]) -> Trial:
        """Create a trial in one write, so that a kill cannot leave half of one: it is
        chosen in memory.

        ``study.ask`` would record a trial first, and then its settings one by one.
        """
        number = len(trials)
        space = dict(self.config.space)
        sampler = self.config.sampler_for(number)
        memory = optuna.create_study(direction=self.study.direction, sampler=sampler)
        memory.add_trials(trials)
        params = memory.ask(space).params
        if not self._own(number):
            raise BusyError(
                f"another process trains trial {number}, which is not recorded: wait for it, "
                "or stop it"
            )
        trial = create_trial(state=TrialState.RUNNING, params=params, distributions=space)
        self.study.add_trial(trial)
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

    def _end(self, trial: Trial, status: int) -> None:
        number = number_of(trial)
        result = None if status else trial.result()
        if result and result.failed:
            self._handle(trial).set_user_attr(COLLAPSED, True)
            self.study.tell(number, state=TrialState.PRUNED)
            return
        score = result.validation if result else None
        if score is not None and math.isfinite(score):
            self.study.tell(number, score)
        else:
            self.study.tell(number, state=TrialState.FAIL)

    def _recorded(self, trial: Trial) -> FrozenTrial:
        """The record that Optuna has of a trial."""
        return self.trials()[number_of(trial)]

    def _handle(self, trial: Trial) -> optuna.Trial:
        """Optuna's trial, to report to."""
        return optuna.Trial(self.study, self._recorded(trial)._trial_id)


def ending_of(trial: FrozenTrial) -> str:
    """One of ``ENDS``, "collapsed" or "running"."""
    if COLLAPSED in trial.user_attrs:
        return COLLAPSED
    return ENDS.get(trial.state, "running")


class Journal(JournalFileBackend):
    """Optuna's journal file under our lock, which a killed process releases at once.

    A last line that a crash left unfinished, which would spoil the next one, is dropped
    with a warning.
    """

    def __init__(self, path: Path, lock: FileLock) -> None:
        # acquire returns more than a bool
        super().__init__(str(path), lock_obj=lock)  # type: ignore[arg-type]
        self.path = path
        self.lock = lock

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        with self.lock:
            content = self.path.read_bytes()
            complete = content.rfind(b"\n") + 1
            if complete < len(content):
                print_error(
                    f"{self.path}: dropped a truncated last line; the lost entry will be recomputed"
                )
                os.truncate(self.path, complete)
            super().append_logs(logs)


def open_study(config: SearchConfig, judge: Judge, lock: FileLock) -> Study:
    """The study of a search, new or continued.

    Args:
        config: The configuration of the search.
        judge: The metric of its trials.
        lock: Held by this process, and by every process that writes.

    Raises:
        UserError: the search was begun with other options.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    path = config.directory.path / "journal.log"
    if path.exists() and not path.is_file():
        raise UserError(f"{path} is not a regular file: choose another --name")
    try:
        storage = JournalStorage(Journal(path, lock))
    except (ValueError, KeyError, TypeError, AttributeError, AssertionError) as error:
        raise UserError(
            f"cannot read {path} ({error}), which is damaged: restore it, or choose another --name"
        ) from error
    names = optuna.get_all_study_names(storage)  # older journals have another one
    if not names:
        names = [config.directory.name]
        optuna.create_study(
            storage=storage,
            study_name=names[0],
            direction="maximize" if judge.sign > 0 else "minimize",
        )
    pruner = MedianPruner() if config.pruner == "median" else NopPruner()
    study = optuna.load_study(storage=storage, study_name=names[0], pruner=pruner)
    if study.metric_names is None:
        with warnings.catch_warnings(action="ignore"):  # Optuna calls it experimental
            study.set_metric_names([judge.metric])  # of axes in its dashboard
    if CONFIG not in study.user_attrs:
        study.set_user_attr(CONFIG, config.words())
    now = set(config.words())
    began = set(study.user_attrs[CONFIG])
    if now != began:
        was = min(began - now, default="less")
        new = min(now - began, default="less")
        raise UserError(
            f"{config.directory.path} was begun with {was}, not {new}: "
            "continue with that, or choose another --name"
        )
    return study
