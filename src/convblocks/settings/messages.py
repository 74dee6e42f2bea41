"""Rewrites the messages of jsonargparse for people."""

import re
from collections.abc import Mapping
from typing import Any

from lightning.pytorch import callbacks, loggers
from torch import optim

from convblocks.command_line import UNKNOWN
from convblocks.errors import did_you_mean
from convblocks.model.class_specs import classes_of
from convblocks.settings.words import LONGEST_REASON

# Lines of jsonargparse's messages that only list types.
NOISE = (
    "Does not validate",
    "Subtypes:",
    "Errors:",
    "Expected a <class 'NoneType'>",
    "Given value type:",
)

# The modules of the classes that may be named without their module.
NAMED_ALONE = (callbacks, loggers, optim, optim.lr_scheduler)


def _no_class(found: re.Match[str]) -> str:
    hint = did_you_mean(found[1], classes_of(*NAMED_ALONE)) or (
        ": give one by its name, as module.Class, or one of Lightning's,"
        " such as WandbLogger or CSVLogger"
    )
    return f"there is no class {found[1]}{hint}"


# jsonargparse's messages as patterns, and what a user reads instead of the match.
REWRITTEN: Mapping[str, Any] = {
    r"Expected a <class '(\w+)'>\.? (?:Got|Given) value:": r"expected \1, got",
    r"Expected a <class '(\w+)'>\.?": r"expected \1",
    r'^Parser key "([\w.]+)":': r"--\1:",
    r": .*(pytorch_lightning\.[\w.]+).*": r": \1: write lightning.pytorch for pytorch_lightning",
    r"(?<=: ).*(?:dot import path string: |has no attribute ')(\w+).*": _no_class,
    r"(--\S+): .*arguments are required: (\w+).*": r"\1: an argument is missing: give \1.\2",
    rf"(?<=: ){UNKNOWN}--(\w+)(: did you mean --\w+\?)?.*NestedArg.*": r"no argument \1\2",
    r"(?<=: ).*(No module named '\S+').*": r"\1",
    r".*: Requirement '(\w+).*' not met.*": r"\1 is not installed: pip install \1",
    # jsonargparse's message for an unknown option in a config.
    r"^Option '([\w.]+)' is not accepted$": rf"{UNKNOWN}--\1",
}


def rewritten(message: str) -> str:
    """The reason that a message gives, rewritten, in one line."""
    lines = [line.strip().removeprefix("- ") for line in message.splitlines()]
    reason = " ".join(line for line in lines if not line.startswith(NOISE))
    for pattern, instead in REWRITTEN.items():
        reason = re.sub(pattern, instead, reason)
    if len(reason) > LONGEST_REASON:
        reason = f"{reason[:LONGEST_REASON]} ..."
    return reason
