"""Turn what an evaluation returned into plain JSON data, within the limits.

Owns the border between the values of the languages (generators, sets, dates, read-only mappings, undefined
names) and JSON. Data that came from the context are returned as they are, never copied.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from datetime import date, datetime
from typing import TypeVar

from mistral_lite.expressions.limits import Guard, LimitReachedError
from mistral_lite.jsontext import JsonValue

_SCALARS = frozenset({int, float, bool, type(None)})
_ATOMS = _SCALARS | {str}
_NODE_BYTES = 8
# Python refuses to write longer ones as text.
_MAX_DIGITS = 4000
_LARGEST_INT = 10**_MAX_DIGITS - 1

T = TypeVar("T")


class NotJsonError(Exception):
    """A result has no JSON form; the text names its type."""


class PlainMapping(Mapping[str, JsonValue]):
    """A read-only, hashable wrapper over plain JSON data; what is nested is wrapped only when it is read."""

    __slots__ = ("_data", "_hash", "_wrapped")

    def __init__(self, data: Mapping[str, JsonValue]) -> None:
        self._data = data
        self._wrapped: dict[str, object] = {}
        self._hash: int | None = None

    def plain_data(self) -> JsonValue:
        """Return the data behind the wrapper, not copied."""
        return self._data if type(self._data) is dict else dict(self._data)

    def __getitem__(self, key: str) -> JsonValue:
        if key in self._wrapped:
            return self._wrapped[key]
        value = self._data[key]
        if type(value) in _ATOMS:
            return value
        wrapped = self._wrapped[key] = read_only(value)
        return wrapped

    def __contains__(self, key: object) -> bool:
        return key in self._data

    def __iter__(self) -> Iterator[str]:
        return iter(self._data)

    def __len__(self) -> int:
        return len(self._data)

    def __hash__(self) -> int:
        # The same as YAQL's own read-only mapping has: equal values must have equal hashes.
        if self._hash is None:
            result = 0
            for pair in self.items():
                result ^= hash(pair)
            self._hash = result
        return self._hash

    def __repr__(self) -> str:
        return repr(dict(self.items()))


def read_only(value: JsonValue) -> object:
    """Return plain JSON data in a hashable form: mappings wrapped, lists as tuples."""
    kind = type(value)
    if kind in _ATOMS:
        return value
    if kind is list:
        return tuple([read_only(item) for item in value])
    if isinstance(value, Mapping):
        return PlainMapping(value)
    return value


class PlainConverter:
    """Converts one result. Not reusable: it counts what it has built.

    ``for_text`` keeps sets and dates as they are, since a text shows them by ``str()``.
    """

    __slots__ = ("_for_text", "_guard", "_left", "_sets_as_lists", "_tuples_as_lists")

    def __init__(
        self,
        guard: Guard,
        *,
        for_text: bool = False,
        sets_as_lists: bool = False,
        tuples_as_lists: bool = True,
    ) -> None:
        self._guard = guard
        self._left = guard.max_bytes
        self._for_text = for_text
        self._sets_as_lists = sets_as_lists
        # Only a text can show the difference between a tuple and a list.
        self._tuples_as_lists = tuples_as_lists or not for_text

    def convert(self, value: object) -> JsonValue:
        """Return ``value`` as plain JSON data. Raises ``NotJsonError`` and ``LimitReachedError``."""
        kind = type(value)
        if kind is str:
            self._take(len(value))  # type: ignore[arg-type]
            return value
        if kind in _SCALARS:
            self._take(_NODE_BYTES)
            if kind is int and not -_LARGEST_INT <= value <= _LARGEST_INT:
                raise LimitReachedError(f"its result holds an integer of more than {_MAX_DIGITS} digits")
            return value
        self._take_node()
        if kind is PlainMapping:
            return value.plain_data()  # type: ignore[attr-defined]
        if isinstance(value, Mapping):
            return {self._key(key): self.convert(item) for key, item in self._limited(value.items())}
        if isinstance(value, AbstractSet):
            return self._set(value)
        if isinstance(value, str):
            return str(value)
        if isinstance(value, Iterable) and not isinstance(value, (bytes, bytearray)):
            items = [self.convert(item) for item in self._limited(value)]
            return items if self._tuples_as_lists or not isinstance(value, tuple) else tuple(items)
        return self._scalar(value)

    def _take(self, size: int) -> None:
        self._left -= size
        if self._left < 0:
            raise LimitReachedError(f"its result is larger than {self._guard.max_bytes} bytes")

    def _take_node(self) -> None:
        self._take(_NODE_BYTES)

    def _limited(self, items: Iterable[T]) -> Iterator[T]:
        for index, item in enumerate(items):
            if index >= self._guard.max_items:
                raise LimitReachedError(
                    f"a collection in its result has more than {self._guard.max_items} elements"
                )
            yield item

    def _set(self, value: AbstractSet[object]) -> JsonValue:
        items = (self.convert(item) for item in self._limited(value))
        if self._sets_as_lists:
            return list(items)
        # A set of lists cannot be built: users know the error, and `.toList()` as its cure.
        unique = set(items)
        return unique if self._for_text else list(unique)

    def _key(self, key: object) -> JsonValue:
        if type(key) is str:
            self._take(len(key))
            return key
        plain = self.convert(key)
        hash(plain)
        if self._for_text or isinstance(plain, str):
            return plain
        if plain is None:
            return "null"
        if isinstance(plain, bool):
            return "true" if plain else "false"
        return str(plain)

    def _scalar(self, value: object) -> JsonValue:
        if isinstance(value, (int, float)):
            return value
        if self._for_text:
            return value
        if isinstance(value, datetime):
            return value.strftime("%Y-%m-%dT%H:%M:%S.%f")
        if isinstance(value, date):
            return value.isoformat()
        if isinstance(value, bytes):
            return value.decode("utf-8")
        raise NotJsonError(
            f"the result holds a value of type '{type(value).__name__}', which is no JSON data;"
            " turn it into a text or a number"
        )
