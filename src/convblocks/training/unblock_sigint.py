"""Imported last by the server of fork.py, in which Ctrl-C waits until then: what it forks shall heed it."""

import signal

heeded = signal.signal(signal.SIGINT, signal.SIG_IGN)  # one that waits is forgotten: it was meant for who started this
signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
signal.signal(signal.SIGINT, heeded)
