"""Tells the classes of users from those of frameworks, and finds the names that the code
of a class uses: which attributes a user's class adds to one of Lightning's or torch's, and
which it reads.
"""

from collections.abc import Iterator
from functools import cache, cached_property
from inspect import unwrap
from types import CodeType, FunctionType
from typing import Any

# The packages whose classes and functions are a framework's.
FRAMEWORKS = {
    *("builtins", "abc", "typing", "exact_resume", "lightning", "pytorch_lightning"),
    *("lightning_fabric", "lightning_utilities", "torch", "torchdata", "torchmetrics"),
}


def is_frameworks(thing: Any) -> bool:
    """True for a class or a function that is defined in one of ``FRAMEWORKS``."""
    return str(getattr(thing, "__module__", "")).partition(".")[0] in FRAMEWORKS


@cache
def frameworks_names(kind: type) -> frozenset[str]:
    """The names that a class has from its base classes of frameworks, or that these use."""
    bases = [base for base in kind.__mro__ if is_frameworks(base)]
    own = {name for base in bases for name in vars(base)}
    return frozenset(own.union(*map(names_used_by, bases)))


@cache
def own_names_used(kind: type) -> frozenset[str]:
    """The names in the code of a class and of its bases, as far as these are users' own."""
    bases = [base for base in kind.__mro__ if not is_frameworks(base)]
    return frozenset[str]().union(*map(names_used_by, bases))


@cache
def names_used_by(kind: type) -> frozenset[str]:
    """The names and texts in the code of a class, without that of its bases."""
    names = set[str]()
    codes = [function.__code__ for value in vars(kind).values() for function in _functions(value)]
    for code in codes:  # the loop also visits what it appends
        names |= {*code.co_names}
        names |= {text for text in code.co_consts if isinstance(text, str)}
        codes += [part for part in code.co_consts if isinstance(part, CodeType)]
    return frozenset(names)


def _functions(value: Any) -> Iterator[FunctionType]:
    parts = [value]
    if isinstance(value, property):
        parts = [value.fget, value.fset, value.fdel]
    elif isinstance(value, cached_property):
        parts = [value.func]
    elif isinstance(value, classmethod | staticmethod):
        parts = [value.__func__]
    for part in parts:
        inner = unwrap(part) if callable(part) else part
        yield from {one for one in (part, inner) if isinstance(one, FunctionType)}
