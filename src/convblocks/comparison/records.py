"""Outcomes as CSV files that anybody can read, and from which the pages are made without training.

Of a comparison there are three: ``<name>.runs.csv``, a row a run; ``<name>.epochs.csv``, a row a run and epoch; and
``<name>.mistakes.csv``, the numbers of the test images that a run got wrong. ``run`` is the same number in each. What
is unknown is empty, a loss that is not finite ``nan`` or ``inf``.
"""

import csv
import io
import json
import shlex
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from convblocks.atomic import write
from convblocks.comparison.outcomes import Images, Provenance, RunResult
from convblocks.comparison.trials import Settings
from convblocks.data.image_spec import ImageSpec
from convblocks.errors import UsageError, UserError
from convblocks.tables import as_csv

Row = dict[str, str]


def write_records(folder: Path, name: str, outcomes: Sequence[RunResult]) -> None:
    """Write the three files, from which ``read_records`` makes equal outcomes: floats keep every digit."""
    folder.mkdir(parents=True, exist_ok=True)
    runs, epochs, mistakes = _paths(folder, name)
    numbered = list(enumerate(outcomes))
    write(runs, as_csv([{"run": run, **_row(outcome)} for run, outcome in numbered]))
    write(epochs, as_csv([{"run": run, **epoch} for run, outcome in numbered for epoch in outcome.epochs]))
    told = [(run, outcome.mistakes) for run, outcome in numbered if outcome.mistakes is not None]
    write(mistakes, as_csv([{"run": run, "mistakes": " ".join(map(str, wrong))} for run, wrong in told]))


def read_records(folder: Path, name: str) -> list[RunResult]:
    """The outcomes that ``write_records`` has written.

    Raises:
        UserError: a file is missing or damaged, or is not of the same runs as the others.
    """
    of_runs, of_epochs, of_mistakes = _paths(folder, name)
    with _told(of_runs):
        rows = _rows(of_runs)
    epochs: list[list[dict[str, float]]] = [[] for _ in rows]
    with _told(of_epochs):
        for row in _rows(of_epochs):
            epochs[_run(row["run"], len(rows))].append(_metrics(row))
    with _told(of_mistakes):
        mistakes = {_run(run, len(rows)): _integers(wrong) for run, wrong in _pairs(of_mistakes)}
    outcomes = []
    for run, row in enumerate(rows):
        with _told(of_runs, f"run {run}: "):
            outcomes.append(_outcome(run, row, epochs[run], mistakes.get(run)))
    return outcomes


def provenance(outcomes: Sequence[RunResult]) -> list[str]:
    """Where the runs come from, a line for each machine: how many, on what, with how many threads, of which commits."""
    lines = []
    for machine, runs in Counter(outcome.provenance.machine for outcome in outcomes).items():
        own = [outcome.provenance for outcome in outcomes if outcome.provenance.machine == machine]
        parts = [f"{runs} {'run' if runs == 1 else 'runs'} on {machine}"]
        if any(one.threads for one in own):
            parts.append(_each([one.threads for one in own], "thread"))
        if any(one.processes > 1 for one in own):
            parts.append(_each([one.processes for one in own], "process"))
        commits = list(dict.fromkeys(one.commit or "unknown" for one in own))
        parts.append(f"{'commit' if len(commits) == 1 else 'commits'} {_listed(commits)}")
        lines.append(", ".join(parts))
    return lines


def _paths(folder: Path, name: str) -> tuple[Path, Path, Path]:
    return folder / f"{name}.runs.csv", folder / f"{name}.epochs.csv", folder / f"{name}.mistakes.csv"


def _row(outcome: RunResult) -> dict[str, Any]:
    """A run's line; ``epochs`` and ``mistakes`` are how many there are, so that a file that lost some is noticed."""
    return {
        "arch": outcome.arch,
        "settings": shlex.join(f"{option}={value}" for option, value in outcome.settings),
        "seed": outcome.seed,
        "parameters": outcome.parameters,
        "accuracy": outcome.accuracy,
        "validation": outcome.validation,
        "collapsed": outcome.collapsed,
        "schedule": outcome.schedule,
        "first_loss": outcome.first_loss,
        "last_loss": outcome.last_loss,
        "seconds": outcome.seconds,
        "epochs": len(outcome.epochs),
        "mistakes": None if outcome.mistakes is None else len(outcome.mistakes),
        "test_images": outcome.images.test_images,
        "chance_threshold": outcome.images.chance_threshold,
        "machine": outcome.provenance.machine,
        "threads": outcome.provenance.threads,
        "processes": outcome.provenance.processes,
        "commit": outcome.provenance.commit,
        "images": _compact(outcome.images.image_spec.as_dict()),
        "data": None if outcome.data is None else _compact(outcome.data),
    }


