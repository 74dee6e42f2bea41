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


def main() -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, HANDED_ON)  # until there is somebody to hand them on to
    python = os.path.abspath(__file__)  # noqa: PTH100
    files = inherited()
    request = {
        "executable": python,
        "arguments": sys.argv[1:],
        "folder": os.getcwd(),  # noqa: PTH109
        "environment": dict(os.environ),
        "files": files,
    }
    with socket.socket(socket.AF_UNIX) as connection, connection.makefile("rb") as answers:
        connection.connect(os.path.join(os.path.dirname(python), "socket"))  # noqa: PTH118, PTH120
        socket.send_fds(connection, [b"."], files)
        connection.sendall(json.dumps(request).encode() + b"\n")
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


def inherited() -> list[int]:
    """The open files that it was started with."""
    return [number for number in map(int, os.listdir("/proc/self/fd")) if is_open(number)]  # noqa: PTH208


def is_open(number: int) -> bool:
    try:
        return os.get_inheritable(number)  # those of this program itself are not
    except OSError:  # of the listing
        return False


main()
