"""Processes in which benchmarks measure, one turn at a time, and the options that
benchmarks share.
"""

import gc
import io
import multiprocessing
import os
import sys
from argparse import Namespace
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from multiprocessing.connection import Connection, wait
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from lightning.fabric.plugins.environments.lightning import find_free_network_port

from convblocks.command_line import Parser
from convblocks.compare.forked import context, die_with_parent
from convblocks.compare.options import not_negative, positive
from convblocks.console import echo
from convblocks.errors import UserError
from convblocks.figures.tables import to_console
from convblocks.record.directory import LOGS
from lab import NETWORKS
from lab.benchmarks.rows import Labels, Results, Row
from lab.pages.writing import Block, Picture, output_folder, write_page

# Gives a process its next turn, and returns what it measured.
TakeTurn = Callable[[], list[Row]]

# The other side of it: a process has everything built and warm, waits for its turn by
# recv(), measures, and ends the turn by send(rows). So processes can alternate every second.
Turns = Connection

# The labels of a case, and the processes that take turns at it.
Measured = tuple[Labels, AbstractContextManager[TakeTurn]]

# Of a process that has all to itself: torch's choice, which OMP_NUM_THREADS sets.
THREADS = torch.get_num_threads()

# What a ratio needs for a verdict. It has no interval, of order statistics, below 6 rounds.
ROUNDS = 12


@contextmanager
def in_turns(
    threads: int, function: Callable[..., None], *arguments: object, ranks: int = 1
) -> Iterator[TakeTurn]:
    """A function that gives the next turn to processes that run ``function(*arguments,
    turns)``.

    They have done their imports, are in an empty folder, and their output is thrown
    away. At the end they are killed. Several ranks are a process group for Lightning;
    the first one's rows count.
    """
    forks = context(function.__module__)
    port = find_free_network_port()
    with ExitStack() as stack:
        folder = stack.enter_context(TemporaryDirectory(ignore_cleanup_errors=True))
        connections = []
        for rank in range(ranks):
            connection, theirs = forks.Pipe()
            environment = {}
            if ranks > 1:
                environment = {
                    "WORLD_SIZE": str(ranks),
                    "MASTER_ADDR": "127.0.0.1",
                    "MASTER_PORT": str(port),
                    "NODE_RANK": "0",
                    "LOCAL_RANK": str(rank),
                }
            given = (threads, environment, folder, function, arguments, theirs)
            process = forks.Process(target=_take_turns, args=given)
            process.start()
            theirs.close()
            stack.callback(process.join)
            stack.callback(process.kill)
            connections.append(connection)

        def take_turn() -> list[Row]:
            for connection in connections:
                with suppress(ConnectionError):  # the process has ended; its answer tells why
                    connection.send(None)
            # Whoever answers first: where one has failed, others wait for it or fail too.
            answers: dict[object, list[Row]] = {}
            while len(answers) < ranks:
                for ready in wait(set(connections).difference(answers)):
                    answers[ready] = _received(ready)
            return answers[connections[0]]

        yield take_turn


def _received(connection: Any) -> list[Row]:
    try:
        answer: list[Row] | Exception = connection.recv()
    except (EOFError, ConnectionError):
        raise UserError("a process that measures was killed, perhaps for want of memory") from None
    if isinstance(answer, Exception):
        raise answer
    return answer


def _take_turns(
    threads: int,
    environment: dict[str, str],
    folder: str,
    function: Callable[..., None],
    arguments: Sequence[object],
    connection: Connection,
) -> None:
    die_with_parent()
    os.environ |= environment
    os.chdir(folder)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        os.dup2(nowhere, stream.fileno())
    if not environment:  # output as a terminal would take it: then progress bars are drawn
        sys.stdout = sys.stderr = _Terminal()
    # A forked process copies the memory that it writes to, and the collector writes to
    # every object: without this it would do so in the middle of the measurement, where
    # a process of its own would not.
    gc.collect()
    # Processes that load images start as in any script, and not from another server,
    # which would do all imports again.
    usual = multiprocessing.get_all_start_methods()[0]
    multiprocessing.set_start_method(usual, force=True)
    torch.set_num_threads(threads)
    try:
        function(*arguments, connection)
    except Exception as error:
        connection.send(error)


def measure_in_turns(results: Results, cases: Iterable[Measured]) -> None:
    """Measure cases side by side, each in processes that wait until it is their turn,
    in all rounds.
    """
    known = list(cases)
    with ExitStack() as stack:
        tasks = [(labels, stack.enter_context(turns)) for labels, turns in known]
        results.measure(tasks, results.rounds, warm_up=True)


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True

    def write(self, text: str) -> int:
        return len(text)


def publish(name: str, blocks: Sequence[Block], results: Results, out: Path) -> None:
    """Print the tables, and write page, pictures and raw numbers."""
    for block in blocks:
        if not isinstance(block, str | Picture):
            to_console(block)
    results.write(out / "data" / f"{name}.json")
    write_page(output_folder(out / "lab") / f"{name}.md", *blocks)
    echo(f"Written to {out / 'lab' / name}.md and {out / 'data' / name}.json.")


def parser_with_out() -> Parser:
    """With the option that all benchmarks have: the folder that they write to."""
    parser = Parser()
    folder = str(LOGS / "benchmark")
    parser.add_argument("--out", type=lambda path: output_folder(Path(path)), default=folder)
    return parser


def parse(arguments: list[str], own: str, least: int, default: int | None = None) -> Namespace:
    """The options of a benchmark of speed, each network once: those that all have, and
    one of its own, which is a number.
    """

    def number(text: str) -> int:
        return not_negative(text, least)

    parser = parser_with_out()
    parser.add_argument("--arch", nargs="+", default=NETWORKS, choices=NETWORKS)
    parser.add_argument("--rounds", type=positive, default=ROUNDS)
    parser.add_argument(own, type=number, default=default)
    options = parser.parse_args(arguments)
    options.arch = list(dict.fromkeys(options.arch))
    return options
