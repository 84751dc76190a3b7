"""The values that closures pass to each other, and what one evaluation may build of them.

A value is of the type that it has in the library, with two exceptions: data are plain (the library wraps every
mapping and turns every list into a tuple), and texts are split into a ``MutableList`` (a list in the library,
where the lists of the data are tuples). So a ``list`` or a ``dict`` is always data, and whatever is computed is a
tuple, a ``ComputedMapping``, an iterator, a view of a mapping or an ``Ordered``, with the library's rules: an
iterator is read once, it has no index and is always true.
"""

from __future__ import annotations

from collections.abc import Callable, ItemsView, Iterator, KeysView, Mapping, Sequence, ValuesView
from typing import Any

from mistral_lite.expressions.functions import Scope
from mistral_lite.expressions.limits import Guard

# Any value as described above.
Value = Any
SCALARS = frozenset({str, int, float, bool, type(None)})
NUMBERS = frozenset({int, float})
# Characters and eight-byte references that one evaluation may build, so that nothing here needs containment.
_MAX_BUILT = 1024 * 1024
_MAX_TEXT = 65_536
_LARGEST_INT = 2**1023
_VIEWS = (KeysView, ValuesView, ItemsView)


class NotFastError(Exception):
    """This expression, or these data, are for the library."""


class MutableList(list[Value]):
    """What the library keeps as a list: like a tuple, but no other collection may be added to it."""


class ComputedMapping(dict[Value, Value]):
    """A mapping that is no data: its keys may be any scalars, its values anything."""


class Ordered:
    """What ``orderBy`` returns: it may be walked again and again, and has neither length nor index."""

    __slots__ = ("_items",)

    def __init__(self, items: Sequence[Value]) -> None:
        self._items = items

    def __iter__(self) -> Iterator[Value]:
        return iter(self._items)


ListIterator: type = type(iter([]))
SEQUENCES = frozenset({list, tuple, MutableList})


class Run:
    """One evaluation: what it looks at and what it may still build."""

    __slots__ = ("_left", "guard", "scope")

    def __init__(self, guard: Guard, scope: Scope) -> None:
        self.guard = guard
        self.scope = scope
        self._left = _MAX_BUILT

    def spend(self, size: int) -> None:
        """Account for ``size`` characters, or for ``size / 8`` elements, that are built."""
        self._left -= size
        if self._left < 0:
            raise NotFastError


# The second argument is what ``$`` means: the data, or the element that a function looks at.
Closure = Callable[[Run, Value], Value]


def elements(run: Run, value: Value) -> Sequence[Value]:
    """Return the elements of a collection, of which a new one of that length may be built."""
    kind = type(value)
    if kind in SEQUENCES:
        found: Sequence[Value] = value
    elif kind is ListIterator or kind is Ordered or isinstance(value, _VIEWS):
        found = list(value)
    else:
        raise NotFastError
    if len(found) > run.guard.max_items:
        raise NotFastError
    run.spend(8 * len(found))
    return found


def text(value: Value) -> str:
    """Return ``value``, which must be a text that is quickly read."""
    if type(value) is not str or len(value) > _MAX_TEXT:
        raise NotFastError
    return value


def optional_text(value: Value) -> str | None:
    """Return ``value``, which must be such a text or null."""
    return None if value is None else text(value)


def integer(value: Value) -> int:
    """Return ``value``, which must be an integer."""
    if type(value) is not int:
        raise NotFastError
    return value


def scalar(value: Value) -> Value:
    """Return ``value``, which must have no parts: the others are equal, and hashed, in ways of the library."""
    if type(value) not in SCALARS:
        raise NotFastError
    return value


def mapping(value: Value) -> Mapping[Value, Value]:
    """Return ``value``, which must be a mapping."""
    if not isinstance(value, Mapping):
        raise NotFastError
    return value


def small(number: Value) -> Value:
    """Return a computed number, unless it is so large that limits must be looked at."""
    if type(number) is int and not -_LARGEST_INT < number < _LARGEST_INT:
        raise NotFastError
    return number


def member(value: Value, key: str) -> Value:
    """Return what ``value.key`` is: of a collection, that of each element."""
    kind = type(value)
    if kind is dict or isinstance(value, Mapping):
        return value[key]
    if kind in SEQUENCES or kind is ListIterator:
        return iter([member(item, key) for item in value])
    raise NotFastError
