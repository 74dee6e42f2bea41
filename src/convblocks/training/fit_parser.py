"""The parser of ``fit.py``: jsonargparse's, with one-line errors."""

import re
from argparse import ArgumentParser
from typing import NoReturn

import jsonargparse

from convblocks.command_line import options_of, with_suggestion
from convblocks.errors import UsageError
from convblocks.model.networks import ARCHITECTURES

# Short options, and the options that they set. The latter cannot be given themselves.
LINKS = {"epochs": "trainer.max_epochs", "batch_size": "data.batch_size", "seed": "data.seed"}

# Endings of the options that jsonargparse adds to others.
VARIANTS = ("+", ".help")

# Types in words. Where several are allowed, the first of them counts.
TYPES = {"float": "a number", "int": "a whole number", "bool": "true or false"}


class FitParser(jsonargparse.ArgumentParser):
    """Raises a one-line UsageError instead of exiting."""

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        for option, target in LINKS.items():
            if re.search(rf'(--|"|--> ){re.escape(target)}\b', message):
                raise UsageError(f"{target} is set with --{option}") from ex
        if '"data.size"' in message:
            raise UsageError("--data.size takes a height and a width in pixels, such as 32 40") from ex
        if "required: arch" in message:
            raise UsageError(f"--arch is required: choose one of {', '.join(ARCHITECTURES)}") from ex
        if message.startswith("Problems parsing config"):
            message = f"--config: {message}"
        raise UsageError(_shortened(with_suggestion(" ".join(message.split()), known_options(self)))) from ex


def known_options(parser: ArgumentParser) -> list[str]:
    """The options that may be given to ``fit.py``, without their dashes."""
    return [option for option in options_of(parser) if option not in LINKS.values() and not option.endswith(VARIANTS)]


def _shortened(message: str) -> str:
    """Jsonargparse's message about a wrong value, without the list of all types that it tried."""
    found = re.match(r'(?:Parser key|Key) "([\w.]+)":(.*)', message)
    if found is None:
        return message
    option, problem = found.groups()
    reasons = problem.partition(" Given value")[0].strip().removeprefix("- ").split(" - ")
    if specific := [reason for reason in reasons if not re.match(r"Expected |Does not validate", reason)]:
        return f"--{option}: {specific[-1]}"
    value = problem.rpartition("alue: ")[2]
    expected = [words for name, words in TYPES.items() if re.search(rf"Expected (a )?<class '{name}'>", problem)][:1]
    if choices := ", ".join(re.findall(r"Expected a typing\.Literal\[(.*?)\]", problem)):
        expected.append(f"one of {choices}")
    if not expected or "import path" in problem:  # a class would do too
        return f"--{option} cannot be {value!r}"
    return f"--{option} must be {' or '.join(expected)}, not {value!r}"
