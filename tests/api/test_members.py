"""Sharing a private workflow: the owner offers, the other project answers, and then reads and runs it."""

from __future__ import annotations

from typing import Any

import pytest

from mistral_lite.api.context import RequestContext
from mistral_lite.db import tables
from tests.api.conftest import ident


def someone(project: str, **values: Any) -> RequestContext:
    return RequestContext(project_id=project, user_id=f"user of {project}", is_authenticated=True, **values)


OWNER, FRIEND, STRANGER = someone("owner"), someone("friend"), someone("stranger")
ADMIN = someone("admins", roles=frozenset({"admin"}), is_admin=True)

TEXT = """
version: '2.0'
shared:
  tasks:
    t:
      action: std.noop
"""


@pytest.fixture
def workflow(api: Any) -> str:
    """A private workflow of the owner."""
    created = api.call("POST", "/v2/workflows", TEXT, caller=OWNER).json["workflows"]
    identifier: str = created[0]["id"]
    return identifier


def offer(api: Any, workflow: str, project: str = "friend", caller: RequestContext = OWNER) -> Any:
    return api.call("POST", f"/v2/workflows/{workflow}/members", {"member_id": project}, caller=caller)


def answer(api: Any, workflow: str, status: str, project: str = "friend", caller: Any = FRIEND) -> Any:
    path = f"/v2/workflows/{workflow}/members/{project}"
    return api.call("PUT", path, {"status": status}, caller=caller)


def seen_by(api: Any, caller: RequestContext) -> list[str]:
    return [each["name"] for each in api.call("GET", "/v2/workflows", caller=caller).json["workflows"]]


def test_an_offer_is_pending_until_the_other_project_accepts(api: Any, workflow: str) -> None:
    offered = offer(api, workflow)
    assert offered.status == 201
    assert {**offered.json, "id": None} == {
        "id": None,
        "resource_id": workflow,
        "resource_type": "workflow",
        "project_id": "owner",
        "member_id": "friend",
        "status": "pending",
        "created_at": "2026-11-21 22:37:10",
        "updated_at": None,
    }
    assert seen_by(api, FRIEND) == []

    accepted = answer(api, workflow, "accepted")
    assert (accepted.status, accepted.json["status"]) == (200, "accepted")
    assert accepted.json["updated_at"] is not None
    assert seen_by(api, FRIEND) == ["shared"]
    assert seen_by(api, STRANGER) == []

    for status, seen in (("rejected", []), ("pending", []), ("accepted", ["shared"])):
        assert answer(api, workflow, status).json["status"] == status
        assert seen_by(api, FRIEND) == seen


@pytest.mark.parametrize("identifier", ["shared", "the id"])
def test_a_member_reads_and_runs_and_does_not_change(api: Any, workflow: str, identifier: str) -> None:
    offer(api, workflow)
    answer(api, workflow, "accepted")
    identifier = workflow if identifier == "the id" else identifier
    path = f"/v2/workflows/{identifier}"

    assert api.call("GET", path, caller=FRIEND).json["project_id"] == "owner"
    started = api.call("POST", "/v2/executions", {"workflow_id": identifier}, caller=FRIEND)
    assert (started.status, started.json["project_id"]) == (201, "friend")
    assert api.call("GET", "/v2/executions", caller=OWNER).json["executions"] == []

    assert api.call("PUT", path, TEXT, caller=FRIEND).status == 403
    assert api.call("DELETE", path, caller=FRIEND).status == 403
    assert offer(api, workflow, "stranger", FRIEND).status == 403


def test_a_trigger_of_a_member_keeps_the_workflow(api: Any, workflow: str) -> None:
    offer(api, workflow)
    answer(api, workflow, "accepted")
    body = {"name": "c", "workflow_id": workflow, "pattern": "* * * * *"}
    trigger = api.call("POST", "/v2/cron_triggers", body, caller=FRIEND)
    assert trigger.status == 201

    refused = api.call("DELETE", f"/v2/workflows/{workflow}", caller=OWNER)
    assert refused.status == 400
    assert "Can't delete workflow that has cron triggers associated" in refused.fault
    assert "1 of other projects" in refused.fault
    assert trigger.json["id"] not in refused.fault


def test_the_owner_sees_all_shares_and_a_member_its_own(api: Any, workflow: str) -> None:
    offer(api, workflow, "friend")
    offer(api, workflow, "other")
    path = f"/v2/workflows/{workflow}/members"

    def members(caller: RequestContext) -> list[str]:
        return [each["member_id"] for each in api.call("GET", path, caller=caller).json["members"]]

    assert sorted(members(OWNER)) == ["friend", "other"]
    assert members(FRIEND) == ["friend"]
    assert members(STRANGER) == []
    for caller, member, status in (
        (OWNER, "other", 200),
        (FRIEND, "friend", 200),
        (FRIEND, "other", 404),
        (STRANGER, "friend", 404),
        (OWNER, "nobody", 404),
    ):
        assert api.call("GET", f"{path}/{member}", caller=caller).status == status


