"""What may happen to a file: each function here gives a spoiler, which does that to the file at a path."""

import json
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
import yaml
from PIL import Image

Spoiler = Callable[[Path], object]


def holds(content: str | bytes) -> Spoiler:
    """It holds that content, in a folder that is made if needed."""

    def spoil(path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)

    return spoil


def removed(path: Path) -> None:
    """It is gone, a folder with all that it holds."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def a_file(path: Path) -> None:
    """An empty file stands in its place."""
    removed(path)
    path.touch()


def a_folder(path: Path) -> None:
    """A folder stands in its place."""
    removed(path)
    path.mkdir(parents=True)


def a_link_to(target: str) -> Spoiler:
    """A symbolic link stands in its place."""

    def spoil(path: Path) -> None:
        removed(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.symlink_to(target)

    return spoil


def a_picture(height: int, width: int) -> Spoiler:
    """A black picture of that size."""
    return lambda path: Image.new("L", (width, height)).save(path)


def a_copy_of(other: str) -> Spoiler:
    """The content of another file or folder beside it; two files change places."""

    def spoil(path: Path) -> None:
        source, spare = path.with_name(other), path.with_name("spare")
        if source.is_dir():
            shutil.copytree(source, path)
            return
        shutil.copy2(source, spare)
        if path.exists():
            shutil.copy2(path, source)
        spare.rename(path)

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


def long(length: int) -> Spoiler:
    """It is that long, without taking up room on the disk."""

    def spoil(path: Path) -> None:
        path.touch()
        os.truncate(path, length)

    return spoil


def with_values(changes: Mapping[str, Any]) -> Spoiler:
    """A JSON or YAML file with other values, ``a/b`` for b within a and ``~`` for a slash; ``...`` stands for none."""

    def spoil(path: Path) -> None:
        content = _changed(yaml.safe_load(path.read_text()), changes)
        path.write_text(json.dumps(content) if path.suffix == ".json" else yaml.safe_dump(content))

    return spoil


def checkpoint_with(changes: Mapping[str, Any]) -> Spoiler:
    """A checkpoint with other parts, likewise."""
    return lambda path: torch.save(_changed(torch.load(path, weights_only=True), changes), path)


def _changed(content: Any, changes: Mapping[str, Any]) -> Any:
    for name, value in changes.items():
        *parents, last = [key.replace("~", "/") for key in name.split("/")]
        parent = content
        for key in parents:
            parent = parent[_key(parent, key)]
        at = _key(parent, last)
        if value is ...:
            del parent[at]
        else:
            parent[at] = value
    return content


def _key(parent: Any, name: str) -> Any:
    """A list's index or a dictionary's key, which may be a number, by its name."""
    return int(name) if isinstance(parent, list) or (name.isdecimal() and int(name) in parent) else name
