"""usage: python -m lab.train [study] [errors] [interventions] [why] [cause] [direction]
       [remedy] [factorial] [controls] [compute] [fashion] [onecycle] [long] [sprint]
       [quick] [candidates] [handwriting] [search] [sessions] [play] [--no-fit]

Train the runs that the documentation shows, as far as they are missing in
lightning_logs/, and write their raw numbers to docs/data/: to be called in the
repository's folder. `python -m lab.pages` makes the pages of them. Commit first: runs
of code that differs from its commit make no record.

  study                which network is better, both stages: some two hours on two CPUs
  errors               how often the study's tests err, by simulation: 5 minutes
  interventions        what prevents MaxPool's collapse: half an hour
  why                  why MaxPool collapses: three quarters of an hour
  cause                does centring the first updates prevent the dying: an hour
  direction            is it the common movement downward: controls of the cause: an hour
  remedy               Gradient Centralization beside other remedies: four hours
  factorial            which operation makes the difference: two and a half hours
  controls             is it keeping the largest value: an hour
  compute              the course's BatchNorm network with MaxPool's arithmetic: an hour
  fashion              the three networks on Fashion-MNIST: an hour
  onecycle             the best accuracy in 5 epochs: 8 minutes
  long                 the best accuracy in 30 epochs: an hour and a quarter
  sprint               the shortest way to 99 %, on this machine; other machines' runs
                       stay: 4 minutes
  quick                the shortest way to 99.5 %, on this machine: 8 minutes
  candidates           the candidates for the sprint: 2 minutes
  handwriting          three networks, and what they take 400 drawings for: 5 minutes
  search               what a search finds for its cost, beside chance and a grid: half an hour
  sessions             what the commands print that README.md and docs/manual/use.md show: a
                       quarter of an hour
  play                 the networks that one watches on the page docs/play: 10 minutes

Without a name all are trained.

  --no-fit             train nothing, and keep the seeds of cause, direction, remedy and
                       compute of which all runs are done, beside those that are kept
                       already: these are not trained again
"""

import os
import shlex
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from convblocks.compare import command as compare
from convblocks.compare.options import parse
from convblocks.compare.trials import Trial
from convblocks.console import answer, end
from convblocks.errors import UsageError, UserError
from convblocks.figures.grouping import grouped
from convblocks.record.directory import LOGS, RunDirectory
from convblocks.record.provenance import git_commit, read_origin
from convblocks.record.result import RunResult, with_processor
from convblocks.text import listed
from lab.benchmarks.handwriting import __main__ as handwriting
from lab.benchmarks.search import __main__ as search
from lab.by_seed import COMMANDS, new_runs
from lab.pages import errors, play, sessions
from lab.pages.catalogue import EXPERIMENTS, TIMED
from lab.pages.provenance import (
    Origin,
    is_committed,
    manifest,
    merged,
    read_manifest,
    write_manifest,
)
from lab.pages.writing import DATA
from lab.results import hardware, read_results, without_versions, write_results
from lab.study import stages

# The records that say which images each run got wrong: of hundreds of runs, many of them
# collapsed, these would be megabytes that no page shows.
WITH_MISTAKES = ("study-confirm", "onecycle", "long", "sprint", "quick", "candidates-cropped")

NO_FIT = "--no-fit"

# Network and schedule of the networks that are shown other digits than MNIST's.
READERS = (("maxpool", "onecycle"), ("batchnorm", "onecycle"), ("batchnorm", "constant"))


# A result and the directory of its run, and runs to be kept by the names of their records.
Run = tuple[RunResult, RunDirectory]
Records = dict[str, list[Run]]


def runs_of(results: Mapping[Trial, RunResult]) -> list[Run]:
    """The runs of a comparison."""
    return [(result, trial.run) for trial, result in results.items()]


def main(arguments: list[str]) -> None:
    """Train what is named, or all, and write the records."""
    names = [name for name in arguments if name != NO_FIT]
    if unknown := [name for name in names if name not in TRAINED]:
        raise UsageError(
            f"there is nothing called {unknown[0]}: choose from "
            f"{', '.join(TRAINED)}, or none for all"
        )
    if NO_FIT in arguments:
        trained = what_is_done(names)
    else:
        if not is_committed(git_commit()):
            print(
                "The code differs from its commit, or is in no "
                "repository: runs that begin now make no record."
            )
        # All are trained first: a record that is written makes the code of later runs
        # differ from its commit.
        trained = [TRAINED[name]() for name in names or TRAINED]
    for records in trained:
        for record, runs in records.items():
            if runs:
                keep(DATA, record, runs)


def what_is_done(names: Sequence[str]) -> list[Records]:
    """What is done of experiments that are trained seed by seed.

    Raises:
        UsageError: another one.
    """
    if others := [name for name in names if name not in COMMANDS]:
        raise UsageError(f"{NO_FIT} keeps whole seeds of {listed([*COMMANDS])}, not {others[0]}")
    return [train_by_seed(name, fits=False) for name in names or COMMANDS]


