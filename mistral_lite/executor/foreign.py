"""Objects in results of actions, as data: clients of services return objects of classes of their own.

Such an object is what its ``to_dict`` returns; else a list, if it can be gone through; else its attributes by name.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping, Set
from enum import Enum
from types import GeneratorType, ModuleType

from mistral_lite.jsontext import JsonValue, dump, json_form, load

# Of objects in objects in objects nothing is shown: there are connections, with tokens.
_DEEPEST = 2
# What has a form of its own, or is a text, whatever attributes it has.
_KNOWN = (str, bytes, int, float, list, tuple, Mapping, Set, Enum)
_TEXTS = (type, ModuleType, BaseException, io.IOBase)


def plain_data(value: object) -> JsonValue:
    """Return ``value`` as the JSON data that the engine will see.

    Raises whatever the code of a foreign object raises, and ``TypeError`` or ``ValueError`` for what is no data.
    """
    if value is None or isinstance(value, bool):
        return value
    # An iterator can be gone through once, and writing may begin anew. The object is kept, so that its id stays its own.
    shown: dict[int, tuple[object, object]] = {}

    def form(found: object) -> object:
        if id(found) not in shown:
            shown[id(found)] = found, _form(found, 1)
        return shown[id(found)][1]

    return load(dump(value, form))


def _form(value: object, depth: int) -> object:
    """Return the data for an object that JSON does not know; ``depth``: in how many objects it is, with itself."""
    if not _is_foreign(value) or callable(getattr(value, "to_dict", None)):
        return json_form(value)
    if depth > _DEEPEST:
        return None
    if isinstance(value, Iterable):
        return [_within(member, depth) for member in value]
    return {name: _within(member, depth + 1) for name, member in vars(value).items()}


def _within(value: object, depth: int) -> object:
    """Return what an object holds with the objects in it as data."""
    if isinstance(value, Mapping):
        return {name: _within(member, depth) for name, member in value.items()}
    if isinstance(value, (list, tuple, Set)):
        return [_within(member, depth) for member in value]
    return _form(value, depth) if _is_foreign(value) else value


def _is_foreign(value: object) -> bool:
    """Tell whether what an object holds says what it is."""
    if isinstance(value, GeneratorType):
        return True
    return hasattr(value, "__dict__") and not isinstance(value, (*_KNOWN, *_TEXTS)) and not callable(value)
