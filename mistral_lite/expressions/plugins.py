"""Expression functions of other installed distributions: entry points of ``mistral.expression.functions``.

Each gets the data context before its arguments. What cannot be loaded is logged and left out.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from importlib.metadata import entry_points

from mistral_lite import log
from mistral_lite.expressions.functions import STANDARD_NAMES
from mistral_lite.jsontext import JsonValue

LOG = logging.getLogger(__name__)

GROUP = "mistral.expression.functions"


def load_functions() -> dict[str, Callable[..., JsonValue]]:
    """Return the functions of plug-ins by name. Those of the standard names are ours, whoever else declares them."""
    functions: dict[str, Callable[..., JsonValue]] = {}
    for entry_point in entry_points(group=GROUP):
        if entry_point.name.rstrip("_") in STANDARD_NAMES:
            continue
        try:
            loaded = entry_point.load()
            if not callable(loaded):
                raise TypeError("it cannot be called")
        except Exception as error:  # noqa: BLE001 - importing foreign code may raise anything
            log.write(
                LOG,
                logging.WARNING,
                log.Event.INTERNAL_ERROR,
                "A plug-in cannot be loaded and was left out",
                plugin=f"{GROUP}:{entry_point.name}",
                error_type=type(error).__name__,
                reason=str(error),
            )
        else:
            functions[entry_point.name] = loaded
    return functions
