"""usage: python -m benchmarks.search [options] [options of fit.py]

Measure what a search finds for its cost: TPE with the median pruner, random search whose trials all run to their end,
and the grid with which the study begins, on the same held-out images; and what a search adds to a run. Interrupted, it
goes on where it was; its trials lie in lightning_logs/benchmark-search.

  --arch NAME          the network (default: maxpool)
  --trials N           trials of each search (default: 40)
  --epochs N           passes over the training images (default: 3)
  --repeats N          how often, with other seeds (default: 3)
  --rounds N           rounds in which it is measured what a search adds to a run (default: 6)
  --runs N             runs of each in a round (default: 10)
  --jobs N             trials side by side (default: 1)
  --out FOLDER         where the page goes, and in its folder data raw numbers (default: lightning_logs/benchmark)

Any other option is handed to fit.py for all trials. With the defaults and --jobs 2 it takes some four hours on two
CPUs, with --arch mlp half an hour.

Example:
  python -m benchmarks.search --jobs 2 --out docs
"""

from argparse import Namespace
from pathlib import Path

from benchmarks.pages import DATA, PAGES, write_raw_numbers
from benchmarks.search import page, start
from benchmarks.search.results import Course, Results, Tried, Variant
from convblocks.command_line import Parser, output_folder
from convblocks.comparison.options import options_of_fit
from convblocks.comparison.study.plan import FIRST_RATES, HELD_OUT, SCHEDULES
from convblocks.comparison.training import VAL_SIZE, finish, refuse_missing
from convblocks.comparison.trials import all_trials, command_line
from convblocks.console import answer, end
from convblocks.errors import UsageError
from convblocks.runs.directory import LOGS, RunDirectory
from convblocks.runs.provenance import describe_machine, git_commit
from convblocks.search import search
from convblocks.search.worker import best_first
from convblocks.tables import terminal, to_console

NAME = "benchmark-search"

COUNTS = {"trials": 40, "epochs": 3, "repeats": 3, "rounds": 6, "runs": 10, "jobs": 1}

# How each search is asked for.
SEARCHES: dict[Variant, list[str]] = {
    "tpe": ["--sampler", "tpe", "--pruner", "median"],
    "random": ["--sampler", "random", "--pruner", "none"],
}

GRID = {"lr": list(FIRST_RATES), "lr_scheduler": list(SCHEDULES)}


def main(arguments: list[str]) -> None:
    """Search, print the tables, and write page and raw numbers.

    Raises:
        UsageError: options that are unknown or out of range.
        UserError: the folder cannot be written to, or runs failed.
    """
    options = parse(arguments)
    out = output_folder(options.out)
    results = Results(describe_machine(), git_commit(), arguments, options.arch, options.epochs)
    for repeat in range(options.repeats):
        results.courses += [searched(options, variant, repeat) for variant in SEARCHES]
        results.courses.append(gridded(options, repeat))
    results.started = start.measure(options.rounds, options.runs)
    to_console(page.tables(results), terminal())
    write_raw_numbers(out / DATA, "search", results)
    page.write_page(output_folder(out / PAGES), results)
    print(page.answer(results))
    print(f"Written to {out / 'search'}.md, {out / 'search'}.png and {out / DATA / 'search'}.json.")


def parse(arguments: list[str]) -> Namespace:
    parser = Parser()
    parser.add_argument("--arch", default="maxpool")
    for name, default in COUNTS.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--out", type=Path, default=LOGS / "benchmark")
    options, others = parser.parse_known_args(arguments)
    for name in COUNTS:
        if getattr(options, name) < 1:
            raise UsageError(f"--{name} must be at least 1, but is {getattr(options, name)}")
    given = options_of_fit(others, "benchmark", parser)
    options.given = given if VAL_SIZE in dict(given) else (*given, (VAL_SIZE, str(HELD_OUT)))
    return options


def searched(options: Namespace, variant: Variant, repeat: int) -> Course:
    """One search; a trial costs the epochs that its run has ended, also those after the one in which it was pruned."""
    own = ["--arch", options.arch, "--trials", str(options.trials), "--epochs", str(options.epochs)]
    own += ["--name", f"{NAME}/{variant}-{repeat}", "--seed", str(1000 * repeat), "--jobs", str(options.jobs)]
    command = [*own, *SEARCHES[variant], "--confirm", "0", *command_line(options.given)]
    search.main(command)
    done = search.open_search(search.parse(command))
    accuracies = {one.number: float(one.values[0]) for one in best_first(done.trials())}
    tried = []
    for one in done.trials():
        rows = done.config.trial(one.number, one.params).metrics()
        tried.append(Tried(sum(row["seconds"] for row in rows), accuracies.get(one.number)))
    return Course(variant, repeat, tried)


def gridded(options: Namespace, repeat: int) -> Course:
    """Every point of the grid, once."""
    overrides = (("epochs", str(options.epochs)), ("threads", "1"), *options.given)
    directory = RunDirectory(f"{NAME}/grid")
    trials = all_trials(directory.name, [options.arch], [1000 * repeat], overrides, GRID)
    results = finish(directory, trials, options.jobs)
    refuse_missing(trials, results)
    return Course("grid", repeat, [Tried(one.seconds, one.validation) for one in results.values()])


if __name__ == "__main__":
    end(answer(main, __doc__))
