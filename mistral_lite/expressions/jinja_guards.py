"""Checks in front of the operations of Jinja2 that can build much from little.

Owns the knowledge which method or filter grows how; the limits themselves are those of ``limits.py``. A check
either returns, or raises ``LimitReachedError`` before anything was built.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import update_wrapper
from typing import Any

from mistral_lite.expressions.limits import Guard, LimitReachedError

WIDTH = re.compile(r"\d{5,}")
"""A width in a format that is refused."""

# They look from the back, or look each character up in all of the argument.
_QUADRATIC_METHODS = frozenset({"rfind", "rindex", "rsplit", "rpartition", "strip", "lstrip", "rstrip"})
_PADDING_METHODS = frozenset({"center", "ljust", "rjust", "zfill", "expandtabs"})


def check_call(guard: Guard, obj: Any, args: tuple[Any, ...]) -> None:
    """Check a call of a method that can build much from little."""
    owner, name = getattr(obj, "__self__", None), getattr(obj, "__name__", "")
    if isinstance(owner, int) and name == "to_bytes" and args:
        guard.charge(int(args[0]))
    if not isinstance(owner, (str, bytes)):
        return
    if name in _QUADRATIC_METHODS and args and isinstance(args[0], (str, bytes)):
        guard.steps(len(owner), len(args[0]))
    elif name in _PADDING_METHODS and args and isinstance(args[0], int):
        guard.charge_text(args[0] * (len(owner) + 1 if name == "expandtabs" else 1))
    elif name == "replace" and len(args) >= 2 and isinstance(owner, str):
        guard.replace(owner, str(args[0]), str(args[1]))
    elif name == "join" and args and isinstance(args[0], (list, tuple, dict)):
        guard.charge_text(sum(len(part) + len(owner) for part in args[0] if isinstance(part, (str, bytes))))
    elif name == "join":
        raise LimitReachedError("join() needs a list; add |list")
    elif name == "translate" and args and isinstance(args[0], Mapping):
        longest = max((len(part) for part in args[0].values() if isinstance(part, str)), default=1)
        guard.charge_text(len(owner) * longest)


def check_percent(guard: Guard, text: str, values: object) -> None:
    """Check ``text % values``: widths, also those taken from the values, and what is inserted."""
    if WIDTH.search(text) or ("*" in text and _has_large_integer(values)):
        raise LimitReachedError("a format has a width of more than 9999")
    guard.charge_text(len(text) + len(guard.text_of(values)) * max(1, text.count("%(")))


def _has_large_integer(values: object) -> bool:
    items = values if isinstance(values, tuple) else (values,)
    return any(isinstance(item, int) and abs(item) > 9999 for item in items)


def guard_filter(name: str, call: Callable[..., Any], guard: Guard) -> Callable[..., Any]:
    """Return a filter of the library with the guard before and after it."""
    # Some filters get the template's settings before the value.
    skipped = 1 if hasattr(call, "jinja_pass_arg") else 0
    check = _FILTER_CHECKS.get(name)

    def guarded(*args: Any, **kwargs: Any) -> Any:
        own = args[skipped:]
        if check is not None and own:
            check(guard, own, kwargs)
        result = call(*args, **kwargs)
        guard.charge_value(result)
        return result

    return update_wrapper(guarded, call)


def _argument(
    args: tuple[Any, ...], kwargs: Mapping[str, Any], position: int, name: str, default: Any
) -> Any:
    return args[position] if len(args) > position else kwargs.get(name, default)


def _check_width(guard: Guard, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
    width = _argument(args, kwargs, 1, "width", 4)
    size = width if isinstance(width, int) else len(str(width))
    guard.charge_text(size * (guard.text_of(args[0]).count("\n") + 1))


def _check_count(guard: Guard, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
    for value in (*args[1:2], *kwargs.values()):
        if isinstance(value, int) and value > guard.max_items:
            raise LimitReachedError(f"a filter is asked for more than {guard.max_items} elements")


def _check_precision(_guard: Guard, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
    precision = _argument(args, kwargs, 1, "precision", 0)
    if isinstance(precision, int) and abs(precision) > 308:
        raise LimitReachedError("a number is rounded to more than 308 digits")


def _check_filter_replace(guard: Guard, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
    old, new = _argument(args, kwargs, 1, "old", ""), _argument(args, kwargs, 2, "new", "")
    guard.replace(guard.text_of(args[0]), str(old), str(new))


def _check_filter_join(guard: Guard, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
    # A generator can be walked only once; what it yields was accounted for when it was built.
    if isinstance(args[0], (list, tuple, dict, range)):
        separator = str(_argument(args, kwargs, 1, "d", ""))
        guard.text_of(args[0])
        guard.charge_text(len(separator) * len(args[0]))
    elif len(str(_argument(args, kwargs, 1, "d", ""))) > 4096:
        raise LimitReachedError("join gets a separator of more than 4096 characters")


def _check_filter_format(guard: Guard, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
    check_percent(guard, str(args[0]), args[1:] or dict(kwargs))


def _check_sort(guard: Guard, args: tuple[Any, ...], _kwargs: Mapping[str, Any]) -> None:
    guard.order(args[0])


def _check_text(guard: Guard, args: tuple[Any, ...], _kwargs: Mapping[str, Any]) -> None:
    guard.text_of(args[0])


def _check_trim(guard: Guard, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
    characters = _argument(args, kwargs, 1, "chars", None)
    guard.steps(len(guard.text_of(args[0])), len(str(characters or "")))


_FilterCheck = Callable[[Guard, tuple[Any, ...], Mapping[str, Any]], None]
# They make a text of whatever they get.
_TEXT_FILTERS = (
    *(
        "capitalize",
        "e",
        "escape",
        "forceescape",
        "lower",
        "pprint",
        "string",
        "striptags",
        "title",
        "tojson",
    ),
    *("truncate", "upper", "urlencode", "urlize", "wordcount", "wordwrap", "xmlattr"),
)
_FILTER_CHECKS: dict[str, _FilterCheck] = {
    "center": _check_width,
    "indent": _check_width,
    "batch": _check_count,
    "slice": _check_count,
    "round": _check_precision,
    "replace": _check_filter_replace,
    "join": _check_filter_join,
    "format": _check_filter_format,
    "trim": _check_trim,
    **dict.fromkeys(("dictsort", "groupby", "max", "min", "sort", "unique"), _check_sort),
    **dict.fromkeys(_TEXT_FILTERS, _check_text),
}
