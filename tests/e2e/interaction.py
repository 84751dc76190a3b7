"""The session of the document on interactive workflows, typed at the official client and compared with what it shows."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from deployments import FINISHED, eventually

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"

# Types a command and returns what it printed.
Mistral = Callable[..., str]

# What the document shows of a message, besides its id and its age, which are others each time.
_POPPED = {"href": None, "ttl": 3600}
_ROWS = (
    "ID",
    "Workflow ID",
    "Workflow name",
    "Description",
    "Task Execution ID",
    "State",
    "State info",
    "Created at",
    "Updated at",
)


def upload(mistral: Mistral, name: str, file: str) -> None:
    """Upload an example, in place of one that is there."""
    if name in mistral("workflow-list", "-f", "value", "-c", "Name").split():
        mistral("workflow-delete", name)
    mistral("workflow-create", str(EXAMPLES / file))


def run_action(mistral: Mistral, name: str, given: str) -> Any:
    """Run an action as the document does and return its result."""
    return json.loads(mistral("run-action", name, given))["result"]


def type_session(mistral: Mistral) -> None:
    """Type the session of the document."""
    upload(mistral, "interactive-workflow", "interactive.yaml")

    execution_id = _shown(mistral("execution-create", "interactive-workflow", "-f", "json"))["ID"]
    _await_state(mistral, execution_id, "PAUSED")
    tasks = json.loads(mistral("task-list", execution_id, "-f", "json"))
    assert {task["Name"]: task["State"] for task in tasks}["read_user_input"] == "IDLE"

    asked = run_action(mistral, "zaqar.queue_pop", '{"queue_name": "workflow-output"}')
    assert_popped(asked, "workflow-output", "Send some input to 'workflow-input'")

    posted = run_action(
        mistral,
        "zaqar.queue_post",
        '{"queue_name": "workflow-input", "messages":{"body": {"testing": 123}}}',
    )
    assert posted.keys() == {"resources"}
    (path,) = posted["resources"]
    assert path.startswith("/v2/queues/workflow-input/messages/")

    updated = _shown(mistral("execution-update", "-s", "RUNNING", execution_id, "-f", "json"))
    assert updated["ID"] == execution_id
    _await_state(mistral, execution_id, "SUCCESS")

    answer = run_action(mistral, "zaqar.queue_pop", '{"queue_name": "workflow-output"}')
    # Of Python 2 the document has {u'testing': 123}.
    assert_popped(answer, "workflow-output", "You sent: '{'testing': 123}'")


def poll(mistral: Mistral, queue: str) -> None:
    """Run the task of the document that polls. As it is written there, it goes on while there are messages."""
    upload(mistral, "poll-for-message", "interactive_poll.yaml")
    given = json.dumps({"input_queue": queue})
    created = json.loads(mistral("execution-create", "poll-for-message", given, "-f", "json"))
    _await_state(mistral, created["ID"], "SUCCESS")
    (task,) = json.loads(mistral("task-list", created["ID"], "-f", "json"))
    assert json.loads(mistral("task-get-result", task["ID"])) == []


def assert_popped(result: Any, queue: str, body: str) -> None:
    """Compare the result of a pop with the one that the document shows."""
    (message,) = result
    assert {name: message[name] for name in _POPPED} == _POPPED
    assert message["queue"] == {"_metadata": None, "client": None, "_name": queue}
    assert message["body"] == body
    assert isinstance(message["age"], int)
    assert message["_id"] == message["id"]


def _shown(printed: str) -> dict[str, Any]:
    """Return the table of a running execution by its rows, which are those of the document and newer ones."""
    shown: dict[str, Any] = json.loads(printed)
    assert set(_ROWS) <= shown.keys()
    assert {row: shown[row] for row in ("Workflow name", "Description", "Task Execution ID")} == {
        "Workflow name": "interactive-workflow",
        "Description": "",
        "Task Execution ID": "<none>",
    }
    assert (shown["State"], shown["State info"]) == ("RUNNING", None)
    return shown


def _await_state(mistral: Mistral, execution_id: str, state: str) -> None:
    def look() -> bool:
        found = json.loads(mistral("execution-get", execution_id, "-f", "json"))
        assert found["State"] == state or found["State"] not in FINISHED, found
        return bool(found["State"] == state)

    eventually(look, what=f"{execution_id} is {state}")
