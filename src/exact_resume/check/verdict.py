"""Compares a training that goes on with the same training, stopped and resumed.

Each training has processes of its own. One saves checkpoints within each of two short
epochs and between them, and goes on; another does the same, to see whether the training
repeats itself; others resume from these checkpoints.
"""

import json
import os
import pickle
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from exact_resume import slurm
from exact_resume.check.part import PREFIX, Training, call_of_script, training_of_trainer
from exact_resume.errors import ResumeError, listed

# The places at which a check stops a training, by the folders in which it resumes from there.
PLACES = {
    "within": "within the first epoch",
    "end": "at the end of an epoch",
    "later": "within the second epoch",
}

# Kinds of parts that a resume must restore; parts of other kinds are results, which
# follow from these and the data.
CAUSES = ("metric", "buffer", "attribute", "random")

# The record of a process: its ``states``, which are digests of parts by a word for the
# kind of a part and its name, each with the number of batches before; and the ``reason``
# why it could not be stopped everywhere.
Record = Mapping[str, Any]

# The records of a training's processes; or, if it failed, the text that it printed; or nothing,
# if there was no checkpoint to resume from.
Records = Sequence[Record] | str

# The names of the parts that differ between two trainings, by the number of batches before.
Differences = Mapping[int, list[str]]


class Report(NamedTuple):
    """The result of a check: whether all resumes were exact, and the lines that say so."""

    is_exact: bool
    lines: list[str]

    def __str__(self) -> str:
        return "\n".join(self.lines)


def check_resume(make: Callable[[], Sequence[Any]], weights_only: bool | None = None) -> Report:
    """Check that a training which is stopped and resumed goes on with the same bits, by
    a few of its steps.

    Args:
        make: A function that returns a Trainer, its module, and the data: a
            LightningDataModule, or loaders. It stands in a module or a script, which other
            processes import, and seeds what it draws. Loggers are turned off, and
            checkpoints are kept apart.
        weights_only: The argument of ``Trainer.fit``; False for a module that keeps objects.

    Raises:
        ResumeError: a launcher has started this process, the function cannot be
            imported, or the training fails.
    """
    script = getattr(sys.modules["__main__"], "__file__", None)
    if make.__module__ == "__main__" and script:
        make = partial(call_of_script, str(Path(script).absolute()), make.__qualname__)
    return check(partial(training_of_trainer, make, weights_only))


def check(
    make: Callable[[Path], Training],
    working: Callable[[str], AbstractContextManager[None]] = lambda _: nullcontext(),
) -> Report:
    """Like ``check_resume``, for a training that is made for a folder and has an ExactResume.

    Args:
        make: Makes the training whose files lie in a folder.
        working: A context that shows, by a text, what is being done in it.

    Raises:
        ResumeError: as ``check_resume``.
    """
    if slurm.is_launched():
        raise ResumeError(
            "a check of exact resume starts its processes itself: call it outside of srun and "
            "torchrun"
        )
    try:
        pickled = pickle.dumps(make)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise ResumeError(
            f"a check of exact resume needs a function that other processes can import: {error}"
        ) from error
    with TemporaryDirectory() as folder, ThreadPoolExecutor() as pool:
        root = Path(folder)
        (root / "make").write_bytes(pickled)
        folders = [root / name for name in ("whole", "again")]
        for path in folders:
            path.mkdir()
        with working("training a few steps twice, which must repeat themselves"):
            whole, again = map(_ended, pool.map(_train, folders))
        unlike = differences(whole, again)
        if text := first_difference(unlike):
            return Report(
                False,
                [
                    f"not checked: without any stop the training does not repeat itself, {text}: "
                    "seed whatever draws random numbers, as the function begins or with "
                    "seed_everything(seed, workers=True)"
                ],
            )
        with working(f"resuming {listed([*PLACES.values()])}"):
            resumed = [*pool.map(_train, [root / place for place in PLACES])]
        return report(whole, dict(zip(PLACES, resumed, strict=True)), unlike)


