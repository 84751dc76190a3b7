"""Answers to what the core asks for while it decides."""

from __future__ import annotations

from collections.abc import Mapping

import sqlalchemy as sa

from mistral_lite.actions import source_reader
from mistral_lite.db import definitions, dynamic_actions, queries
from mistral_lite.db.listing import Row, Viewer
from mistral_lite.errors import InternalError
from mistral_lite.rpc.protocol import ActionCode
from mistral_lite.workflow.library import AdhocDefinition, Library, Lookup, PythonAction, WorkflowDefinition

# Kinds of lookups whose answer changes with every execution.
_QUERIES = frozenset({"executions", "tasks"})


def refresh(library: Library, generation: int) -> None:
    """Forget the answers that may have changed: all about definitions if any was uploaded since, and queries.

    ``generation``: that of the definitions now.
    """
    if generation != library.generation:
        library.answers.clear()
        library.generation = generation
    else:
        for lookup in [each for each in library.answers if each.kind in _QUERIES]:
            del library.answers[lookup]


def answer(connection: sa.Connection, library: Library, lookup: Lookup) -> None:
    """Look ``lookup`` up and put the answer into ``library``."""
    match lookup.kind:
        case "spec":
            _answer_spec(connection, library, str(lookup.key[0]))
        case "workflow":
            name, namespace, project_id = map(str, lookup.key)
            library.answers[lookup] = _workflow(connection, name, namespace, project_id)
        case "action":
            name, namespace, project_id = map(str, lookup.key)
            library.answers[lookup] = _action(connection, library, name, namespace, project_id)
        case "executions" | "tasks":
            project_id, *filters = lookup.key
            find = queries.list_executions if lookup.kind == "executions" else queries.list_tasks
            library.answers[lookup] = find(connection, str(project_id), dict(filters))
        case _:
            raise InternalError(f"The core asked for an unknown kind of thing: {lookup.kind}")


def _answer_spec(connection: sa.Connection, library: Library, spec_hash: str) -> None:
    library.specs[spec_hash] = definitions.load_any_spec(connection, spec_hash)


def _workflow(
    connection: sa.Connection, name: str, namespace: str, project_id: str
) -> WorkflowDefinition | None:
    found = definitions.find_workflow(connection, name, namespace, project_id)
    if found is None:
        return None
    return WorkflowDefinition(
        id=found.id,
        name=found.name,
        namespace=found.namespace,
        spec_hash=found.spec_hash,
        workbook=found.workbook_name,
    )


def _action(
    connection: sa.Connection, library: Library, name: str, namespace: str, project_id: str
) -> AdhocDefinition | PythonAction | None:
    found = definitions.find_action(connection, name, namespace, project_id)
    if found is not None:
        return AdhocDefinition(name=found.name, spec_hash=found.spec_hash)
    if not library.rules.dynamic_actions:
        return None
    row = dynamic_actions.find(connection, name, namespace, Viewer(project_id=project_id))
    return None if row is None else _dynamic(row)


def _dynamic(row: Row) -> PythonAction:
    return PythonAction(
        descriptor=source_reader.describe(row["name"], row["content"], row["class_name"]),
        code={
            "source_name": row["code_source_name"],
            "class_name": row["class_name"],
            "hash": row["content_hash"],
        },
    )


def complete_code(connection: sa.Connection, library: Library, code: Mapping[str, str]) -> ActionCode:
    """Return what an executor needs to run a dynamic action; the text is looked up once."""
    content_hash = code["hash"]
    if content_hash not in library.sources:
        library.sources[content_hash] = dynamic_actions.load_content(connection, content_hash)
    return ActionCode(**code, content=library.sources[content_hash])
