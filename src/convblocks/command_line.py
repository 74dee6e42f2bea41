"""Parser shared by all commands but ``fit``, which has a parser of its own."""

import json
import re
from argparse import Action, ArgumentParser, ArgumentTypeError
from collections.abc import Collection
from difflib import get_close_matches
from typing import NoReturn

from convblocks.errors import UsageError

# The beginning of argparse's and jsonargparse's message for unknown options.
UNKNOWN = "unrecognized arguments: "

# Options of Lightning's, and ours.
RENAMED = {"seed_everything": "seed", "ckpt_path": "resume"}


# More than any machine has: a slip of the finger.
MOST_THREADS = 1024


class Parser(ArgumentParser):
    """Raises a one-line UsageError instead of exiting.

    Options cannot be abbreviated: a new option must not change the meaning of an old command line.
    """

    def __init__(self) -> None:
        super().__init__(allow_abbrev=False)

    def add_weights_only(self) -> None:
        """The option that trusts the objects in a checkpoint."""
        self.add_argument("--weights_only", type=json.loads, choices=(True, False), default=True)

    def add_loading(self) -> None:
        """The options of loading a checkpoint: which network that it names is trusted, whether
        its objects are, and the CPU threads of the network.
        """
        self.add_argument("--arch", action="append", default=[])
        self.add_weights_only()
        self.add_argument("--threads", type=thread_count)

    def error(self, message: str) -> NoReturn:
        raise UsageError(with_suggestion(message, options_of(self)))


def thread_count(text: str) -> int:
    """A number of CPU threads, from a command line."""
    if not (text.isdecimal() and 1 <= int(text) <= MOST_THREADS):
        raise ArgumentTypeError(f"must be a whole number from 1 to {MOST_THREADS:,}")
    return int(text)


def options_of(parser: ArgumentParser) -> dict[str, Action]:
    """The options of a parser, by their names without dashes."""
    return {
        option.removeprefix("--"): action
        for option, action in parser._option_string_actions.items()
        if option.startswith("--")
    }


def with_suggestion(message: str, options: Collection[str], cutoff: float = 0.57) -> str:
    """A parser's error message; if it is about unknown options, with a suggestion for
    the first of them, as like as the cutoff in 0..1 says.
    """
    if not message.startswith(UNKNOWN):
        return message
    word = next((word for word in message.split() if word.startswith("--")), "")
    unknown = word.partition("=")[0].removeprefix("--")
    initials = "".join(part[:1] for part in re.split("[-_]", unknown))  # learning_rate: lr
    nearest = RENAMED.get(unknown, initials)
    if nearest not in options:
        nearest = "".join(get_close_matches(unknown, options, n=1, cutoff=cutoff))
    return f"{message}: did you mean --{nearest}?" if nearest else message
