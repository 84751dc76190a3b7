"""Warnings about valid documents."""

from __future__ import annotations

import pytest

from mistral_lite.lang import parse


def _lint(workflow: str) -> list[str]:
    return parse.lint("version: '2.0'\nw:\n  " + workflow.replace("\n", "\n  "))


@pytest.mark.parametrize(
    ("fields", "fragment"),
    [
        ("action: a\naction: b", "line 6: the key 'action' is written again, first in line 5"),
        ("action: a url=word", "task 't', field 'action' (line 5): 'url=word' is not understood"),
        ("workflow: a x=-1", "'x=-1' is not understood"),
        ("retry: count=3 delay=1.5", "field 'retry' (line 5): '.5' is not understood"),
        ("keep-result: <% false %>", "field 'keep-result' (line 5): an expression is not evaluated"),
        ("safe-rerun: <% false %>", "an expression is not evaluated"),
        ("concurrency: 2", "has no effect without 'with-items'"),
        ("on-success: {noop: <% 1 %>}", "field 'on-success' (line 5): a mapping is read as one conditional"),
        ("on-success: {next: {noop: <% 1 %>}}", "field 'on-success.next' (line 5): a mapping is read as one"),
        (
            "on-success: {publish: {atomic: {a: 1}}}",
            "field 'on-success.publish.atomic' (line 5): has no effect",
        ),
        ("on-success: 'fail msg=\"x\" foo=1'", "reads the parameter 'msg' only"),
        ("on-success: 'u x=1'", "parameters of the transition to task 'u' have no effect"),
        ("publish: {u: 1}", "field 'publish.u' (line 5): the variable has the name of a task"),
        ("publish: {i: 1}", "hides the with-items variable 'i'"),
        ("on-error: {publish: {branch: {i: 1}}}", "hides the with-items variable 'i'"),
        ('publish: {a: "<% $.b\\n %>"}', "field 'publish.a' (line 5): an expression over several lines"),
        ("publish: {a: <% set(1,2) %>}", "'<%' without '%>' is plain text"),
        ("publish: {a: '<% $.b %> '}", "blanks around the expression"),
        ("publish: {a: ' {{ _.b }}'}", "blanks around the expression"),
        ("input: {a: [{b: ' <% $.b %>'}]}", "field 'input.a[0].b'"),
    ],
)
def test_task_warnings(fields: str, fragment: str) -> None:
    body = fields.replace("\n", "\n    ")
    found = _lint(f"tasks:\n  t:\n    {body}\n  u: {{with-items: 'i in [1]'}}")
    assert [warning for warning in found if fragment in warning], found
    assert len(found) == 1


@pytest.mark.parametrize(
    ("body", "fragment"),
    [
        ("taks-defaults: {timeout: 1}", "no such key, it has no effect; did you mean 'task-defaults'?"),
        ("zzz: 1", "field 'zzz' (line 3): a workflow has no such key, it has no effect"),
        ("input: [{a: <% env().x %>}]", "field 'input.a' (line 3): a default is never evaluated"),
        (
            "task-defaults: {requires: t}",
            "field 'task-defaults.requires' (line 3): has no effect in a direct",
        ),
        (
            "task-defaults: {on-error: {publish: {branch: {a: 1}}, next: noop}}",
            "in a default clause has no effect",
        ),
        ("task-defaults: {safe-rerun: <% 1 %>}", "field 'task-defaults.safe-rerun'"),
    ],
)
def test_workflow_warnings(body: str, fragment: str) -> None:
    found = _lint(f"{body}\ntasks: {{t: {{action: a}}}}")
    assert [warning for warning in found if fragment in warning], found
    assert len(found) == 1


@pytest.mark.parametrize(
    ("text", "fragment"),
    [
        ("version: 3\nw: {tasks: {t: {action: a}}}", "field 'version' (line 1): only '2.0' exists"),
        ("version: '2.0'\nw: {tasks: {fail: {action: a}}}", "'fail' is always the engine command"),
        ("version: '2.0'\nw: {tasks: {t: {action: a}, version: {action: b}}}", "'version' is no task name"),
        (
            "version: '2.0'\nw: {type: reverse, tasks: {a: {requires: b}, b: {requires: a}}}",
            "in a circle (a → b → a)",
        ),
        (
            "version: '2.0'\nw: {type: reverse, task-defaults: {on-error: x}, tasks: {a: {action: b}}}",
            "field 'task-defaults.on-error' (line 2): has no effect in a reverse workflow",
        ),
        (
            "version: '2.0'\na: {base: b x=abc}",
            "action 'a', field 'base' (line 2): 'x=abc' is not understood",
        ),
        ("version: '2.0'\na: {base: b, input: [{x: '{{ 1 }}'}]}", "a default is never evaluated"),
        ("version: '2.0'\nname: n\nactions: {a: {base: b x=abc}}", "action 'a', field 'base'"),
        (
            "version: '2.0'\nname: n\nworkflows: {w: {zzz: 1, tasks: {t: {action: a}}}}",
            "workflow 'w', field 'zzz'",
        ),
    ],
)
def test_other_warnings(text: str, fragment: str) -> None:
    found = parse.lint(text)
    assert [warning for warning in found if fragment in warning], found
    assert len(found) == 1


@pytest.mark.parametrize(
    "text",
    [
        "a: [",
        "[1]",
        "version: '2.0'",
        "version: '2.0'\nw: 1",
        "version: '2.0'\nw: {zzz: 1, tasks: []}",
        "version: '2.0'\nw: {tasks: {t: {action: a x=1, on-success: [{noop: <% 1 %>}], publish: {a: x <% 1 %>}}}}",
        "version: '2.0'\nname: n\nactions: {version: '2.0', a: {base: b}}",
    ],
)
def test_nothing_to_say(text: str) -> None:
    assert parse.lint(text) == []


def test_a_long_chain_of_requirements_is_no_circle() -> None:
    tasks = ", ".join(f"t{number}: {{requires: t{number - 1}}}" for number in range(1, 3000))
    assert parse.lint(f"version: '2.0'\nw: {{type: reverse, tasks: {{t0: {{action: a}}, {tasks}}}}}") == []
