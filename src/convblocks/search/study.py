"""A search's journal: which trials there are, who runs them, what came of them, and which comes next."""

from collections.abc import Mapping, Sequence

import optuna
from filelock import FileLock, Timeout
from optuna.trial import FrozenTrial, TrialState, create_trial

from convblocks.comparison.outcomes import read_outcome
from convblocks.runs.directory import is_epoch
from convblocks.search.journal import open_journal
from convblocks.search.plan import Choice, Plan
from convblocks.tables import percent

# In a trial's user attributes: the epoch in which it collapsed, and why there is no result.
COLLAPSED, FAILED = "collapsed", "failed"

# A process that is killed that often takes more than the machine has.
MOST_KILLS = 3

# How a trial can end, as reports call it; one that collapsed is pruned for Optuna.
ENDS = {TrialState.COMPLETE: "complete", TrialState.PRUNED: "pruned", TrialState.FAIL: "failed"}


class Search:
    """A study in Optuna's journal, on which any number of processes work at once, on any number of machines.

    A trial belongs to the process that holds the lock in its directory. One that is noted as running and whose lock is
    free has lost its process, and whoever comes next carries it on. The journal is one line for each event, whole or
    not there.

    Args:
        plan: What is searched.
        chance_threshold: The validation accuracy up to which a network has learned nothing.
        data: The MD5 of each part of the images' data, by its name.

    Raises:
        UserError: the journal is damaged, or of another plan or other images.
    """

    def __init__(self, plan: Plan, chance_threshold: float, data: Mapping[str, str]) -> None:
        self.plan = plan
        self.chance_threshold = chance_threshold
        directory = plan.directory()
        directory.create()
        # One process at a time writes, and one that chooses sees what the others have chosen.
        self._alone = FileLock(directory.path / ".journal.lock")
        with self._alone:
            began = plan.as_attributes() | {f"{part} of MD5": md5 for part, md5 in data.items()}
            self.study, self._storage = open_journal(plan.journal(), self._alone, began)
        self._study_id = self._storage.get_study_id_from_name(self.study.study_name)
        self._pruner = plan.pruning()
        self._locks: dict[int, FileLock] = {}
        self._judged: dict[int, int] = {}  # the last epoch that was judged, by the trial's number
        self._stopped: dict[int, str] = {}  # what is to be said of those that were ended early
        self._kills: dict[int, int] = {}
        self._killed: list[Choice] = []

    def trials(self) -> list[FrozenTrial]:
        """All trials, in their order; a trial's number is its place."""
        return self.study.get_trials(deepcopy=False)

    def ended(self) -> int:
        """How many trials have ended, however they did."""
        return sum(one.state.is_finished() for one in self.trials())

    def take(self, wanted: int) -> Choice | None:
        """The next trial for this process: one that was killed, one that nobody runs any more, or a new one.

        Args:
            wanted: How many trials there shall be, of all processes together.
        """
        if self._killed:
            return self._killed.pop()
        if self.lost():
            return None
        with self._alone:
            trials = self.trials()
            for one in trials:
                if one.state == TrialState.RUNNING and one.number not in self._locks and self._adopt(one.number):
                    return self.plan.trial(one.number, one.params)
            return self._choose(trials) if len(trials) < wanted else None

    def should_stop_early(self, trial: Choice) -> bool:
        """Note what a running trial has reached since it was last asked for, and say whether that is enough of it."""
        for epoch, accuracy in _accuracies(trial).items():
            if trial.number in self._stopped:
                return True
            if epoch > self._judged.get(trial.number, 0):
                self._judge(trial, epoch, accuracy)
        return trial.number in self._stopped

    def conclude(self, trial: Choice, status: int) -> str | None:
        """Note what came of a trial whose process has ended, and return it as a text.

        None where the process was killed or told to stop: the trial is the next that ``take`` gives; after some times
        it is left to whoever calls the command again.
        """
        if not self.should_stop_early(trial):
            if status < 0 or status > 128:
                self._note_kill(trial)
                return None
            self._note_end(trial, status)
        self._locks.pop(trial.number).release()
        return self._stopped.get(trial.number) or self._result(trial)

    def lost(self) -> list[int]:
        """The numbers of trials whose processes were killed too often."""
        return [number for number, kills in self._kills.items() if kills >= MOST_KILLS]

    def _choose(self, trials: list[FrozenTrial]) -> Choice:
        """A new trial. It is noted at once with all that was chosen: what is killed meanwhile leaves no part of it."""
        number = len(trials)
        memory = optuna.create_study(direction="maximize", sampler=self.plan.sampler_for(number))
        memory.add_trials(trials)
        dimensions = self.plan.dimensions()
        params = memory.ask(dict(dimensions)).params
        is_free = self._lock(number)
        assert is_free, f"trial {number} has a process, and is not in the journal"
        self.study.add_trial(create_trial(state=TrialState.RUNNING, params=params, distributions=dict(dimensions)))
        return self.plan.trial(number, params)

    def _adopt(self, number: int) -> bool:
        """Take a trial over if nobody runs it; it may have ended since its state was read."""
        if not self._lock(number):
            return False
        found = self.trials()[number]
        if found.state == TrialState.RUNNING:
            self._judged[number] = max(found.intermediate_values, default=1) - 1  # the last one again
            return True
        self._locks.pop(number).release()
        return False

    def _lock(self, number: int) -> bool:
        folder = self.plan.trial(number, {}).run
        folder.create()
        lock = FileLock(folder.path / ".owner.lock", blocking=False)
        try:
            lock.acquire()
        except Timeout:
            return False
        self._locks[number] = lock
        return True

    def _judge(self, trial: Choice, epoch: int, accuracy: float) -> None:
        """Note an epoch, and decide by it and those before alone: how far the run has got meanwhile has no say."""
        number, storage = trial.number, self._storage
        if epoch not in storage.get_trial(self._id(number)).intermediate_values:
            storage.set_trial_intermediate_value(self._id(number), epoch, accuracy)
        self._judged[number] = epoch
        if accuracy <= self.chance_threshold:
            self._note_collapse(trial, epoch)
        elif epoch != trial.epochs and self._pruner.prune(self.study, storage.get_trial(self._id(number))):
            self._stop(trial, f"pruned in epoch {epoch} at validation accuracy {percent(accuracy)}")

    def _note_end(self, trial: Choice, status: int) -> None:
        if status or trial.state() != "done":
            self._note_failure(trial, f"it ended with status {status}: see {trial.log}")
            return
        outcome = read_outcome(trial)
        if outcome.collapsed:
            self._note_collapse(trial, trial.run.read_summary()["collapsed_in"])
        elif outcome.validation is None:
            self._note_failure(trial, "it was never evaluated on validation images")
        else:
            self.study.tell(trial.number, outcome.validation)

    def _note_collapse(self, trial: Choice, epoch: int) -> None:
        self._storage.set_trial_user_attr(self._id(trial.number), COLLAPSED, epoch)
        self._stop(trial, f"collapsed in epoch {epoch}")

    def _note_failure(self, trial: Choice, reason: str) -> None:
        self._storage.set_trial_user_attr(self._id(trial.number), FAILED, reason)
        self.study.tell(trial.number, state=TrialState.FAIL)

    def _note_kill(self, trial: Choice) -> None:
        self._kills[trial.number] = self._kills.get(trial.number, 0) + 1
        if self._kills[trial.number] < MOST_KILLS:
            self._killed.append(trial)

    def _stop(self, trial: Choice, result: str) -> None:
        self.study.tell(trial.number, state=TrialState.PRUNED)
        self._stopped[trial.number] = result

    def _result(self, trial: Choice) -> str:
        found = self.trials()[trial.number]
        if found.state == TrialState.FAIL:
            return f"FAILED, {found.user_attrs[FAILED]}"
        return f"validation accuracy {percent(found.values[0])}"

    def _id(self, number: int) -> int:
        return self._storage.get_trial_id_from_study_id_trial_number(self._study_id, number)


def best_first(trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
    """The trials that ran to their end, best validation accuracy first; of equals the earlier one."""
    ended = [one for one in trials if one.state == TrialState.COMPLETE]
    return sorted(ended, key=lambda one: (-one.values[0], one.number))


def how_it_ended(trial: FrozenTrial) -> str:
    """As one of ``ENDS``, or "collapsed", or "running"."""
    if trial.state == TrialState.PRUNED and COLLAPSED in trial.user_attrs:
        return COLLAPSED
    return ENDS.get(trial.state, "running")


def _accuracies(trial: Choice) -> Mapping[int, float]:
    """A run's validation accuracy after each epoch in which it was evaluated."""
    return {int(row["epoch"]): row["val/acc"] for row in trial.metrics() if is_epoch(row) and "val/acc" in row}
