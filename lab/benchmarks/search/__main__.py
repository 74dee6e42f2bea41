"""usage: python -m lab.benchmarks.search [options] [options of fit.py]

Measure what a search finds for its cost: TPE with the median pruner, random search
whose trials all run to their end, and the grid with which the study begins, on the same
held-out images; and what a search adds to a run. Interrupted, it goes on where it was;
its trials lie in lightning_logs/benchmark-search.

  --arch NAME          the network (default: maxpool)
  --trials N           trials of each search (default: 40)
  --epochs N           passes over the training images (default: 3)
  --repeats N          how often, with other seeds (default: 3)
  --rounds N           rounds in which it is measured what a search adds to a run (default: 6)
  --runs N             runs of each in a round (default: 10)
  --jobs N             trials side by side (default: 1)
  --out FOLDER         where the page goes, and in its folder data raw numbers (default:
                       lightning_logs/benchmark)

Any other option is handed to fit.py for all trials. With the defaults and --jobs 2 it
takes some four hours on two CPUs, with --arch mlp half an hour.

Example:
  python -m lab.benchmarks.search --jobs 2 --out docs
"""

from argparse import Namespace
from functools import partial
from itertools import product

from convblocks.compare.options import positive, split
from convblocks.compare.trials import VAL_SIZE
from convblocks.console import answer, echo, end
from lab.benchmarks.harness import parser_with_out, publish
from lab.benchmarks.rows import Results, Row
from lab.benchmarks.search.measure import started, trials
from lab.benchmarks.search.page import VARIANTS, answer_text, blocks
from lab.study.plan import HELD_OUT

COUNTS = {"trials": 40, "epochs": 3, "repeats": 3, "rounds": 6, "runs": 10, "jobs": 1}


def main(arguments: list[str]) -> None:
    """Search, print the tables, and write page and raw numbers.

    Raises:
        UsageError: options that are unknown or out of range.
        UserError: the folder cannot be written to, or runs failed.
    """
    options = parse(arguments)
    results = Results.begin(arguments, options.rounds, arch=options.arch, epochs=options.epochs)
    for repeat, variant in product(range(options.repeats), VARIANTS):
        labels = {"part": "trial", "search": variant}
        for values in trials(options, variant, repeat):
            results.rows.append(Row(labels, values, repeat))
    started("compare", 1)  # the imports of the server from which all runs are forked
    starts = [
        ({"part": "start", "way": way}, partial(started, way, options.runs))
        for way in ("compare", "search")
    ]
    results.measure(starts, options.rounds)
    publish("search", blocks(results), results, options.out)
    echo(answer_text(results))


def parse(arguments: list[str]) -> Namespace:
    parser = parser_with_out()
    parser.add_argument("--arch", default="maxpool")
    for name, default in COUNTS.items():
        parser.add_argument(f"--{name}", type=positive, default=default)
    options, given = split(parser, arguments)
    if VAL_SIZE not in dict(given):
        given = (*given, (VAL_SIZE, str(HELD_OUT)))
    options.given = given
    return options


if __name__ == "__main__":
    end(answer(main, __doc__))
