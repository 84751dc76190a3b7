"""Root executions: what is refused is refused before anything is stored, then row and start go in together.

Shared by whoever starts workflows: the API for requests, the engine for triggers. Finding the definition
and telling the engine are theirs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from mistral_lite.db import delegations, environments, executions, inbox
from mistral_lite.db.definitions import Definition
from mistral_lite.db.listing import Viewer
from mistral_lite.db.statements import pipelined
from mistral_lite.errors import AlreadyExistsError, InputError
from mistral_lite.expressions.base import ExpressionEvaluator
from mistral_lite.ids import new_id
from mistral_lite.jsontext import JsonObject, dump, load
from mistral_lite.lang.specs import WorkflowSpec
from mistral_lite.security import SecurityContext
from mistral_lite.workflow.starting import prepare_start
from mistral_lite.workflow.states import State


@dataclass(frozen=True, slots=True, kw_only=True)
class StartRequest:
    """A wish to run ``definition`` in a project.

    ``params`` are as the caller gave them; a name in their ``env`` is looked up as ``viewer``.
    ``namespace`` is where nested workflows are looked for. ``execution_id``: None for a new one. ``security``:
    whom the execution works for, None where nothing is known of that.
    """

    definition: Definition
    viewer: Viewer
    workflow_input: JsonObject
    params: JsonObject
    namespace: str
    description: str
    execution_id: str | None = None
    security: SecurityContext | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StartRules:
    """What a start is checked by. ``find_spec`` raises ``NotFoundError``; a negative limit means none.

    ``notify``: publishers that hear of every execution, beside those of its parameter ``notify``.
    """

    evaluator: ExpressionEvaluator
    find_spec: Callable[[sa.Connection, str], WorkflowSpec]
    field_size_limit_kb: int
    notify: tuple[JsonObject, ...] = ()


def prepare(connection: sa.Connection, request: StartRequest, rules: StartRules, now: datetime) -> JsonObject:
    """Return the row of the new root execution; nothing is stored.

    Raises ``InputError``, ``EvaluationError``, ``LimitExceededError`` and ``NotFoundError``.
    """
    definition = request.definition
    execution_id = request.execution_id or new_id(now)
    facts = {} if request.security is None else {"openstack": request.security.shown()}
    workbook = {"workbook": definition.workbook_name} if definition.workbook_name else {}
    with rules.evaluator.one_step():
        prepared = prepare_start(
            rules.find_spec(connection, definition.spec_hash),
            execution_id=execution_id,
            workflow_input=request.workflow_input,
            params={**_notifying(request.params, rules.notify), "namespace": request.namespace},
            environment=_environment(connection, request),
            evaluator=rules.evaluator,
            field_size_limit_kb=rules.field_size_limit_kb,
            new_uuid=new_id(now),
            facts=facts,
        )
    return {
        "id": execution_id,
        "root_execution_id": execution_id,
        "task_execution_id": None,
        "workflow_id": definition.id,
        "workflow_name": definition.name,
        "workflow_namespace": definition.namespace,
        "spec_hash": definition.spec_hash,
        "state": State.RUNNING.value,
        "state_info": None,
        "version": 0,
        "input": dump(prepared.input),
        "params": dump(prepared.params),
        "context": dump(prepared.context),
        "published_global": "[]",
        "output": "{}",
        "runtime": dump({**workbook, **facts}),
        "description": request.description,
        "tags": dump(list(definition.tags)),
        "project_id": request.viewer.project_id,
        "scope": "private",
        "created_at": now,
        "updated_at": now,
    }


def store(
    connection: sa.Connection, row: JsonObject, security: JsonObject | None = None, *, commits: bool = False
) -> int:
    """Insert a prepared row with its start and return the number of the inbox row.

    ``security``: whom the execution works for, secrets sealed. ``commits``: nothing follows in the transaction.
    Raises ``AlreadyExistsError`` if the id is taken.
    """
    try:
        if security is not None:
            delegations.insert_context(connection, row["id"], security, row["created_at"])
        with pipelined(connection, commits=commits):
            executions.insert_root(connection, row)
            seq = inbox.append(
                connection,
                root_execution_id=row["id"],
                kind="start",
                subject_id=row["id"],
                payload={},
                now=row["created_at"],
            )
    except IntegrityError as error:
        raise AlreadyExistsError(f"Execution already exists [id={row['id']}].") from error
    return seq()


def _notifying(params: JsonObject, notify: tuple[JsonObject, ...]) -> JsonObject:
    """Return the parameters with the publishers of the service added, each once."""
    if not notify:
        return params
    own = params.get("notify")
    given = own if isinstance(own, list) else []
    return {**params, "notify": [*given, *(each for each in notify if each not in given)]}


def _environment(connection: sa.Connection, request: StartRequest) -> JsonObject:
    """Return the variables that ``env`` names or holds."""
    env = request.params.get("env")
    if env is None:
        return {}
    if isinstance(env, dict):
        return env
    if not isinstance(env, str):
        raise InputError("The parameter env must be an object or the name of an environment.")
    row = environments.find_environment(connection, env, request.viewer)
    if row is None:
        raise InputError(f"The parameter env names an environment that does not exist [name={env}].")
    variables: JsonObject = load(row["variables"])
    return variables
