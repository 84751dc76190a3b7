"""The bridge to the plug-in API: what an action is told about where it runs.

Owns the one typed base class of our own actions (``mistral_lib`` carries no types) and the translation of an
order's ``execution`` facts into its ``ActionContext``. Whom an action works for comes from ``executor.credentials``.
"""

from __future__ import annotations

from mistral_lib.actions import Action
from mistral_lib.actions.context import ActionContext, ExecutionContext, SecurityContext

from mistral_lite.jsontext import JsonObject, JsonValue

# What an action may learn of its place; other facts of an order are for the executor alone.
_EXECUTION_FACTS = (
    "workflow_name",
    "workflow_execution_id",
    "task_execution_id",
    "action_execution_id",
    "callback_url",
)


class StandardAction(Action):
    """Base of the actions of this package. The constructor takes the parameters, ``run`` does the work."""

    def run(self, context: ActionContext) -> JsonValue:
        """Do the work and return data or a ``Result``; raise ``ActionError`` to fail with a text."""
        raise NotImplementedError

    def is_sync(self) -> bool:
        """Tell whether what ``run`` returns is the result (else a third party delivers it later)."""
        return True


def build_context(execution: JsonObject, security: SecurityContext | None = None) -> ActionContext:
    """Return the context object for ``Action.run`` from the ``execution`` facts of an order.

    Facts that are absent (an action outside a workflow) are None. ``security``: whom the action works for.
    """
    facts = {name: execution.get(name) for name in _EXECUTION_FACTS}
    return ActionContext(
        security_ctx=security or SecurityContext(project_id=execution.get("project_id")),
        execution_ctx=ExecutionContext(**facts),
    )