def train_study() -> Records:
    """Both stages."""
    options = stages.parse(["--no-fit"])
    stages.main(["choose"])
    choice = stages.results_of_choice(options)
    stages.main(["confirm"])
    confirmed = stages.results_of_confirmation(options, stages.choices_of([*choice.values()]))
    return {"study-choose": runs_of(choice), "study-confirm": runs_of(confirmed)}


def simulate_errors() -> Records:
    """How often tests err at the spreads of the study's records."""
    errors.write_rates(DATA)
    return {}


def train_experiments(group: str) -> Records:
    """An experiment, or all candidates."""
    found: Records = {}
    for name in GROUPS[group]:
        found[name] = []
        for command in EXPERIMENTS[name].commands:
            arguments = shlex.split(command)
            compare.main(arguments)
            for results in compare.results_of(parse([*arguments, "--no-fit"])):
                found[name] += runs_of(results)
    return found


def train_by_seed(name: str, fits: bool = True) -> Records:
    """What an experiment's record lacks, seed by seed; if none is trained, what is done."""
    return {name: runs_of(new_runs(name, DATA, fits))}


def keep(data: Path, name: str, runs: Sequence[Run]) -> None:
    """Write a record and the manifest of its runs.

    Those of times stand beside what other machines ran, those that are trained seed by seed
    behind earlier seeds.

    Raises:
        UserError: the code of a run is not known by its commit.
    """
    path = data / f"{name}.jsonl"
    origins = manifest(origins_of(name, [run for _, run in runs]))
    results = [result for result, _ in runs]
    if path.is_file() and name in (*TIMED, *COMMANDS):
        earlier = read_results(path)
        known = read_manifest(data, name)
        if name in TIMED:
            again = [*map(hardware, results)]
            earlier = [one for one in earlier if hardware(one) not in again]
            known = [
                one
                for one in known
                if without_versions(with_processor(one["machine"], one.get("processor")))
                not in again
            ]
        results = [*earlier, *results]
        origins = merged([*known, *origins])
    if name not in WITH_MISTAKES:
        for result in results:
            result.facts.pop("mistakes", None)
    write_results(path, results)
    write_manifest(data, name, origins)
    print(f"Written to {path}: {len(results)} runs.")


def origins_of(name: str, runs: Sequence[RunDirectory]) -> list[Origin]:
    """Where each run comes from.

    Raises:
        UserError: some runs were not trained by the code of a commit, or do not say by which.
    """
    origins = [(run.path, dict[str, Any](read_origin(run.provenance))) for run in runs]
    if unknown := [path for path, origin in origins if not is_committed(origin.get("git_commit"))]:
        raise UserError(
            f"{len(unknown)} of {len(origins)} runs of {name} make no "
            "record, since their code is that of no commit: commit "
            f"it, move these runs away (the first is {unknown[0]}), "
            "and train them again"
        )
    return [origin for _, origin in origins]


def train_handwriting() -> Records:
    """The networks that are shown other digits, and their answers, which are written at once."""
    checkpoints = [str(reader(arch, schedule).last_checkpoint) for arch, schedule in READERS]
    handwriting.main([*checkpoints, "--out", str(DATA.parent)])
    return {}


def train_searches() -> Records:
    """Searches and a grid, written at once; the page shows the command, which is called
    in the repository's folder.
    """
    search.main(["--arch", "mlp", "--jobs", "2", "--out", os.path.relpath(DATA.parent)])
    return {}


def run_sessions() -> Records:
    """What commands print, written at once; they look at two of the networks that are
    shown other digits.
    """
    held = {f"{LOGS}/{arch}": reader(arch, "onecycle").path for arch in ("maxpool", "batchnorm")}
    with TemporaryDirectory() as folder:
        held["pics"] = Path(folder, "pics")
        sessions.draw_pictures(held["pics"])
        sessions.run(sessions.SESSIONS, held, DATA)
    return {}


def reader(arch: str, schedule: str) -> RunDirectory:
    """The run of a network that is shown other digits, trained if it is missing."""
    run = RunDirectory(f"handwriting/{arch}-{schedule}")
    fit(run, f"--arch {arch} --lr_scheduler {schedule} --threads 1")
    return run


def train_play() -> Records:
    """The networks of docs/play, written at once."""
    for run in play.WATCHED:
        fit(run.directory, run.options)
    runs = [run.directory for run in play.WATCHED]
    play.write_numbers(DATA, origins_of("play", runs))
    return {}


def fit(run: RunDirectory, options: str) -> None:
    """Call scripts/fit.py in a process of its own, if the run is not finished."""
    command = f"scripts/fit.py {options} --name {run.name} --resume"
    if subprocess.run([sys.executable, *command.split()], check=False).returncode:
        raise UserError(f"{run.name} was not trained")


GROUPS = grouped(EXPERIMENTS, lambda name: name.partition("-")[0])

TRAINED: dict[str, Callable[[], Records]] = {
    "study": train_study,
    "errors": simulate_errors,
    **{group: partial(train_experiments, group) for group in GROUPS},
    **{name: partial(train_by_seed, name) for name in COMMANDS},
    "handwriting": train_handwriting,
    "search": train_searches,
    "sessions": run_sessions,
    "play": train_play,
}


if __name__ == "__main__":
    end(answer(main, __doc__))
