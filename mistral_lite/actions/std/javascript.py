"""``std.javascript`` (``std.js``): runs a script in an embedded V8. Needs the optional package py_mini_racer."""

from __future__ import annotations

import json
from importlib import import_module

from mistral_lib.actions.context import ActionContext

from mistral_lite.actions.context import StandardAction
from mistral_lite.errors import ActionError
from mistral_lite.jsontext import JsonValue, dump


class JavaScriptAction(StandardAction):
    """Evaluates JavaScript.

    ``script`` is the body of a function, so ``return`` gives the result. The parameter ``context`` is visible
    in it as ``$``.
    """

    def __init__(self, script: str, context: JsonValue = None) -> None:
        super().__init__()
        self.script = script
        self.context = context

    def run(self, context: ActionContext) -> JsonValue:
        """Run the script and return its value as JSON data; a script that returns nothing gives null."""
        try:
            # Optional: most deployments run no scripts.
            engine = import_module("py_mini_racer")
        except ImportError as error:
            raise ActionError(
                "JavaScriptAction failed: the Python package py_mini_racer is not installed on the executor."
            ) from error
        # Through JSON text both ways: the result is plain data and the engine's own objects stay inside.
        source = f"JSON.stringify((function($) {{ {self.script}\n}})({dump(self.context)}))"
        try:
            text = engine.MiniRacer().eval(source)
            return None if text is None else json.loads(str(text))
        except Exception as error:  # the engine's exception classes differ between its releases
            raise ActionError(f"JavaScriptAction failed: {error}") from error
