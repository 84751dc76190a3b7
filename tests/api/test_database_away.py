"""Without its database the API says 503 and when to come back, whatever it is asked."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mistral_lite.db.transaction import Database
from tests.api.test_openapi import CALLER, requests_to

# These need no database.
ALONE = {
    ("GET", "/"),
    ("GET", "/info"),
    ("GET", "/v2/"),
    ("GET", "/v2/openapi.json"),
}


def test_every_route_says_when_to_come_back(
    api: Any, unreachable: tuple[type[Exception], Callable[[str], Database]]
) -> None:
    operations = list(api.contract.operations())
    _, make = unreachable
    api.database = make("postgresql")
    api.configure(allow_action_execution_deletion=True, has_dynamic_actions=True)

    answers: dict[tuple[str, str], set[int]] = {}
    for method, path, operation in operations:
        for target, body in requests_to(method, path, operation):
            answer = api.call(method, target, body, caller=CALLER)
            answers.setdefault((method, path), set()).add(answer.status)
            if answer.status == 503:
                assert int(answer.headers["Retry-After"]) > 0, (method, target)
                assert "database" in answer.fault.lower(), (method, target, answer.fault)

    assert {route for route, statuses in answers.items() if 500 in statuses} == set()
    silent = {route for route, statuses in answers.items() if 503 not in statuses}
    assert {route for route in silent if not route[1].endswith("/validate")} <= ALONE