def _outcome(run: int, row: Row, epochs: list[dict[str, float]], mistakes: tuple[int, ...] | None) -> RunResult:
    if row["run"] != str(run):
        raise ValueError(f"{row['run']!r} stands in its place")
    if int(row["epochs"]) != len(epochs):
        raise ValueError(f"it had {row['epochs']} epochs, and {len(epochs)} are there")
    if row["mistakes"] != ("" if mistakes is None else str(len(mistakes))):
        raise ValueError(f"it had {row['mistakes'] or 'no'} mistakes, and not those that are there")
    images = Images(
        ImageSpec.from_dict(json.loads(row["images"])), int(row["test_images"]), float(row["chance_threshold"])
    )
    if mistakes and not 0 <= min(mistakes) <= max(mistakes) < images.test_images:
        raise ValueError(f"its mistakes are none of {images.test_images} images")
    return RunResult(
        arch=row["arch"],
        settings=_settings(row["settings"]),
        seed=int(row["seed"]),
        parameters=int(row["parameters"]),
        first_loss=float(row["first_loss"]),
        last_loss=float(row["last_loss"]),
        accuracy=_share(row["accuracy"]),
        validation=_share(row["validation"]) if row["validation"] else None,
        collapsed={"True": True, "False": False}[row["collapsed"]],
        seconds=float(row["seconds"]),
        epochs=tuple(epochs),
        images=images,
        provenance=Provenance(row["machine"], int(row["threads"]), int(row["processes"]), row["commit"] or None),
        mistakes=mistakes,
        data=_checksums(row["data"]) if row["data"] else None,
        schedule=row["schedule"],
    )


@contextmanager
def _told(path: Path, place: str = "") -> Iterator[None]:
    """Say of which file it is, and where in it, what goes wrong here."""
    try:
        yield
    except (OSError, KeyError, ValueError, OverflowError, RecursionError, csv.Error, UsageError) as error:
        reason = f"{error} is missing or unknown" if isinstance(error, KeyError) else error
        if isinstance(error, OSError):
            reason = error.strerror or error
        raise UserError(f"cannot read {path} ({place}{reason})") from error


def _text(path: Path) -> str:
    text = path.read_bytes().decode()
    if not text.endswith("\n"):
        raise ValueError("it is cut short")
    return text


def _rows(path: Path) -> list[Row]:
    rows = list(csv.DictReader(io.StringIO(_text(path), newline="")))
    for number, row in enumerate(rows, start=1):
        if None in row or None in row.values():
            raise ValueError(f"row {number} has not as many values as there are columns")
    return rows


def _pairs(path: Path) -> list[tuple[str, str]]:
    """Number and mistakes of each run; the csv module reads no value of more than 131,072 characters."""
    header, *lines = _text(path).splitlines()
    if header not in ("run,mistakes", ""):  # empty where no run tells
        raise ValueError("its columns are not run and mistakes")
    pairs = [line.partition(",") for line in lines]
    return [(run, wrong) for run, _, wrong in pairs]


def _run(text: str, count: int) -> int:
    if not 0 <= (run := int(text)) < count:
        raise ValueError(f"there is no run {run}")
    return run


def _metrics(row: Row) -> dict[str, float]:
    return {metric: _number(value) for metric, value in row.items() if metric != "run" and value}


def _number(text: str) -> float:
    return int(text) if text.isdecimal() else float(text)


def _share(text: str) -> float:
    if not 0 <= (share := float(text)) <= 1:
        raise ValueError(f"{share} is no accuracy")
    return share


def _integers(text: str) -> tuple[int, ...]:
    return tuple(int(number) for number in text.split())


def _settings(text: str) -> Settings:
    pairs = [word.partition("=") for word in shlex.split(text)]
    return tuple((option, value) for option, _, value in pairs)


def _checksums(text: str) -> dict[str, str]:
    values = json.loads(text)
    if not isinstance(values, dict):
        raise ValueError("its data are no checksums")
    return values


def _compact(values: dict[str, Any]) -> str:
    return json.dumps(values, separators=(",", ":"))


def _each(counts: Sequence[int], unit: str) -> str:
    """``one thread each``, or ``1 and 2 threads each``."""
    found = sorted(set(counts))
    if found == [1]:
        return f"one {unit} each"
    plural = f"{unit}es" if unit.endswith("s") else f"{unit}s"
    return f"{_listed([str(count) for count in found])} {plural} each"


def _listed(words: Sequence[str]) -> str:
    return " and ".join([", ".join(words[:-1]), words[-1]]) if len(words) > 1 else words[0]
