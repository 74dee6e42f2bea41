"""Stands in for a process of the server's: hands on its arguments, open files and signals, and ends as it does.

It is to be there at once, and so does without pathlib, which is slow to load.
"""

import json
import os
import signal
import socket
import sys
from types import FrameType

HANDED_ON = {signal.SIGINT, signal.SIGTERM, signal.SIGUSR1}


def ask(
    python: str,
    arguments: list[str],
    folder: str,
    environment: dict[str, str],
    files: dict[int, int],
    prepare: str = "",
) -> socket.socket:
    """Let the server fork a process.

    Args:
        python: This program, beside which the server's socket lies.
        arguments: Those of Python.
        folder: The current one of the process.
        environment: All its variables.
        files: Its open files: their numbers there, and here.
        prepare: A function to call first, pickled and in base64, if there is one.

    Returns:
        Where the server writes, a line each, the number of the process, and as soon as it has ended, its exit status.
    """
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(os.path.join(os.path.dirname(python), "socket"))  # noqa: PTH118, PTH120
    socket.send_fds(connection, [b"."], list(files.values()))
    request = {
        "executable": python,
        "arguments": arguments,
        "folder": folder,
        "environment": environment,
        "files": list(files),
        "prepare": prepare,
    }
    connection.sendall(json.dumps(request).encode() + b"\n")
    return connection


def main() -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, HANDED_ON)  # until there is a process to hand them on to
    python = os.path.abspath(__file__)  # noqa: PTH100
    files = {number: number for number in map(int, os.listdir("/proc/self/fd")) if is_inherited(number)}  # noqa: PTH208
    connection = ask(python, sys.argv[1:], os.getcwd(), dict(os.environ), files)  # noqa: PTH109
    with connection, connection.makefile("rb") as answers:
        process = int(answers.readline())

        def hand_on(number: int, frame: FrameType | None) -> None:
            os.kill(process, number)

        for number in HANDED_ON:
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, hand_on)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, HANDED_ON)
        status = int(answers.readline())
    if status >= 0:
        os._exit(status)
    if -status != signal.SIGKILL:
        signal.signal(-status, signal.SIG_DFL)
    os.kill(os.getpid(), -status)


def is_inherited(number: int) -> bool:
    try:
        return os.get_inheritable(number)  # those of this program itself are not
    except OSError:  # of the listing
        return False


if __name__ == "__main__":
    main()
