"""Training the trials of a comparison that are not done, and confirming chosen settings with fresh seeds."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from torch import nn
from torchinfo import summary

from convblocks import wings
from convblocks.compare.options import VAL_SIZE, config_of, data_of
from convblocks.compare.progress import Progress, columns_of
from convblocks.compare.trials import JUDGE, Start, Trial, fit_all, friendly_stops
from convblocks.data.images import MNIST, ImageSpec
from convblocks.errors import UserError
from convblocks.model.classifier import ImageClassifier
from convblocks.run.config import Config
from convblocks.run.directory import RunDirectory, first_change
from convblocks.run.progress import terminal
from convblocks.run.result import Overrides, RunResult
from convblocks.text import as_json

# Missing trials whose logs are named.
MOST_LOGS = 3


class Arm(NamedTuple):
    """A network at a setting."""

    arch: str
    overrides: Overrides


def confirm(
    directory: RunDirectory,
    arms: Mapping[str, Arm],
    seeds: Sequence[int],
    jobs: int,
    fit: bool = True,
    start: Start | None = None,
) -> dict[str, list[RunResult]]:
    """Train chosen settings with fresh seeds, which their choice has not seen; the results by the names of the arms.

    Raises:
        BusyError: another process is training them.
        UserError: some runs failed. Without ``fit`` missing runs are left out.
    """
    trials = {name: [Trial(directory.name, *arm, seed) for seed in seeds] for name, arm in arms.items()}
    everything = list(dict.fromkeys(trial for own in trials.values() for trial in own))
    results = finish(directory, everything, jobs, fit=fit, configs=refuse_conflict(everything), start=start)
    if fit:
        refuse_missing(everything, results)
    return {name: [results[trial] for trial in own if trial in results] for name, own in trials.items()}


def on_all_images(overrides: Overrides, **more: str) -> Overrides:
    """The same settings without held-out images, and with further ones; a user's own data stay as they are."""
    if JUDGE in dict(overrides):
        return overrides
    changed = {VAL_SIZE: "0"} | more
    return tuple(pair for pair in overrides if pair[0] not in changed) + tuple(changed.items())


def finish(
    directory: RunDirectory,
    trials: Sequence[Trial],
    jobs: int,
    fit: bool = True,
    configs: Mapping[Arm, Config] | None = None,
    start: Start | None = None,
) -> dict[Trial, RunResult]:
    """Train or resume the trials that are not done, the most work first; returns the results of those that are.

    ``configs`` are those of the arms, if they are known already; ``start`` is that of ``fit_all``.

    Raises:
        BusyError: another process is working on the comparison.
        Stopped: by a signal or Ctrl-C; the same command carries on.
        UsageError: the trials need several nodes.
        UserError: trials used different data.
    """
    results = {trial: result for trial in trials if (result := trial.result())}
    missing = [trial for trial in trials if trial not in results]
    if fit and missing:
        if configs is None:
            configs = {arm: Config.parse(trial.arguments()) for arm, trial in _one_per_arm(missing).items()}
        results |= _train(directory, missing, jobs, trials, configs, start)
    _refuse_other_data(results)
    return {trial: results[trial] for trial in trials if trial in results}


def refuse_conflict(trials: Sequence[Trial]) -> dict[Arm, Config]:
    """Refuse options that fit does not take, and runs with other settings; returns the configs of the arms."""
    configs = {arm: config_of(trial) for arm, trial in _one_per_arm(trials).items()}
    for trial in trials:
        if trial.run.config.is_file():
            expected = configs[_arm(trial)].settings | {"seed": trial.seed}
            if changed := first_change(trial.run.read_config(), expected):
                began = f"{trial.run.path} was begun with {changed}"
                raise UserError(f"{began}: choose another --name, or move that run away")
    return configs


def refuse_missing(trials: Sequence[Trial], results: Mapping[Trial, RunResult]) -> None:
    """Raise a UserError that names the trials without a result, and the logs of the first ones that ran."""
    missing = [trial for trial in trials if trial not in results]
    if missing:
        names = ", ".join(trial.run.name for trial in missing)
        logs = "".join(f"; see {trial.log}" for trial in [one for one in missing if one.log.is_file()][:MOST_LOGS])
        raise UserError(f"{len(missing)} of {len(trials)} trials are not done: {names}{logs}")


def _train(
    directory: RunDirectory,
    missing: Sequence[Trial],
    jobs: int,
    trials: Sequence[Trial],
    configs: Mapping[Arm, Config],
    start: Start | None,
) -> dict[Trial, RunResult]:
    work = {}
    for arm in _one_per_arm(missing):
        wings.check(configs[arm].settings)
        work[arm] = _work_of(configs[arm])
    queue = iter(sorted(missing, key=lambda trial: -work[_arm(trial)] * abs(trial.epochs)))
    results = {}
    directory.create()
    columns, common = columns_of(trials)
    with directory.lock(), friendly_stops(), Progress(len(missing), terminal(), columns, common) as progress:
        ends = fit_all(lambda: next(queue, None), jobs, progress.update, start)
        for ended, (trial, status) in enumerate(ends, start=1):
            text = f"FAILED, see {trial.log}"
            if result := trial.result():
                results[trial] = result
                text = (
                    text if status else f"{result.score_name} {result.judge.text(result.score)}, {result.seconds:.1f} s"
                )
            progress.finish(trial, text, ended)
    return results


def _refuse_other_data(results: Mapping[Trial, RunResult]) -> None:
    """Refuse to compare runs whose images are known to differ."""
    data = [(trial, one.provenance.data) for trial, one in results.items()]
    paths = {as_json(one): trial.run.path for trial, one in data if one}
    if len(paths) > 1:
        first, second, *_ = paths.values()
        raise UserError(f"{first} and {second} were trained on different data: move one away, or choose another --name")


def _arm(trial: Trial) -> Arm:
    return Arm(trial.arch, trial.overrides)


def _one_per_arm(trials: Sequence[Trial]) -> dict[Arm, Trial]:
    return {_arm(trial): trial for trial in trials}


def multiply_adds(network: nn.Module, image_spec: ImageSpec = MNIST) -> int:
    """The multiplications with an addition that a forward pass of one image takes, as torchinfo counts them."""
    count: int = summary(network, input_size=(1, *image_spec.shape), verbose=0).total_mult_adds
    return count


def _work_of(config: Config) -> int:
    module = config.make_module(data_of(config))
    if isinstance(module, ImageClassifier):
        return multiply_adds(module.network, module.image_spec)
    return 1  # all are of about one size, as far as is known
