"""Repeat runs of docs/data that are drawn at random, and compare every number but times.

usage: python -m lab.repeat [--seed N] [--count N] [--of NAME ...]

To be called in the repository's folder. On the record's kind of processor (name,
family, model and vector instructions) all values are to be the same: a difference
is an error, with status 1, of the code or the versions of packages. Another kind
rounds differently, and training amplifies that. There it is said how many values
agree, and whether the run failed as the recorded one did or did not, and the status
is 0; likewise for older records, which do not name their kind.

  --seed N             of the draw (default: 0)
  --count N            how many runs (default: 1)
  --of NAME ...        draw among these records only, such as why
"""

import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice, zip_longest
from pathlib import Path
from random import Random
from textwrap import shorten
from typing import Any

from convblocks.command_line import Parser
from convblocks.compare.trials import command_line
from convblocks.console import answer, echo, end
from convblocks.errors import UserError
from convblocks.record.directory import RunDirectory
from convblocks.record.provenance import describe_machine
from convblocks.record.result import RunResult
from convblocks.text import counted
from lab.pages.writing import DATA, REPOSITORY
from lab.results import read_results

# Before the names of facts.
FACT = "fact "

# How the names of times begin, which no two runs share, and the fact that is a sentence,
# whose words may change.
NOT_COMPARED = ("seconds", "images_per_second", f"{FACT}diagnosis")


def main(arguments: list[str]) -> None:
    """Draw records, train each again, and say whether all numbers are the same.

    Raises:
        UserError: there is no such record, or some runs differ from theirs, which are of
            this kind of processor.
    """
    parser = Parser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--count", type=int, default=1)
    names = sorted(path.stem for path in DATA.glob("*.jsonl"))
    parser.add_argument("--of", nargs="+", default=names)
    options = parser.parse_args(arguments)
    records = {name: read_results(DATA / f"{name}.jsonl") for name in options.of}
    drawn = draw(records, options.seed, options.count)
    unequal = 0
    for name, record in drawn:
        echo(f"{name}: {' '.join(words_of(record))} ...")
        run = repeat(record)
        elsewhere = other_processor(record, run)
        echo(elsewhere + agreement(record, run))
        unequal += not elsewhere and any(differences(record, run))
    if unequal:
        raise UserError(
            f"{unequal} of {counted(len(drawn), 'run')} differ from "
            f"their records, on {describe_machine()}"
        )


def draw(
    records: Mapping[str, Sequence[RunResult]], seed: int, count: int
) -> list[tuple[str, RunResult]]:
    """So many different runs, from the files in a random order, in turn: a file of many
    runs is drawn no more often.
    """
    random = Random(seed)
    shuffled = []
    for name, runs in records.items():
        shuffled.append([(name, run) for run in random.sample(runs, len(runs))])
    random.shuffle(shuffled)
    in_turn = (drawn for place in zip_longest(*shuffled) for drawn in place if drawn)
    return list(islice(in_turn, count))


def words_of(record: RunResult) -> list[str]:
    """The options of fit that train a record's run."""
    return [*command_line(record.overrides), "--arch", record.arch, "--seed", str(record.seed)]


def repeat(record: RunResult) -> RunResult:
    """Train a record's run again, in a folder that is deleted.

    Raises:
        UserError: it failed.
    """
    with tempfile.TemporaryDirectory() as folder:
        command = [
            sys.executable,
            str(REPOSITORY / "scripts" / "fit.py"),
            *words_of(record),
            "--name=repeated",
            f"--trainer.default_root_dir={folder}",
            "--trainer.logger=false",
        ]
        ended = subprocess.run(command, cwd=REPOSITORY, stdout=subprocess.DEVNULL, check=False)
        if ended.returncode:
            raise UserError(f"the run failed: {' '.join(command)}")
        return RunDirectory("repeated", Path(folder)).read_result()


def other_processor(record: RunResult, run: RunResult) -> str:
    """Where a record is or may be of another processor: ``another processor (recorded
    AMD EPYC, family 25, model 1, AVX2; here AMD EPYC, family 25, model 17, AVX512): ``.
    """
    recorded, here = kind_of(record), kind_of(run)
    if recorded == here:
        return ""
    perhaps = "perhaps " if here.startswith(f"{recorded},") else ""
    return f"{perhaps}another processor (recorded {recorded}; here {here}): "


def kind_of(run: RunResult) -> str:
    """What stands in the brackets of a machine's line: not how many CPUs it has."""
    return run.provenance.place.partition("(")[2].partition("),")[0]


def agreement(record: RunResult, run: RunResult) -> str:
    """How much of a record a run has, and the first difference."""
    count = len(compared(record, run))
    found = list(differences(record, run))
    if not found:
        return f"all {count} recorded values are the same"
    also = "also" if record.failed == run.failed else "not"
    return f"{count - len(found)} of {count} values agree, {also} whether it failed; {found[0]}"


def differences(record: RunResult, run: RunResult) -> Iterator[str]:
    """The recorded numbers that a run has not: ``test/acc of epoch 3: 0.98, recorded 0.981``."""
    for place, (found, value) in compared(record, run).items():
        if repr(found) != repr(value):  # nan is nan
            yield f"{place}: {shorten(f'{found}, recorded {value}', 80)}"


def compared(record: RunResult, run: RunResult) -> dict[str, tuple[Any, Any]]:
    """By their places the values of a run, None if it has none, and the recorded ones.

    Facts are compared if both have them, since callbacks come and go.
    """
    found = numbers(run)
    return {
        place: (found.get(place), value)
        for place, value in numbers(record).items()
        if place in found or not place.startswith(FACT)
    }


def numbers(run: RunResult) -> dict[str, Any]:
    """All numbers of a run but its times, by their places, and the facts that callbacks added."""
    found: dict[str, Any] = {"parameters": run.parameters, "failed": run.failed}
    for kind, rows in (("epoch", run.epochs), ("evaluation", run.evaluations)):
        for number, row in enumerate(rows, start=1):
            for name, value in row.items():
                found[f"{name} of {kind} {number}"] = value
    found |= {f"final {name}": value for name, value in run.final.items()}
    found |= {f"{FACT}{name}": value for name, value in run.facts.items()}
    return {place: value for place, value in found.items() if not place.startswith(NOT_COMPARED)}


if __name__ == "__main__":
    end(answer(main, __doc__))
