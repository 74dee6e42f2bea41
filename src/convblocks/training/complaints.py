"""How ``fit.py`` says in one line what is wrong with its command line or a config."""

import re
from argparse import ArgumentParser
from typing import NoReturn

import jsonargparse

from convblocks.command_line import options_of, with_suggestion
from convblocks.errors import UsageError
from convblocks.model.networks import ARCHITECTURES

# Short option -> what it sets. The right-hand sides cannot be given themselves.
LINKS = {"epochs": "trainer.max_epochs", "batch_size": "data.batch_size", "seed": "data.seed"}

# How the options end that jsonargparse adds to others.
VARIANTS = ("+", ".help")


class FitParser(jsonargparse.ArgumentParser):
    """Complains in one line."""

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
        raise UsageError(_in_short(with_suggestion(" ".join(message.split()), known_options(self)))) from ex


def known_options(parser: ArgumentParser) -> list[str]:
    """The options that may be given to ``fit.py``, without their dashes."""
    return [option for option in options_of(parser) if option not in LINKS.values() and not option.endswith(VARIANTS)]


def _in_short(message: str) -> str:
    """What jsonargparse says of a wrong value, without all the types that it tried."""
    found = re.match(r'(?:Parser key|Key) "([\w.]+)":(.*)', message)
    if found is None:
        return message
    option = found[1]
    reasons, _, given = found[2].strip().removeprefix("- ").partition(" Given value")
    if " - " not in reasons:
        return f"--{option}: {reasons}"
    telling = [one for one in reasons.split(" - ") if not re.match(r"(Expected a|Does not validate)", one)]
    choices = ", ".join(re.findall(r"Expected a typing\.Literal\[(.*?)\]", reasons))
    otherwise = f"choose one of {choices}" if choices else f"it cannot be {given.rpartition('Given value: ')[2]}"
    return f"--{option}: {telling[-1] if telling else otherwise}"
