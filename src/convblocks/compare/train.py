"""Training the trials that are not done."""

from collections.abc import Mapping, Sequence

from convblocks.compare.dry_run import Plans, plans_of, refuse_conflicts
from convblocks.compare.launch import Start, fit_all, friendly_stops
from convblocks.compare.options import VAL_SIZE
from convblocks.compare.progress import Progress
from convblocks.compare.trials import Trial
from convblocks.errors import UserError
from convblocks.run.directory import RunDirectory
from convblocks.run.progress import terminal
from convblocks.run.result import Overrides, RunResult
from convblocks.text import as_json, as_shown

# Missing trials whose logs are named.
MOST_LOGS = 3


def train(
    directory: RunDirectory, trials: Sequence[Trial], jobs: int, start: Start | None = None, plans: Plans | None = None
) -> dict[Trial, RunResult]:
    """Train or resume the trials that are not done, the most work first; returns the results of those that are.

    Args:
        directory: Of all trials.
        trials: Those wanted.
        jobs: How many run at a time.
        start: Of ``fit_all``.
        plans: Of their arms, where they are known and no run is in the way.

    Raises:
        BusyError: another process is working on them.
        Stopped: by a signal or Ctrl-C; the same command carries on.
        UserError: a run with other settings is in the way, or trials used different data.
    """
    if plans is None:
        plans = plans_of(trials, jobs)
        refuse_conflicts(trials, plans)
    done = finished(trials)
    if not (missing := [trial for trial in trials if trial not in done]):
        return done
    queue = iter(sorted(missing, key=lambda trial: -plans[trial.arm].work * abs(plans[trial.arm].epochs)))
    directory.create()
    shown = Progress(len(missing), lambda trial: plans[trial.arm], missing[0].common, terminal())
    with directory.lock(), friendly_stops(), shown as progress:
        for trial, status in fit_all(lambda: next(queue, None), jobs, progress.update, start):
            result = trial.result()
            progress.finish(trial, score_text(result) if result and not status else f"FAILED, see {trial.log}")
    return finished(trials)


def finished(trials: Sequence[Trial]) -> dict[Trial, RunResult]:
    """The results of the trials that are done.

    Raises:
        UserError: they used different data, as far as is known.
    """
    results = {trial: result for trial in trials if (result := trial.result())}
    data = [(trial, result.provenance.data) for trial, result in results.items()]
    paths = {as_json(fingerprint): trial.run.path for trial, fingerprint in data if fingerprint}
    if len(paths) > 1:
        first, second, *_ = map(as_shown, paths.values())
        raise UserError(f"{first} and {second} were trained on different data: move one away, or choose another --name")
    return results


def on_all_images(options: Overrides) -> Overrides:
    """Options without held-out images; a user's own data stay as they are."""
    return tuple((option, "0") if option == VAL_SIZE else (option, value) for option, value in options)


def score_text(result: RunResult) -> str:
    """``test accuracy 97.01 %, 12.3 s``."""
    return f"{result.score_name} {result.judge.text(result.score)}, {result.seconds:.1f} s"


def refuse_missing(trials: Sequence[Trial], results: Mapping[Trial, RunResult]) -> None:
    """Raise a UserError that names the trials without a result, and the logs of the first ones that ran."""
    missing = [trial for trial in trials if trial not in results]
    if missing:
        names = ", ".join(trial.label for trial in missing)
        logs = "".join(f"; see {trial.log}" for trial in [one for one in missing if one.log.is_file()][:MOST_LOGS])
        raise UserError(f"{len(missing)} of {len(trials)} trials are not done: {names}{logs}")
