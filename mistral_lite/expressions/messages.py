"""What the message of a failed evaluation may say: the expression and the cause, never the data.

Exceptions quote values (``invalid literal for int(): 'hunter2'``), YAQL quotes whole receivers. A quoted
piece stays only if the author of the expression wrote it himself or if it names a type.
"""

from __future__ import annotations

import builtins
import re
import sys

from mistral_lite.expressions.limits import LimitReachedError
from mistral_lite.expressions.plain import NotJsonError

_METHOD = re.compile(r'^(?P<what>Unknown|No|Ambiguous) method "(?P<name>[^"]*)" for receiver', re.DOTALL)
_QUOTED = re.compile(r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"", re.DOTALL)
_HIDDEN = "'***'"
# How the context looks to an expression, whatever class it is.
_CONTEXT_TYPES = frozenset({"_View", "_Copies"})
_MAX_CAUSE_CHARS = 500
# These are raised by the interpreter about types and names, never about values.
_ABOUT_TYPES = (TypeError, AttributeError, NameError, LimitReachedError, NotJsonError)


def describe_cause(error: BaseException, expression: str) -> str:
    """Return the cause of a failure of ``expression`` as a short text without data."""
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    if isinstance(error, MemoryError):
        return "not enough memory"
    if isinstance(error, KeyError):
        key = error.args[0] if error.args else ""
        return repr(key) if str(key) in expression else "the mapping has no such key"
    if isinstance(error, StopIteration) and not error.args:
        return "the collection has no element to take; give a default"
    if isinstance(error, UnicodeError):
        return "the text is not valid"
    if type(error).__module__.startswith("dateutil."):
        # The library that reads dates repeats what it was given, without quotes.
        return "the text is no date"
    text = str(error) or type(error).__name__
    if isinstance(error, ValueError) and text.startswith("Exceeds the limit"):
        # The interpreter would have one change a setting of it.
        return f"a number has more than {sys.get_int_max_str_digits()} digits"
    method = _METHOD.match(text)
    if method:
        return _describe_method(method)
    if not isinstance(error, _ABOUT_TYPES):
        text = _QUOTED.sub(lambda piece: _visible(piece.group(), expression), text)
    return text if len(text) <= _MAX_CAUSE_CHARS else text[:_MAX_CAUSE_CHARS] + "…"


def _describe_method(method: re.Match[str]) -> str:
    name = method.group("name")
    match method.group("what"):
        case "Unknown":
            return f'Unknown method "{name}"'
        case "Ambiguous":
            return f'Ambiguous method "{name}"'
        case _:
            return f'No method "{name}" matches supplied arguments'


def _visible(quoted: str, expression: str) -> str:
    inner = quoted[1:-1]
    if inner in _CONTEXT_TYPES:
        return "'dict'"
    if inner in expression or inner.startswith("#") or inner.endswith(" object") or hasattr(builtins, inner):
        return quoted
    return _HIDDEN
