"""The access rules: names and defaults of Mistral, two for maintenance added.

Operators replace them in the policy file. Which route asks which rule is said by the route itself; the
operations below only document it, and a test compares the two.
"""

from __future__ import annotations

from oslo_policy import policy

ADMIN = "rule:admin_only"
ANYBODY = "rule:admin_or_owner"


def _rule(name: str, check: str, description: str, *operations: str) -> policy.DocumentedRuleDefault:
    """Return a rule; ``operations`` are like ``GET /v2/workflows``."""
    documented: list[policy.Operation] = [
        {"method": method, "path": path} for method, path in (each.split() for each in operations)
    ]
    return policy.DocumentedRuleDefault(name, check, description, documented)


_BASE = (
    policy.RuleDefault("admin_only", "is_admin:True", "Callers with the role admin."),
    policy.RuleDefault(
        "admin_or_owner",
        "is_admin:True or project_id:%(project_id)s",
        "Every caller: the project compared with is the caller's own. Whose objects a caller may see and "
        "change is not a matter of these rules.",
    ),
)

_ACTIONS = (
    _rule("actions:create", ANYBODY, "Upload ad-hoc actions.", "POST /v2/actions"),
    _rule(
        "actions:delete",
        ANYBODY,
        "Delete an ad-hoc action.",
        "DELETE /v2/actions/{identifier}",
        "DELETE /v2/actions/{identifier}/{namespace}",
    ),
    _rule(
        "actions:get",
        ANYBODY,
        "Read an action.",
        "GET /v2/actions/{identifier}",
        "GET /v2/actions/{identifier}/{namespace}",
    ),
    _rule("actions:list", ANYBODY, "List actions.", "GET /v2/actions"),
    _rule("actions:publicize", ADMIN, "Make an action public.", "POST /v2/actions", "PUT /v2/actions"),
    _rule(
        "actions:update",
        ANYBODY,
        "Replace ad-hoc actions.",
        "PUT /v2/actions",
        "PUT /v2/actions/{identifier}",
    ),
)

_ACTION_EXECUTIONS = (
    _rule("action_executions:create", ANYBODY, "Run an action on its own.", "POST /v2/action_executions"),
    _rule(
        "action_executions:delete",
        ANYBODY,
        "Delete a finished stand-alone run.",
        "DELETE /v2/action_executions/{id}",
    ),
    _rule(
        "action_executions:get",
        ANYBODY,
        "Read an action execution.",
        "GET /v2/action_executions/{id}",
        "GET /v2/tasks/{id}/action_executions/{action_execution_id}",
    ),
    _rule(
        "action_executions:list",
        ANYBODY,
        "List action executions.",
        "GET /v2/action_executions",
        "GET /v2/tasks/{id}/action_executions",
    ),
    _rule(
        "action_executions:update",
        ANYBODY,
        "Deliver a result, pause or resume an action.",
        "PUT /v2/action_executions/{id}",
        "POST /v2/action_executions/{id}",
    ),
)

_CODE_SOURCES = (
    _rule("code_sources:create", ADMIN, "Upload a code source.", "POST /v2/code_sources"),
    _rule("code_sources:delete", ADMIN, "Delete a code source.", "DELETE /v2/code_sources/{identifier}"),
    _rule(
        "code_sources:get",
        ADMIN,
        "Read a code source.",
        "GET /v2/code_sources/{identifier}",
        "GET /v2/code_sources/{identifier}/{namespace}",
    ),
    _rule("code_sources:list", ADMIN, "List code sources.", "GET /v2/code_sources"),
    _rule(
        "code_sources:publicize",
        ADMIN,
        "Make a code source public.",
        "POST /v2/code_sources",
        "PUT /v2/code_sources",
    ),
    _rule(
        "code_sources:update",
        ADMIN,
        "Replace a code source.",
        "PUT /v2/code_sources",
        "PUT /v2/code_sources/{identifier}",
    ),
)