def report(
    whole: Sequence[Record], resumed: Mapping[str, Records], unlike: Sequence[Differences] = ()
) -> Report:
    """Compare resumed trainings with the one that went on.

    Args:
        whole: The records of the whole training, one of each process.
        resumed: The records of the training that was resumed at each place.
        unlike: The differences between two whole trainings, of parts that matter to no
            result: these do not count as lost by a resume.
    """
    is_exact = True
    exact = []
    lines = []
    lost = dict[str, None]()
    for place, where in PLACES.items():
        records = resumed[place]
        if not records:
            lines.append(f"not checked {where}: {whole[0]['reason']}.")
            continue
        found = [] if isinstance(records, str) else differences(whole, records)
        text = first_difference(found)
        if text := _failure(records) or (text and f"differs {text}"):
            is_exact = False
            lines.append(f"not exact {where}: a resume {text}")
        else:
            exact.append(where)
        for parts in found:
            lost |= dict.fromkeys(lost_parts(parts))
    for parts in unlike:
        for name in lost_parts(parts):
            lost.pop(name, None)
    if exact:
        lines.insert(0, f"exact {listed(exact)}")
    if lost:
        lines.append(
            f"not restored: {listed([*lost])}. Keep it in on_save_checkpoint, and put it back "
            "in on_load_checkpoint"
        )
    return Report(is_exact and bool(exact), lines)


def differences(whole: Sequence[Record], other: Sequence[Record]) -> Sequence[Differences]:
    """The parts that differ between two trainings in each process, from where the other
    begins on.
    """
    found = []
    for records in zip(whole, other, strict=True):
        left, right = (dict(record["states"]) for record in records)
        numbers = [number for number in sorted(left | right) if number >= min(right)]
        found.append({n: _differing(left.get(n, {}), right.get(n, {})) for n in numbers})
    return found


def _failure(resumed: Records) -> str:
    """The words for a resume that has failed or begun again; empty if it trains on."""
    if isinstance(resumed, str):
        if "Weights only load failed" in resumed:  # as torch says
            return "fails, since the checkpoint holds objects: weights_only=False reads it"
        return f"fails: {_reported(resumed) or resumed.splitlines()[-1]}"
    is_new = any(record["states"][0][0] == 0 for record in resumed)
    return "finds no checkpoint, and begins again" if is_new else ""


def first_difference(found: Sequence[Differences]) -> str:
    """The first difference that counts, in words, of the first process that has one; empty if
    there is none.
    """
    return next(filter(None, map(_first_of, found)), "")


def _first_of(found: Differences) -> str:
    for number, parts in found.items():
        # At the last step all but attributes count, which may measure time; before it
        # only results do, since a cause may be made again before its use.
        ignored = ("attribute",) if number == max(found) else CAUSES
        names = [part for part in parts if not part.startswith(ignored)]
        if names:
            further = [f"{len(names) - 3} more"] if len(names) > 3 else []
            said = listed([*names[:3], *further])
            return f"from batch {number + 1} on in {said}"
    return ""


def lost_parts(found: Differences) -> list[str]:
    """The names of the parts that a resume has lost: causes that differ both right after it
    and at the end. Others were made again before their use.
    """
    first, last = found[min(found)], found[max(found)]
    return [part for part in first if part in last and part.startswith(CAUSES)]


def _differing(left: dict[str, str], right: dict[str, str]) -> list[str]:
    return [part for part in left | right if left.get(part) != right.get(part)]


def _train(folder: Path) -> Records:
    """Train in a folder, in processes of its own, and return the records of these. Without
    the folder return nothing: then the whole training could not be stopped there.
    """
    if not folder.is_dir():
        return []
    with folder.with_suffix(".errors").open("w+") as errors:
        done = subprocess.run(
            [sys.executable, "-P", "-m", "exact_resume.check.part", str(folder)],
            env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
            stdout=subprocess.DEVNULL,
            stderr=errors,
        )
        if done.returncode:
            errors.seek(0)
            return errors.read() or "its process was killed"
    return [json.loads(path.read_text()) for path in sorted(folder.glob("record_*.json"))]


def _ended(records: Records) -> Sequence[Record]:
    """The records of a training that has ended well.

    Raises:
        ResumeError: it has failed, with its line; a traceback is printed as it is.
    """
    if not isinstance(records, str):
        return records
    if reported := _reported(records):
        raise ResumeError(reported)
    sys.stderr.write(records)
    raise ResumeError("the training that was to be checked has failed")


def _reported(text: str) -> str:
    """The line with which a training has said why it fails; empty after a traceback."""
    lines = [line for line in text.splitlines() if line.startswith(PREFIX)]
    return lines[0].removeprefix(PREFIX) if lines else ""
