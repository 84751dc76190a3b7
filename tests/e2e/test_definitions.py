"""Definitions that are refused: the answer names the place, and the service goes on."""

from __future__ import annotations

import pytest
from deployments import Deployment

UNKNOWN_TASK = """
version: '2.0'
broken:
  tasks:
    first: {action: std.noop, on-success: nowhere}
"""
BAD_YAML = """
version: '2.0'
broken:
  tasks:
    first: {action: std.noop
    second: [
"""
BAD_YAQL = """
version: '2.0'
broken:
  tasks:
    first:
      action: std.echo
      input:
        output: <% $.a + %>
"""
BAD_JINJA = """
version: '2.0'
broken:
  tasks:
    first:
      action: std.echo
      input:
        output: "{{ _.a + }}"
"""
UNKNOWN_FIELD = """
version: '2.0'
broken:
  tasks:
    first: {action: std.noop, on-sucess: first}
"""


def nested_aliases() -> str:
    """Return 10 kB of YAML whose aliases would unfold to more than any memory holds."""
    lines = ["version: '2.0'", "x0: &x0 [lol, lol, lol, lol, lol, lol, lol, lol, lol]"]
    size = sum(map(len, lines))
    while size < 10_000:
        number = len(lines) - 1
        names = ", ".join([f"*x{number - 1}"] * 9)
        lines.append(f"x{number}: &x{number} [{names}]")
        size += len(lines[-1]) + 1
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("text", "place"),
    [
        pytest.param(UNKNOWN_TASK, ["first", "nowhere"], id="unknown-task"),
        pytest.param(BAD_YAML, ["line"], id="bad-yaml"),
        pytest.param(BAD_YAQL, ["first", "input.output"], id="bad-yaql"),
        pytest.param(BAD_JINJA, ["first", "input.output"], id="bad-jinja"),
        pytest.param(UNKNOWN_FIELD, ["first", "on-sucess"], id="unknown-field"),
        pytest.param(nested_aliases(), ["x0", "line 2"], id="nested-aliases"),
        pytest.param("[" * 10_000, ["line"], id="deep-nesting"),
        pytest.param("version: '2.0'\nbroken: 3\n", ["broken"], id="no-mapping"),
    ],
)
def test_an_invalid_workflow(deployment: Deployment, text: str, place: list[str]) -> None:
    answer = deployment.call("POST", "/v2/workflows", raw=text.encode())
    assert answer.status == 400
    for word in place:
        assert word in answer.body["faultstring"]
    assert len(answer.body["faultstring"]) < 5000
    assert deployment.call("GET", "/v2/workflows/broken").status == 404

    checked = deployment.call("POST", "/v2/workflows/validate", raw=text.encode())
    assert checked.status == 200
    assert checked.body["valid"] is False

    execution_id = deployment.run("version: '2.0'\nNAME:\n  tasks:\n    t: {action: std.noop}\n")
    assert deployment.finished(execution_id)["state"] == "SUCCESS"


def test_the_client_shows_why(deployment: Deployment) -> None:
    path = deployment.folder / "broken.yaml"
    path.write_text(UNKNOWN_TASK)
    done = deployment.try_mistral("workflow-create", str(path))
    assert done.returncode != 0
    assert "nowhere" in done.stderr
