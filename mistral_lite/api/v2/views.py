"""How executions of all three kinds look on the wire, and which parameters their lists know."""

from __future__ import annotations

from collections.abc import Mapping

from mistral_lite.api import parameters, schemas, wire
from mistral_lite.api.resources import Attribute, Resource, json_inside, json_value, moment, plain
from mistral_lite.api.v2 import waiting_for
from mistral_lite.jsontext import JsonValue, load
from mistral_lite.workflow.states import State


def _execution_globals(row: Mapping[str, JsonValue]) -> JsonValue:
    context = load(row["context"])
    names = load(row["published_global"])
    return wire.json_text({name: context[name] for name in names if name in context})


def _runtime_context(row: Mapping[str, JsonValue]) -> JsonValue:
    triggers = [{"task_id": task_id, "event": event} for task_id, event in load(row["triggered_by"])]
    if not triggers:
        return wire.respaced(row["runtime"])
    return wire.json_text({"triggered_by": triggers, **load(row["runtime"])})


STATE = schemas.one_of(State)

EXECUTION = Resource(
    collection="executions",
    attributes={
        "id": plain("id", schemas.TEXT),
        "workflow_id": plain("workflow_id", schemas.TEXT),
        "workflow_name": plain("workflow_name", schemas.TEXT),
        "workflow_namespace": plain("workflow_namespace", schemas.TEXT),
        "description": plain("description"),
        "tags": json_value("tags"),
        "params": json_inside("params"),
        "task_execution_id": plain("task_execution_id"),
        "root_execution_id": plain("root_execution_id"),
        "state": plain("state", STATE),
        "state_info": plain("state_info"),
        "input": json_inside("input"),
        "output": json_inside("output"),
        "created_at": moment("created_at", schemas.MOMENT),
        "updated_at": moment("updated_at"),
        "project_id": plain("project_id", schemas.TEXT),
        "published_global": Attribute(
            needs=("context", "published_global"), render=_execution_globals, schema=schemas.JSON_TEXT
        ),
        waiting_for.NAME: waiting_for.OF_WORKFLOW,
    },
    single_only=frozenset({"output", "published_global", waiting_for.NAME}),
    declared=("source_execution_id",),
    filters={
        "workflow_name": parameters.text_filter,
        "workflow_id": parameters.uuid_filter,
        "description": parameters.text_filter,
        "tags": parameters.tags_filter,
        "params": parameters.json_filter,
        "task_execution_id": parameters.uuid_filter,
        "root_execution_id": parameters.uuid_filter,
        "state": parameters.text_filter,
        "state_info": parameters.text_filter,
        "input": parameters.json_filter,
        "output": parameters.json_filter,
        "created_at": parameters.time_filter,
        "updated_at": parameters.time_filter,
        "project_id": parameters.uuid_filter,
    },
)

TASK = Resource(
    collection="tasks",
    attributes={
        "id": plain("id", schemas.TEXT),
        "name": plain("name", schemas.TEXT),
        "type": plain("type", schemas.one_of(("ACTION", "WORKFLOW"))),
        "workflow_name": plain("workflow_name", schemas.TEXT),
        "workflow_namespace": plain("workflow_namespace", schemas.TEXT),
        "workflow_id": plain("workflow_id", schemas.TEXT),
        "workflow_execution_id": plain("workflow_execution_id", schemas.TEXT),
        "tags": json_value("tags"),
        "state": plain("state", STATE),
        "state_info": plain("state_info"),
        "project_id": plain("project_id", schemas.TEXT),
        "runtime_context": Attribute(
            needs=("triggered_by", "runtime"), render=_runtime_context, schema=schemas.JSON_TEXT
        ),
        # Rows of single answers are completed by the result before they are shown.
        "result": Attribute(
            needs=(), render=lambda row: wire.json_text(row["result"]), schema=schemas.JSON_TEXT
        ),
        "published": json_inside("published"),
        "published_global": json_inside("published_global"),
        "processed": plain("processed", schemas.FLAG),
        "created_at": moment("created_at", schemas.MOMENT),
        "updated_at": moment("updated_at"),
        "started_at": moment("started_at"),
        "finished_at": moment("finished_at"),
        waiting_for.NAME: waiting_for.OF_TASK,
    },
    single_only=frozenset({"published_global", waiting_for.NAME}),
    never_listed=frozenset({"result"}),
    declared=("reset", "env"),
    filters={
        "name": parameters.text_filter,
        "workflow_name": parameters.text_filter,
        "workflow_id": parameters.uuid_filter,
        "workflow_execution_id": parameters.uuid_filter,
        "tags": parameters.tags_filter,
        "state": parameters.text_filter,
        "state_info": parameters.text_filter,
        "published": parameters.json_filter,
        "processed": parameters.flag_filter,
        "created_at": parameters.time_filter,
        "updated_at": parameters.time_filter,
    },
)

ACTION_EXECUTION = Resource(
    collection="action_executions",
    attributes={
        "id": plain("id"),
        "workflow_name": plain("workflow_name"),
        "workflow_namespace": plain("workflow_namespace"),
        "task_execution_id": plain("task_execution_id"),
        "state": plain("state", STATE),
        "state_info": plain("state_info"),
        "tags": json_value("tags"),
        "name": plain("name", schemas.TEXT),
        "description": plain("description"),
        "project_id": plain("project_id"),
        "accepted": plain("accepted", schemas.or_null(schemas.FLAG)),
        "input": json_inside("input"),
        "output": json_inside("output"),
        "created_at": moment("created_at"),
        "updated_at": moment("updated_at"),
        waiting_for.NAME: waiting_for.OF_ACTION,
    },
    single_only=frozenset({"output", waiting_for.NAME}),
    declared=("task_name", "params"),
    filters={
        "name": parameters.text_filter,
        "workflow_name": parameters.text_filter,
        "task_execution_id": parameters.uuid_filter,
        "state": parameters.text_filter,
        "state_info": parameters.text_filter,
        "accepted": parameters.flag_filter,
        "input": parameters.json_filter,
        "output": parameters.json_filter,
        "description": parameters.text_filter,
        "tags": parameters.tags_filter,
        "created_at": parameters.time_filter,
        "updated_at": parameters.time_filter,
    },
)
