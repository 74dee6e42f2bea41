"""usage: python docs/train.py [study] [onecycle] [long] [sprint] [channels] [candidates]
       [batches] [handwriting] [search] [sessions]

Train the runs that the documentation shows, as far as they are missing in lightning_logs/, and write their raw numbers
to docs/data/: to be called in the repository's folder. `python docs/pages.py` makes the pages of them.

  study                which network is better, both stages: some two hours on two CPUs
  onecycle             the best accuracy in 5 epochs: 20 minutes
  long                 the best accuracy in 30 epochs: 30 minutes
  sprint               the shortest way to 99 %, on this machine; other machines' runs stay: 3 minutes
  channels             batch normalisation in torch's two orders of memory: 8 minutes
  candidates           the settings of which recipes were chosen: an hour
  batches              learning rates for large batches: 5 minutes
  handwriting          three networks, and what they take 400 drawings for: 5 minutes
  search               what a search finds for its cost, beside chance and a grid: half an hour
  sessions             what the commands print that README.md and docs/manual/use.md show: 5 minutes

Without a name all are trained.
"""

import os
import shlex
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # docs/ and benchmarks/ are no part of the package

from benchmarks.handwriting import __main__ as handwriting
from benchmarks.search import __main__ as search
from convblocks.comparison import compare
from convblocks.comparison.options import parse
from convblocks.comparison.study import stages
from convblocks.console import answer, end
from convblocks.errors import UsageError, UserError
from convblocks.runs.directory import LOGS, RunDirectory
from convblocks.runs.result import RunResult, grouped, read_results, write_results
from docs import sessions
from docs.experiments import EXPERIMENTS, hardware
from docs.writing import DATA

# Of hundreds of runs, many of them collapsed, the images that they got wrong would be megabytes that no page shows.
WITHOUT_MISTAKES = ("study-choose", "batches", "channels")

# Network and schedule of the networks that are shown other digits than MNIST's.
READERS = (("maxpool", "onecycle"), ("batchnorm", "onecycle"), ("batchnorm", "constant"))


def main(arguments: list[str]) -> None:
    """Train what is named, or all, and write the records."""
    if unknown := [name for name in arguments if name not in TRAINED]:
        raise UsageError(f"there is nothing called {unknown[0]}: choose from {', '.join(TRAINED)}, or none for all")
    for name in arguments or TRAINED:
        TRAINED[name](DATA)


def train_study(data: Path) -> None:
    """Both stages."""
    options = stages.parse([])
    stages.main(["choose"])
    choice = stages.results_of_choice(options, fit=False)
    keep(data, "study-choose", choice)
    stages.main(["confirm"])
    keep(data, "study-confirm", stages.results_of_confirmation(options, stages.choices_of(choice)))


def train_experiments(group: str, data: Path) -> None:
    """An experiment, or all candidates."""
    for name in GROUPS[group]:
        arguments = shlex.split(EXPERIMENTS[name].arguments)
        compare.main(arguments)
        keep(data, name, [run for trial in compare.trials_of(parse(arguments)) if (run := trial.result())])


def keep(data: Path, name: str, results: Sequence[RunResult]) -> None:
    """Write records; those of a sprint beside what other machines ran."""
    path = data / f"{name}.jsonl"
    if name == "sprint" and path.is_file():
        here = set(map(hardware, results))
        results = [*(one for one in read_results(path) if hardware(one) not in here), *results]
    if name in WITHOUT_MISTAKES:
        results = [replace(one, mistakes=None) for one in results]
    write_results(path, results)
    print(f"Written to {path}: {len(results)} runs.")


def train_handwriting(data: Path) -> None:
    """The networks that are shown other digits, and their answers."""
    checkpoints = [str(reader(arch, schedule).last_checkpoint) for arch, schedule in READERS]
    handwriting.main([*checkpoints, "--out", str(data.parent)])


def train_searches(data: Path) -> None:
    """Searches and a grid; the page shows the command, which is called in the repository's folder."""
    search.main(["--arch", "mlp", "--jobs", "2", "--out", os.path.relpath(data.parent)])


def run_sessions(data: Path) -> None:
    """What commands print; two of the networks that are shown other digits are those that they look at."""
    held = {f"{LOGS}/{arch}": reader(arch, "onecycle").path for arch in ("maxpool", "batchnorm")}
    with TemporaryDirectory() as folder:
        held["pics"] = Path(folder, "pics")
        sessions.draw_pictures(held["pics"])
        sessions.run(sessions.SESSIONS, held, data)


def reader(arch: str, schedule: str) -> RunDirectory:
    """The run of a network that is shown other digits, trained if it is missing."""
    run = RunDirectory(f"handwriting/{arch}-{schedule}")
    options = ["--arch", arch, "--lr_scheduler", schedule, "--threads", "1", "--name", run.name, "--resume"]
    if subprocess.run([sys.executable, "scripts/fit.py", *options], check=False).returncode:
        raise UserError(f"{run.name} was not trained")
    return run


GROUPS = grouped(EXPERIMENTS, lambda name: name.partition("-")[0])

TRAINED: dict[str, Callable[[Path], None]] = {
    "study": train_study,
    **{group: partial(train_experiments, group) for group in GROUPS},
    "handwriting": train_handwriting,
    "search": train_searches,
    "sessions": run_sessions,
}


if __name__ == "__main__":
    end(answer(main, __doc__))
