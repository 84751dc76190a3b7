"""The attributes that request bodies may hold, per noun.

All that a resource declares may be sent; what a handler has no use for is ignored. Read-only attributes are
refused even if their value is unchanged.
"""

from __future__ import annotations

import wsme.types
from wsme.types import wsattr

from mistral_lite.api.body import BodyType
from mistral_lite.api.v2.types.values import (
    ANY_TEXT,
    COUNT,
    FLAG,
    IDENTIFIER,
    JSON_ANY,
    JSON_DICT,
    NAME,
    PROJECT,
    SCOPE,
    TAGS,
    TOPIC,
)


class ExecutionAttributes(wsme.types.Base):
    """A workflow execution."""

    id = wsattr(IDENTIFIER)
    workflow_id = wsattr(ANY_TEXT)
    workflow_name = wsattr(ANY_TEXT)
    workflow_namespace = wsattr(ANY_TEXT)
    description = wsattr(ANY_TEXT)
    tags = wsattr(TAGS)
    params = wsattr(JSON_DICT)
    task_execution_id = wsattr(ANY_TEXT)
    root_execution_id = wsattr(ANY_TEXT)
    source_execution_id = wsattr(ANY_TEXT)
    state = wsattr(ANY_TEXT)
    state_info = wsattr(ANY_TEXT)
    input = wsattr(JSON_DICT)
    output = wsattr(JSON_DICT)
    created_at = wsattr(ANY_TEXT)
    updated_at = wsattr(ANY_TEXT)
    project_id = wsattr(ANY_TEXT, readonly=True)
    published_global = wsattr(JSON_DICT)


class TaskAttributes(wsme.types.Base):
    """A task execution."""

    id = wsattr(ANY_TEXT)
    name = wsattr(ANY_TEXT)
    type = wsattr(ANY_TEXT)
    workflow_name = wsattr(ANY_TEXT)
    workflow_namespace = wsattr(ANY_TEXT)
    workflow_id = wsattr(ANY_TEXT)
    workflow_execution_id = wsattr(ANY_TEXT)
    tags = wsattr(TAGS)
    state = wsattr(ANY_TEXT)
    state_info = wsattr(ANY_TEXT)
    project_id = wsattr(ANY_TEXT, readonly=True)
    runtime_context = wsattr(JSON_DICT)
    result = wsattr(ANY_TEXT)
    published = wsattr(JSON_DICT)
    published_global = wsattr(JSON_DICT)
    processed = wsattr(FLAG)
    created_at = wsattr(ANY_TEXT)
    updated_at = wsattr(ANY_TEXT)
    started_at = wsattr(ANY_TEXT)
    finished_at = wsattr(ANY_TEXT)
    reset = wsattr(FLAG)
    env = wsattr(JSON_DICT)


class ActionExecutionAttributes(wsme.types.Base):
    """An action execution."""

    id = wsattr(ANY_TEXT)
    workflow_name = wsattr(ANY_TEXT)
    workflow_namespace = wsattr(NAME)
    task_name = wsattr(ANY_TEXT)
    task_execution_id = wsattr(ANY_TEXT)
    state = wsattr(ANY_TEXT)
    state_info = wsattr(ANY_TEXT)
    tags = wsattr(TAGS)
    name = wsattr(NAME)
    description = wsattr(ANY_TEXT)
    project_id = wsattr(ANY_TEXT, readonly=True)
    accepted = wsattr(FLAG)
    input = wsattr(JSON_DICT)
    output = wsattr(JSON_ANY)
    created_at = wsattr(ANY_TEXT)
    updated_at = wsattr(ANY_TEXT)
    params = wsattr(JSON_DICT)


class EnvironmentAttributes(wsme.types.Base):
    """An environment."""

    id = wsattr(ANY_TEXT)
    name = wsattr(NAME)
    description = wsattr(ANY_TEXT)
    variables = wsattr(JSON_DICT)
    scope = wsattr(SCOPE)
    project_id = wsattr(ANY_TEXT, readonly=True)
    created_at = wsattr(ANY_TEXT)
    updated_at = wsattr(ANY_TEXT)


class DynamicActionAttributes(wsme.types.Base):
    """A dynamic action."""

    id = wsattr(ANY_TEXT)
    name = wsattr(NAME)
    namespace = wsattr(NAME)
    code_source_id = wsattr(ANY_TEXT)
    code_source_name = wsattr(ANY_TEXT)
    class_name = wsattr(NAME)
    project_id = wsattr(ANY_TEXT, readonly=True)
    scope = wsattr(SCOPE)
    created_at = wsattr(ANY_TEXT)
    updated_at = wsattr(ANY_TEXT)


class CronTriggerAttributes(wsme.types.Base):
    """A cron trigger."""

    id = wsattr(ANY_TEXT)
    name = wsattr(NAME)
    workflow_name = wsattr(ANY_TEXT)
    workflow_id = wsattr(ANY_TEXT)
    workflow_input = wsattr(JSON_DICT)
    workflow_params = wsattr(JSON_DICT)
    project_id = wsattr(ANY_TEXT, readonly=True)
    scope = wsattr(SCOPE)
    pattern = wsattr(NAME)
    remaining_executions = wsattr(COUNT)
    first_execution_time = wsattr(ANY_TEXT)
    next_execution_time = wsattr(ANY_TEXT)
    created_at = wsattr(ANY_TEXT)
    updated_at = wsattr(ANY_TEXT)


class EventTriggerAttributes(wsme.types.Base):
    """An event trigger."""

    id = wsattr(ANY_TEXT, readonly=True)
    created_at = wsattr(ANY_TEXT, readonly=True)
    updated_at = wsattr(ANY_TEXT, readonly=True)
    project_id = wsattr(ANY_TEXT, readonly=True)
    name = wsattr(NAME)
    workflow_id = wsattr(ANY_TEXT)
    workflow_input = wsattr(JSON_DICT)
    workflow_params = wsattr(JSON_DICT)
    exchange = wsattr(TOPIC)
    topic = wsattr(TOPIC)
    event = wsattr(TOPIC)
    scope = wsattr(SCOPE)


class MemberAttributes(wsme.types.Base):
    """A share of a workflow."""

    id = wsattr(ANY_TEXT)
    resource_id = wsattr(ANY_TEXT)
    project_id = wsattr(ANY_TEXT, readonly=True)
    member_id = wsattr(PROJECT)
    resource_type = wsattr(ANY_TEXT)
    status = wsattr(ANY_TEXT)
    created_at = wsattr(ANY_TEXT)
    updated_at = wsattr(ANY_TEXT)


EXECUTION = BodyType(argument="wf_ex", attributes=ExecutionAttributes)
TASK = BodyType(argument="task", attributes=TaskAttributes)
ACTION_EXECUTION = BodyType(argument="action_ex", attributes=ActionExecutionAttributes)
ENVIRONMENT = BodyType(argument="env", attributes=EnvironmentAttributes)
DYNAMIC_ACTION = BodyType(argument="dyn_action", attributes=DynamicActionAttributes)
CRON_TRIGGER = BodyType(argument="cron_trigger", attributes=CronTriggerAttributes)
EVENT_TRIGGER = BodyType(argument="event_trigger", attributes=EventTriggerAttributes)
MEMBER = BodyType(argument="member_info", attributes=MemberAttributes)
