"""Preloaded last in the fork server: unblocks SIGINT so that child processes react to Ctrl-C."""

import signal

handler = signal.signal(signal.SIGINT, signal.SIG_IGN)  # drops a pending Ctrl-C: it was meant for the parent process
signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
signal.signal(signal.SIGINT, handler)
