"""Names that the code of classes uses: what is a user's own in a class that is derived
from one of Lightning's or torch's, and what it reads.
"""

from collections.abc import Iterator
from functools import cache, cached_property
from inspect import unwrap
from types import CodeType, FunctionType
from typing import Any

# Packages whose classes are no user's own.
FRAMEWORKS = {
    *("builtins", "abc", "typing", "exact_resume", "lightning", "pytorch_lightning"),
    *("lightning_fabric", "lightning_utilities", "torch", "torchdata", "torchmetrics"),
}


def is_frameworks(thing: Any) -> bool:
    """Whether a class or a function is defined in such a package."""
    return str(getattr(thing, "__module__", "")).partition(".")[0] in FRAMEWORKS


@cache
def frameworks_names(kind: type) -> frozenset[str]:
    """The names that a class has from, or that are used by, those of its base classes
    that are no user's own.
    """
    bases = [base for base in kind.__mro__ if is_frameworks(base)]
    own = {name for base in bases for name in vars(base)}
    return frozenset(own.union(*map(names_used_by, bases)))


@cache
def own_names_used(kind: type) -> frozenset[str]:
    """The names that the code of a user's own classes uses, among a class and its bases."""
    bases = [base for base in kind.__mro__ if not is_frameworks(base)]
    return frozenset[str]().union(*map(names_used_by, bases))


@cache
def names_used_by(kind: type) -> frozenset[str]:
    """The names and texts in the code of a class itself."""
    names = set[str]()
    codes = [function.__code__ for value in vars(kind).values() for function in _functions(value)]
    for code in codes:  # also what is appended
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