_CRON_TRIGGERS = (
    _rule("cron_triggers:create", ANYBODY, "Create a cron trigger.", "POST /v2/cron_triggers"),
    _rule("cron_triggers:delete", ANYBODY, "Delete a cron trigger.", "DELETE /v2/cron_triggers/{identifier}"),
    _rule("cron_triggers:get", ANYBODY, "Read a cron trigger.", "GET /v2/cron_triggers/{identifier}"),
    _rule("cron_triggers:list", ANYBODY, "List cron triggers.", "GET /v2/cron_triggers"),
    _rule(
        "cron_triggers:list:all_projects",
        ADMIN,
        "List the cron triggers of all projects.",
        "GET /v2/cron_triggers",
    ),
    _rule("cron_triggers:publicize", ADMIN, "Make a cron trigger public.", "POST /v2/cron_triggers"),
)

_DYNAMIC_ACTIONS = (
    _rule("dynamic_actions:create", ADMIN, "Create a dynamic action.", "POST /v2/dynamic_actions"),
    _rule(
        "dynamic_actions:delete", ADMIN, "Delete a dynamic action.", "DELETE /v2/dynamic_actions/{identifier}"
    ),
    _rule("dynamic_actions:get", ADMIN, "Read a dynamic action.", "GET /v2/dynamic_actions/{identifier}"),
    _rule("dynamic_actions:list", ADMIN, "List dynamic actions.", "GET /v2/dynamic_actions"),
    _rule(
        "dynamic_actions:publicize",
        ADMIN,
        "Make a dynamic action public.",
        "POST /v2/dynamic_actions",
        "PUT /v2/dynamic_actions",
    ),
    _rule("dynamic_actions:update", ADMIN, "Change a dynamic action.", "PUT /v2/dynamic_actions"),
)

_ENVIRONMENTS = (
    _rule("environments:create", ANYBODY, "Create an environment.", "POST /v2/environments"),
    _rule("environments:delete", ANYBODY, "Delete an environment.", "DELETE /v2/environments/{name}"),
    _rule("environments:get", ANYBODY, "Read an environment.", "GET /v2/environments/{name}"),
    _rule("environments:list", ANYBODY, "List environments.", "GET /v2/environments"),
    _rule(
        "environments:publicize",
        ADMIN,
        "Make an environment public.",
        "POST /v2/environments",
        "PUT /v2/environments",
    ),
    _rule("environments:update", ANYBODY, "Change an environment.", "PUT /v2/environments"),
)

_EVENT_TRIGGERS = (
    _rule("event_triggers:create", ANYBODY, "Create an event trigger.", "POST /v2/event_triggers"),
    _rule("event_triggers:delete", ANYBODY, "Delete an event trigger.", "DELETE /v2/event_triggers/{id}"),
    _rule("event_triggers:get", ANYBODY, "Read an event trigger.", "GET /v2/event_triggers/{id}"),
    _rule("event_triggers:list", ANYBODY, "List event triggers.", "GET /v2/event_triggers"),
    _rule(
        "event_triggers:list:all_projects",
        ADMIN,
        "List the event triggers of all projects.",
        "GET /v2/event_triggers",
    ),
    _rule(
        "event_triggers:publicize",
        ADMIN,
        "Make an event trigger public.",
        "POST /v2/event_triggers",
        "PUT /v2/event_triggers/{id}",
    ),
    _rule("event_triggers:update", ANYBODY, "Change an event trigger.", "PUT /v2/event_triggers/{id}"),
)

_EXECUTIONS = (
    _rule("executions:create", ANYBODY, "Start a workflow.", "POST /v2/executions"),
    _rule("executions:delete", ANYBODY, "Delete an execution.", "DELETE /v2/executions/{id}"),
    _rule(
        "executions:get",
        ANYBODY,
        "Read an execution, its report and the nested ones.",
        "GET /v2/executions/{id}",
        "GET /v2/executions/{id}/report",
        "GET /v2/executions/{id}/executions",
        "GET /v2/tasks/{id}/executions",
    ),
    _rule(
        "executions:list",
        ANYBODY,
        "List executions.",
        "GET /v2/executions",
        "GET /v2/tasks/{id}/workflow_executions",
    ),
    _rule(
        "executions:list:all_projects", ADMIN, "List the executions of all projects.", "GET /v2/executions"
    ),
    _rule("executions:update", ANYBODY, "Change an execution.", "PUT /v2/executions/{id}"),
)

