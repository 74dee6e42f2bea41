"""The program ``python`` of quick_python.py: lets a process be forked, hands on
signals, and ends as that process does.

It is to be there at once, and so imports little.
"""

import json
import os
import signal
import socket
import sys
from types import FrameType

HANDED_ON = {signal.SIGINT, signal.SIGTERM, signal.SIGUSR1}


def main() -> None:
    # Until there is a process to hand them on to.
    signal.pthread_sigmask(signal.SIG_BLOCK, HANDED_ON)
    with socket.socket(socket.AF_UNIX) as server:
        server.connect(f"{__file__}.socket")
        socket.send_fds(server, [b"."], [0, 1, 2])
        folder = os.getcwd()  # noqa: PTH109  # pathlib is slow to load
        server.sendall(json.dumps([sys.argv[1:], folder, dict(os.environ)]).encode() + b"\n")
        with server.makefile() as answers:
            process = int(answers.readline())

            def hand_on(number: int, frame: FrameType | None) -> None:
                os.kill(process, number)

            for number in HANDED_ON:
                if signal.getsignal(number) is not signal.SIG_IGN:
                    signal.signal(number, hand_on)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, HANDED_ON)
            status = int(answers.readline())
    if status < 0:
        if -status != signal.SIGKILL:
            signal.signal(-status, signal.SIG_DFL)
        os.kill(os.getpid(), -status)
    os._exit(status)


if __name__ == "__main__":
    main()