def test_only_the_owner_ends_a_share(api: Any, workflow: str) -> None:
    offer(api, workflow)
    answer(api, workflow, "accepted")
    path = f"/v2/workflows/{workflow}/members/friend"
    assert api.call("DELETE", path, caller=FRIEND).status == 404
    assert api.call("DELETE", path, caller=STRANGER).status == 404
    assert seen_by(api, FRIEND) == ["shared"]

    assert api.call("DELETE", path, caller=OWNER).status == 204
    assert seen_by(api, FRIEND) == []
    assert api.call("DELETE", path, caller=OWNER).status == 404


def test_only_the_other_project_answers(api: Any, workflow: str) -> None:
    offer(api, workflow)
    for caller in (OWNER, STRANGER, ADMIN):
        assert answer(api, workflow, "accepted", caller=caller).status == 404
    assert answer(api, workflow, "accepted", project="nobody", caller=someone("nobody")).status == 404


def test_deleting_a_workflow_deletes_its_shares(api: Any, workflow: str) -> None:
    offer(api, workflow)
    assert api.call("DELETE", f"/v2/workflows/{workflow}", caller=OWNER).status == 204
    assert api.rows(tables.resource_members) == []


@pytest.mark.parametrize(
    ("method", "tail", "body", "caller", "status", "fault"),
    [
        ("POST", "members", {}, OWNER, 400, "member_id"),
        ("POST", "members", {"member_id": None}, OWNER, 400, "member_id"),
        ("POST", "members", {"member_id": "x" * 81}, OWNER, 400, "member_id"),
        ("POST", "members", {"member_id": "owner"}, OWNER, 400, "belongs to the project owner"),
        ("POST", "members", {"member_id": "x", "project_id": "y"}, OWNER, 400, "read only"),
        ("POST", "members", {"member_id": "friend"}, OWNER, 409, "Member already exists"),
        ("POST", "members", {"member_id": "x"}, STRANGER, 404, "Workflow not found"),
        ("PUT", "members/friend", {}, FRIEND, 400, "pending, accepted, rejected"),
        ("PUT", "members/friend", {"status": "perhaps"}, FRIEND, 400, "pending, accepted, rejected"),
    ],
)
def test_refused(
    api: Any, workflow: str, method: str, tail: str, body: Any, caller: Any, status: int, fault: str
) -> None:
    offer(api, workflow)
    refused = api.call(method, f"/v2/workflows/{workflow}/{tail}", body, caller=caller)
    assert (refused.status, fault in refused.fault) == (status, True), refused.text


def test_a_public_workflow_is_not_shared(api: Any, workflow: str) -> None:
    owning_admin = someone("owner", is_admin=True, roles=frozenset({"admin"}))
    api.call("PUT", "/v2/workflows?scope=public", TEXT, caller=owning_admin)
    refused = offer(api, workflow)
    assert (refused.status, "is public" in refused.fault) == (400, True)


def test_an_administrator_shares_for_the_owner(api: Any, workflow: str) -> None:
    assert offer(api, workflow, caller=ADMIN).json["project_id"] == "owner"
    assert answer(api, workflow, "accepted").status == 200


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE"])
def test_what_is_no_uuid_is_refused(api: Any, method: str) -> None:
    tail = "members/friend" if method in ("PUT", "DELETE") else "members"
    body = {"member_id": "x", "status": "accepted"} if method in ("POST", "PUT") else None
    assert api.call(method, f"/v2/workflows/shared/{tail}", body, caller=OWNER).status == 400


def test_the_id_may_be_written_in_any_form_of_a_uuid(api: Any, workflow: str) -> None:
    assert offer(api, workflow.upper()).json["resource_id"] == workflow


def test_sharing_needs_authentication(api: Any) -> None:
    refused = api.call("POST", f"/v2/workflows/{ident(1)}/members", {"member_id": "x"})
    assert (refused.status, "authentication" in refused.fault) == (400, True)
    assert api.get(f"/v2/workflows/{ident(1)}/members").status == 400


def test_other_words_behind_a_workflow_are_nothing(api: Any, workflow: str) -> None:
    for method in ("GET", "DELETE"):
        assert api.call(method, f"/v2/workflows/{workflow}/friends", caller=OWNER).status == 404