_MAINTENANCE = (
    _rule("maintenance:get", ADMIN, "Read whether the service is paused.", "GET /maintenance"),
    _rule("maintenance:update", ADMIN, "Pause or resume the whole service.", "PUT /maintenance"),
)

_MEMBERS = (
    _rule("members:create", ANYBODY, "Share a workflow.", "POST /v2/workflows/{id}/members"),
    _rule("members:delete", ANYBODY, "End a share.", "DELETE /v2/workflows/{id}/members/{project}"),
    _rule("members:get", ANYBODY, "Read a share.", "GET /v2/workflows/{id}/members/{project}"),
    _rule("members:list", ANYBODY, "List the shares of a workflow.", "GET /v2/workflows/{id}/members"),
    _rule("members:update", ANYBODY, "Accept or reject a share.", "PUT /v2/workflows/{id}/members/{project}"),
)

_SERVICES = (policy.RuleDefault("services:list", ANYBODY, "Nothing asks it: Mistral removed the resource."),)

_TASKS = (
    _rule("tasks:get", ANYBODY, "Read a task execution.", "GET /v2/tasks/{id}"),
    _rule("tasks:list", ANYBODY, "List task executions.", "GET /v2/tasks", "GET /v2/executions/{id}/tasks"),
    _rule("tasks:update", ANYBODY, "Run a task again, or skip it.", "PUT /v2/tasks/{id}"),
)

_WORKBOOKS = (
    _rule("workbooks:create", ANYBODY, "Upload a workbook.", "POST /v2/workbooks"),
    _rule("workbooks:delete", ANYBODY, "Delete a workbook.", "DELETE /v2/workbooks/{name}"),
    _rule("workbooks:get", ANYBODY, "Read a workbook.", "GET /v2/workbooks/{name}"),
    _rule("workbooks:list", ANYBODY, "List workbooks.", "GET /v2/workbooks"),
    _rule("workbooks:publicize", ADMIN, "Make a workbook public.", "POST /v2/workbooks", "PUT /v2/workbooks"),
    _rule("workbooks:update", ANYBODY, "Replace a workbook.", "PUT /v2/workbooks"),
)

_WORKFLOWS = (
    _rule(
        "workflows:create",
        ANYBODY,
        "Upload workflows.",
        "POST /v2/workflows",
        "POST /v2/workflows/{namespace}",
    ),
    _rule("workflows:delete", ANYBODY, "Delete a workflow.", "DELETE /v2/workflows/{identifier}"),
    _rule("workflows:get", ANYBODY, "Read a workflow.", "GET /v2/workflows/{identifier}"),
    _rule("workflows:list", ANYBODY, "List workflows.", "GET /v2/workflows"),
    _rule("workflows:list:all_projects", ADMIN, "List the workflows of all projects.", "GET /v2/workflows"),
    _rule("workflows:publicize", ADMIN, "Make a workflow public.", "POST /v2/workflows", "PUT /v2/workflows"),
    _rule(
        "workflows:update",
        ANYBODY,
        "Replace workflows.",
        "PUT /v2/workflows",
        "PUT /v2/workflows/{identifier}",
    ),
)

_RULES: tuple[policy.RuleDefault, ...] = (
    *_BASE,
    *_ACTION_EXECUTIONS,
    *_ACTIONS,
    *_CODE_SOURCES,
    *_CRON_TRIGGERS,
    *_DYNAMIC_ACTIONS,
    *_ENVIRONMENTS,
    *_EVENT_TRIGGERS,
    *_EXECUTIONS,
    *_MAINTENANCE,
    *_MEMBERS,
    *_SERVICES,
    *_TASKS,
    *_WORKBOOKS,
    *_WORKFLOWS,
)


def list_rules() -> tuple[policy.RuleDefault, ...]:
    """Return all rules (entry point ``oslo.policy.policies``)."""
    return _RULES
