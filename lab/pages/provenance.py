"""Where the records in docs/data/ come from: manifests of their runs, and how much of
the code has changed since.
"""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from convblocks.figures.grouping import grouped
from convblocks.text import as_json
from exact_resume.files import write

# The content of a run's provenance.json.
Origin = dict[str, Any]

# Beside the records.
MANIFESTS = "provenance"

# The code that determines what is measured.
MEASURED = (
    "src/convblocks/data",
    "src/convblocks/model",
    "lab/blocks.py",
    "src/convblocks/record",
    "src/convblocks/run",
    "src/convblocks/settings",
    "src/convblocks/fast",
)

# What some runs of the laboratory add to that.
ADDED = ("first_steps", "preactivations", "gradients", "centred_updates", "gradient_centralization")

CHANGES = (
    f"`git log --oneline COMMIT.. -- {' '.join(MEASURED)} "
    f"{' '.join(f'lab/{module}.py' for module in ADDED)}` lists what "
    "has changed in the measured code since a commit."
)


# What differs from run to run: the command is kept as an example, the others are in the records.
OWN = ("command", "seed", "data")


def is_committed(commit: str | None) -> bool:
    """Whether a commit has all of the code, as far as it is tracked."""
    return commit is not None and not commit.endswith("-dirty")


def manifest_of(data: Path, name: str) -> Path:
    """The file with the origins of records."""
    return data / MANIFESTS / f"{name}.json"


def manifest(origins: Iterable[Origin]) -> list[Origin]:
    """Each distinct origin once, with the number of its runs and the command of the
    first as an example.
    """
    return merged(
        {"runs": 1, "example": origin["command"], **_common(origin)} for origin in origins
    )


def merged(entries: Iterable[Origin]) -> list[Origin]:
    """Entries of the same origin as one: all their runs, and the first one's example."""
    found = []
    for same in grouped(entries, lambda one: as_json({**one, "runs": 0, "example": ""})).values():
        found.append({**same[0], "runs": sum(one["runs"] for one in same)})
    return found


def write_manifest(data: Path, name: str, entries: Sequence[Origin]) -> None:
    path = manifest_of(data, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    write(path, as_json(entries) + "\n")


def read_manifest(data: Path, name: str) -> list[Origin]:
    """The entries of a manifest; none for records that are older than manifests."""
    path = manifest_of(data, name)
    return json.loads(path.read_text()) if path.is_file() else []


def _common(origin: Origin) -> Origin:
    """What runs of the same origin share; of resumes only what changed, since their
    commands have the run's name.
    """
    common = {part: value for part, value in origin.items() if part not in OWN}
    if "resumed" in common:
        common["resumed"] = [resume["changes"] for resume in common["resumed"]]
    return common
