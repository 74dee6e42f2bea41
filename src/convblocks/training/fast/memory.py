"""The C library's memory."""

import ctypes

# glibc's malloc.h.
M_TRIM_THRESHOLD = -1
M_MMAP_THRESHOLD = -3

# Larger blocks than any that training asks for; mallopt takes a C int.
LARGEST_BLOCK = 2**31 - 1

# By mallopt's manual page: freed memory is never returned.
NEVER = -1


def keep_freed_memory() -> None:
    """Keep freed memory in the process instead of returning it to the system after every step.

    Every step frees activations of several MB and the next one asks for as much again. By default glibc gives such
    blocks back and has them mapped and cleared anew. Does nothing with another C library.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # musl and macOS have no mallopt, Windows no CDLL(None)
        return
    mallopt(M_MMAP_THRESHOLD, LARGEST_BLOCK)
    mallopt(M_TRIM_THRESHOLD, NEVER)
