"""A setting of the C library's memory allocator."""

import ctypes

# glibc's malloc.h.
M_TRIM_THRESHOLD = -1
M_MMAP_THRESHOLD = -3

# More than any block that training allocates; mallopt takes a C int.
LARGEST_BLOCK = 2**31 - 1

# See mallopt's manual page: freed memory is never returned.
NEVER = -1


def keep_freed_memory() -> None:
    """Keep freed memory in the process instead of returning it to the system after every step.

    Every step frees activations of several MB, and the next allocates as much. By default glibc returns such blocks to
    the system, which maps and clears them again. Does nothing with other C libraries.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # musl and macOS have no mallopt, Windows no CDLL(None)
        return
    mallopt(M_MMAP_THRESHOLD, LARGEST_BLOCK)
    mallopt(M_TRIM_THRESHOLD, NEVER)
