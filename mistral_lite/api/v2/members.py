"""``/v2/workflows/{id}/members``: private workflows shared with other projects.

The owner offers a workflow, the other project accepts or rejects. Whoever accepted reads and runs it, in its
own project; changing and deleting stay with the owner.
"""

from __future__ import annotations

from uuid import UUID

import sqlalchemy as sa

from mistral_lite.api import parameters, schemas
from mistral_lite.api.resources import Resource, moment, plain
from mistral_lite.api.routing import Call, route
from mistral_lite.api.services import ApiServices
from mistral_lite.api.uploads import check_may_change
from mistral_lite.api.v2.types import bodies
from mistral_lite.db import definitions, members
from mistral_lite.db.listing import Row
from mistral_lite.db.tables import workflow_definitions
from mistral_lite.errors import InputError, NotFoundError
from mistral_lite.ids import new_id
from mistral_lite.jsontext import JsonObject, JsonValue

_STATUSES = ("pending", "accepted", "rejected")

RESOURCE = Resource(
    collection="members",
    attributes={
        "id": plain("id", schemas.TEXT),
        "resource_id": plain("resource_id", schemas.TEXT),
        "resource_type": plain("resource_type", schemas.TEXT),
        "project_id": plain("project_id", schemas.TEXT),
        "member_id": plain("member_id", schemas.TEXT),
        "status": plain("status", schemas.one_of(_STATUSES)),
        "created_at": moment("created_at", schemas.MOMENT),
        "updated_at": moment("updated_at"),
    },
)


class Members:
    """Shares of workflows over HTTP, addressed by workflow and project."""

    def __init__(self, services: ApiServices) -> None:
        self._services = services

    @route("GET", "*/members", rule="members:list", answer=RESOURCE.collected)
    def list_all(self, call: Call, workflow_id: str) -> JsonValue:
        """Return all shares to the owner of a workflow, its own one to a member, none to others."""
        wanted = _checked(call, workflow_id)
        with self._services.database.read() as connection:
            rows = members.list_members(connection, wanted, call.context.project_id)
        return {"members": [RESOURCE.show(row) for row in rows]}

    @route("GET", "*/members/*", rule="members:get", answer=RESOURCE.item, refusals=(404,))
    def get(self, call: Call, workflow_id: str, member_id: str) -> JsonValue:
        """Return one share, to the owner of the workflow and the member."""
        wanted = _checked(call, workflow_id)
        with self._services.database.read() as connection:
            row = _find(connection, wanted, member_id, call.context.project_id)
        return RESOURCE.show(row)

    @route(
        "POST",
        "*/members",
        rule="members:create",
        status=201,
        body=bodies.MEMBER,
        answer=RESOURCE.item,
        refusals=(404, 409),
    )
    def create(self, call: Call, workflow_id: str) -> JsonValue:
        """Offer a private workflow to another project."""
        wanted = _checked(call, workflow_id)
        member_id = call.body.get("member_id")
        if not member_id:
            raise InputError("Give the project to share the workflow with as member_id.")
        now = self._services.clock.now()

        def work(connection: sa.Connection) -> JsonObject:
            workflow = definitions.find_row(
                connection, workflow_definitions, wanted, "", call.context.viewer, is_exact=True
            )
            if workflow is None or not definitions.lock_workflow(connection, wanted):
                raise NotFoundError(f"Workflow not found [workflow_identifier={wanted}]")
            check_may_change(call, workflow, "Workflow")
            if workflow["scope"] != "private":
                raise InputError(
                    f"Workflow '{workflow['name']}' is public: all projects see it, so it cannot be shared."
                )
            if workflow["project_id"] == member_id:
                raise InputError(f"Workflow '{workflow['name']}' belongs to the project {member_id} already.")
            row = {
                "id": new_id(now),
                "resource_id": wanted,
                "resource_type": definitions.SHARED_WORKFLOW,
                "project_id": workflow["project_id"],
                "member_id": member_id,
                "status": "pending",
                "created_at": now,
                "updated_at": None,
            }
            members.insert_member(connection, row)
            return row

        return RESOURCE.show(self._services.database.run(work))

    @route(
        "PUT",
        "*/members/*",
        rule="members:update",
        body=bodies.MEMBER,
        answer=RESOURCE.item,
        refusals=(404,),
    )
    def update(self, call: Call, workflow_id: str, member_id: str) -> JsonValue:
        """Accept or reject an offer; only the project that it was made to may."""
        wanted = _checked(call, workflow_id)
        status = call.body.get("status")
        if status not in _STATUSES:
            raise InputError(f"The status of a member must be one of {', '.join(_STATUSES)}.")
        if member_id != call.context.project_id:
            raise _not_found(wanted, member_id)
        now = self._services.clock.now()

        def work(connection: sa.Connection) -> JsonObject:
            row = _find(connection, wanted, member_id, call.context.project_id)
            if row["status"] == status:
                return dict(row)
            members.set_status(connection, row["id"], status, now)
            return {**row, "status": status, "updated_at": now}

        return RESOURCE.show(self._services.database.run(work))

    @route("DELETE", "*/members/*", rule="members:delete", status=204, refusals=(404,))
    def delete(self, call: Call, workflow_id: str, member_id: str) -> JsonValue:
        """End a share; only the owner of the workflow may."""
        wanted = _checked(call, workflow_id)

        def work(connection: sa.Connection) -> None:
            row = _find(connection, wanted, member_id, call.context.project_id)
            if row["project_id"] != call.context.project_id:
                raise _not_found(wanted, member_id)
            members.delete_member(connection, row["id"])

        self._services.database.run(work)
        return None


def _checked(call: Call, workflow_id: str) -> str:
    """Return the id of a workflow in its usual form. Raises ``InputError`` where sharing has no meaning."""
    if not call.context.is_authenticated:
        raise InputError(
            "Workflows can be shared only where authentication is on: there is one project else."
        )
    parameters.require_uuid("workflow_id", workflow_id)
    return str(UUID(workflow_id))


def _find(connection: sa.Connection, workflow_id: str, member_id: str, viewer_project: str) -> Row:
    row = members.find_member(connection, workflow_id, member_id, viewer_project)
    if row is None:
        raise _not_found(workflow_id, member_id)
    return row


def _not_found(workflow_id: str, member_id: str) -> NotFoundError:
    return NotFoundError(f"Member not found [resource_id={workflow_id}, member_id={member_id}]")
