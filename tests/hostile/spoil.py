"""What may happen to a file: each function here gives a spoiler, which does that to the
file at a path.
"""

import json
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
import yaml

Spoiler = Callable[[Path], object]


def holds(content: str | bytes) -> Spoiler:
    """It holds that content, in a folder that is made if needed."""

    def spoil(path: Path) -> None:
        removed(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)

    return spoil


def removed(path: Path) -> None:
    """It is gone, a folder with all that it holds."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def a_pipe(path: Path) -> None:
    """Put a pipe there, which nobody writes to."""
    removed(path)
    os.mkfifo(path)


def a_copy_of(source: str) -> Spoiler:
    """It is a copy of another file or folder beside it."""

    def spoil(path: Path) -> None:
        original = path.with_name(source)
        (shutil.copytree if original.is_dir() else shutil.copy2)(original, path)

    return spoil


def cut(length: int) -> Spoiler:
    """Only its first bytes are left; with a negative length, only its last ones are gone."""
    return lambda path: path.write_bytes(path.read_bytes()[:length])


def flipped(position: int) -> Spoiler:
    """All bits of one byte are inverted."""

    def spoil(path: Path) -> None:
        content = bytearray(path.read_bytes())
        content[position] ^= 0xFF
        path.write_bytes(content)

    return spoil


def with_a_damaged_list(path: Path) -> None:
    """The list of parts at the end of a zip archive is damaged, the end itself is not."""
    path.write_bytes(path.read_bytes().replace(b"PK\1\2", b"PK\0\0"))


def with_values(changes: Mapping[str, Any]) -> Spoiler:
    """A YAML or JSON file with other values, ``a/b`` for b within a; ``...`` stands for none."""
    return lambda path: path.write_text(
        json.dumps(_changed(yaml.safe_load(path.read_text()), changes))
    )


def checkpoint_with(changes: Mapping[str, Any]) -> Spoiler:
    """A checkpoint with other parts, likewise."""
    return lambda path: torch.save(_changed(torch.load(path, weights_only=True), changes), path)


def _changed(content: Any, changes: Mapping[str, Any]) -> Any:
    for name, value in changes.items():
        parent: Any = {"": content}
        key: Any = ""
        for part in name.split("/"):
            parent = parent[key]
            key = int(part) if part.isdecimal() else part
        if value is ...:
            del parent[key]
        else:
            parent[key] = value
    return content
