"""Documents that are refused, and that the message names the place."""

from __future__ import annotations

import contextlib

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from mistral_lite.errors import DefinitionError, ExpressionSyntaxError
from mistral_lite.lang import parse


def _checker(text: str) -> None:
    if "<% ( %>" in text:
        raise ExpressionSyntaxError("unexpected end")


def _task(fields: str) -> str:
    return "version: '2.0'\nw:\n  tasks:\n    t:\n      " + fields.replace("\n", "\n      ")


def _workflow(fields: str) -> str:
    return "version: '2.0'\nw:\n  " + fields.replace("\n", "\n  ") + "\n  tasks: {t: {action: std.noop}}"


def _refusal(text: str) -> str:
    with pytest.raises(DefinitionError) as caught:
        parse.parse_workflow_list(text, _checker)
    return caught.value.message


@pytest.mark.parametrize(
    ("text", "fragment"),
    [
        ("", "'version' is a required property"),
        ("[1]", "not of type 'object'"),
        ("version: '2.0'", "At least one item must be in the list"),
        ("version:\nw: {tasks: {t: {action: a}}}", "field 'version' (line 1)"),
        ("version: -1\nw: {tasks: {t: {action: a}}}", "field 'version'"),
        ("version: true\nw: {tasks: {t: {action: a}}}", "field 'version'"),
        ("version: ''\nw: {tasks: {t: {action: a}}}", "should be non-empty"),
        ("version: 2026-01-01\nw: {tasks: {t: {action: a}}}", "read as a date"),
        ("version: '2.0'\nname: wb\nworkflows: {}", "looks like a workbook"),
        ("version: '2.0'\nw:", "workflow 'w' (line 2): is empty"),
        ("version: '2.0'\nw: {}", "should be non-empty"),
        ("version: '2.0'\nw: {type: direct}", "Workflow doesn't have any tasks"),
        ("version: '2.0'\nw: {tasks: {}}", "Workflow doesn't have any tasks"),
        ("version: '2.0'\nw: {tasks: [a]}", "field 'tasks' (line 2): is a list"),
        ("version: '2.0'\n1: {tasks: {t: {action: a}}}", "not a text in YAML"),
        ("version: '2.0'\na b: {tasks: {t: {action: a}}}", "Name 'a b' must not contain spaces"),
        ("version: '2.0'\n" + "a" * 256 + ": {tasks: {t: {action: a}}}", "has 256 characters"),
        ("version: '2.0'\n6ba7b8109dad11d180b400c04fd430c8: {tasks: {t: {action: a}}}", "format of UUID"),
        ("version: '2.0'\n'{6ba7b810-9dad-11d1-80b4-00c04fd430c8}': {tasks: {t: {action: a}}}", "UUID"),
        (_workflow("type: odd"), "field 'type' (line 3): is an unknown workflow type"),
        (_workflow("type:"), "unknown workflow type"),
        (_workflow("tags: []"), "field 'tags'"),
        (_workflow("input: []"), "field 'input'"),
        (_workflow("input: {a: 1}"), "not of type 'array'"),
        (_workflow("input: [{a: 1, b: 2}]"), "field 'input[0]' (line 3): has too many properties"),
        (_workflow("input: [a, 1]"), "field 'input[1]'"),
        (_workflow("input: [a, a]"), "has non-unique elements"),
        (_workflow("input: [{a: 2026-01-31}]"), "read as a date"),
        (_workflow("vars: {}"), "field 'vars'"),
        (_workflow("vars: {1: a}"), "field 'vars.1'"),
        (_workflow("vars: {a: '<% ( %>'}"), "field 'vars.a' (line 3): unexpected end"),
        (_workflow("output: [a]"), "field 'output'"),
        (_workflow("output: {a: '<% ( %>'}"), "field 'output.a'"),
        (_workflow("output-on-error: {}"), "field 'output-on-error'"),
        (_workflow("task-defaults: {}"), "field 'task-defaults'"),
        (_workflow("task-defaults: {publish: {a: 1}}"), "('publish' was unexpected)"),
        (_workflow("task-defaults: {type: direct}"), "('type' was unexpected)"),
        (_workflow("task-defaults: {timeout: -1}"), "field 'task-defaults.timeout'"),
        (
            _workflow("task-defaults: {timeout: <% ( %>}"),
            "field 'task-defaults.timeout' (line 3): unexpected",
        ),
        (
            _workflow("task-defaults:\n  on-error: zz"),
            "field 'task-defaults.on-error' (line 4): Task 'zz' not found",
        ),
    ],
)
def test_workflow_level(text: str, fragment: str) -> None:
    assert fragment in _refusal(text)


@pytest.mark.parametrize(
    ("fields", "fragment"),
    [
        (
            "bogus: 1",
            "field 'bogus' (line 5): Additional properties are not allowed ('bogus' was unexpected)",
        ),
        ("on: 1", "the key is not a text in YAML"),
        ("requires: a", "('requires' was unexpected)"),
        ("action: a\nworkflow: b", "both 'action' and 'workflow'"),
        ("action: 1", "field 'action' (line 5): is a number"),
        ("action: ''", "should be non-empty"),
        ("action: ' a x=1'", "Invalid action/workflow task property"),
        ("workflow: '= x'", "Invalid action/workflow task property"),
        ("action: a x=1\ninput: <% $.x %>", "field 'input' (line 6): is a text while"),
        ("action: a x=<% ( %>", "field 'input.x'"),
        ("input: {}", "field 'input'"),
        ("input: [a]", "not of type 'object'"),
        ("input: {a: 2026-01-31}", "field 'input.a'"),
        ("input: <% ( %>", "field 'input' (line 5): unexpected end"),
        ("description: ''", "field 'description'"),
        ("tags: a", "field 'tags'"),
        ("tags: [a, a]", "has non-unique elements"),
        ("target: 1", "field 'target'"),
        ("publish: {}", "field 'publish'"),
        ("publish-on-error: {a: '<% ( %>'}", "field 'publish-on-error.a'"),
        ("publish-on-skip: a", "field 'publish-on-skip'"),
        ("keep-result: 1", "field 'keep-result'"),
        ("keep-result:", "field 'keep-result'"),
        ("safe-rerun: 'yes'", "field 'safe-rerun'"),
        ("safe-rerun: <% ( %>", "field 'safe-rerun' (line 5): unexpected end"),
        # Policies.
        ("timeout: -1", "field 'timeout'"),
        ("timeout: 1.5", "field 'timeout'"),
        ("timeout: '1'", "field 'timeout'"),
        ("timeout: true", "field 'timeout'"),
        ("timeout: ' <% 1 %>'", "field 'timeout'"),
        ("timeout: a <% 1 %>", "field 'timeout'"),
        ("timeout: '{% if a %}1{% endif %}'", "field 'timeout'"),
        ('timeout: "<% 1\\n %>"', "field 'timeout'"),
        ("wait-before:", "field 'wait-before'"),
        ("wait-after: [1]", "field 'wait-after'"),
        ("concurrency: <% ( %>", "field 'concurrency' (line 5): unexpected end"),
        ("pause-before: 1", "field 'pause-before'"),
        ("fail-on: abc", "field 'fail-on'"),
        ("retry:", "field 'retry'"),
        ("retry: ''", "field 'retry'"),
        ("retry: {count: 3}", "'delay' is a required property"),
        ("retry: count=3", "'count' is a required property"),
        ("retry: count=3 delay=-1", "'delay' is a required property"),
        ("retry: count='3' delay=1", "field 'retry.count'"),
        ("retry: {count: true, delay: 1}", "field 'retry.count'"),
        ("retry: count=3 delay=1 foo=2", "('foo' was unexpected)"),
        ("retry: {count: 3, delay: 1, break-on: abc}", "field 'retry.break-on'"),
        (
            "retry: {count: 3, delay: 1, continue-on: <% ( %>}",
            "field 'retry.continue-on' (line 5): unexpected",
        ),
        ("retry: count=3 delay=1 break-on=<% ( %>", "field 'retry.break-on' (line 5): unexpected"),
        # with-items.
        ("with-items: i in abc", "Wrong format of 'with-items' property"),
        ("with-items: i in []", "Wrong format of 'with-items' property"),
        ("with-items: \"i in ['a']\"", "Invalid array in 'with-items' clause"),
        ('with-items: "i in <% $.x\\n %>"', "Wrong format of 'with-items' property"),
        ("with-items: ['i in [1]', 'i in [1]']", "has non-unique elements"),
        ("with-items: ['i in [1]', 2]", "field 'with-items[1]'"),
        ("with-items: []", "field 'with-items'"),
        ("with-items: {i: [1]}", "field 'with-items'"),
        ("with-items: i in <% ( %>", "field 'with-items.i'"),
        ("with-items: 'i in [1, \"<% ( %>\"]'", "field 'with-items.i[1]'"),
        ("with-items: i in [" + "[" * 300 + "]" * 300 + "]", "nested too deeply"),
        # Joins.
        ("join: true", "field 'join'"),
        ("join: '1'", "field 'join'"),
        ("join: 1.5", "field 'join'"),
        ("join: -1", "field 'join'"),
        ("join: all", "No inbound tasks for task with 'join: all'"),
        ("join: one", "Not enough inbound tasks for task with 'join'"),
        ("join: 2", "it waits for 2, 0 lead to it"),
    ],
)
def test_task_level(fields: str, fragment: str) -> None:
    message = _refusal(_task(fields))
    assert "workflow 'w', task 't'" in message
    assert fragment in message


@pytest.mark.parametrize(
    ("value", "fragment"),
    [
        ("", "is empty"),
        ("''", "is not valid"),
        ("[]", "should be non-empty"),
        ("{}", "is not valid"),
        ("1", "is not valid"),
        ("[noop, noop]", "[1]' (line 5): has non-unique elements"),
        ("[noop, null]", "field 'on-success[1]'"),
        ("zz", "Task 'zz' not found"),
        ("{next: zz}", "Task 'zz' not found"),
        ("'fail  msg=\"x\"'", "is not valid"),
        ("'my-task msg=\"x\"'", "is not valid"),
        ("<% $.next %>", "is not valid"),
        ("<%$.next%>", "Task '<%$.next%>' not found"),
        ("fail(x)", "Task 'fail(x)' not found"),
        ("other(msg=1)", "Task 'other(msg=1)' not found"),
        ("[{noop: true}]", "field 'on-success[0].noop'"),
        ("[{noop: yes}]", "write one expression"),
        ("[{noop: x > 1}]", "write one expression"),
        ("[{noop: '{% if _.x %}1{% endif %}'}]", "write one expression"),
        ("[{noop: <% 1 %>, fail: <% 1 %>}]", "more or less than one key"),
        ("[{' noop x=1': <% 1 %>}]", "does not start with a name"),
        ("[{1: <% 1 %>}]", "not a text in YAML"),
        ("[{noop: <% ( %>}]", "field 'on-success.noop'"),
        ("{noop: true}", "write one expression"),
        ("{noop: <% 1 %>, fail: <% 1 %>}", "keys 'publish' and 'next' only"),
        ("{next: noop, foo: 1}", "keys 'publish' and 'next' only"),
        ("{next: }", "field 'on-success.next'"),
        ("{next: []}", "field 'on-success.next'"),
        ("{next: {noop: true}}", "field 'on-success.next.noop'"),
        ("{publish: {}}", "Either 'branch', 'global' or 'atomic' must be specified"),
        ("{publish: a}", "field 'on-success.publish'"),
        ("{publish: {x: 1}}", "('x' was unexpected)"),
        ("{publish: {branch: {}}}", "field 'on-success.publish.branch'"),
        ("{publish: {global: {a: <% ( %>}}}", "field 'on-success.publish.global.a'"),
    ],
)
def test_clauses(value: str, fragment: str) -> None:
    assert fragment in _refusal(_task(f"on-success: {value}"))


@pytest.mark.parametrize(
    ("tasks", "fragment"),
    [
        ("{t: {}}", "task 't' (line 3): should be non-empty"),
        ("{t: }", "task 't' (line 3): is empty"),
        ("{t-1: }", "is empty"),
        ("{1: {action: a}}", "not a text in YAML"),
        ("{'': {action: a}}", "empty name"),
        ("{" + "t" * 256 + ": {action: a}}", "task name must not exceed 255 symbols"),
        (
            "{a: {on-success: x}, " + "t" * 209 + ": {join: all}}",
            "join task name must not exceed 208 symbols",
        ),
        ("{a: {on-success: b}, b: {on-success: a}}", "Failed to find start tasks in direct workflow"),
        ("{t: {on-success: t}}", "Failed to find start tasks"),
        ("{a: {on-success: t, on-error: t}, t: {join: 2}}", "it waits for 2, 1 lead to it"),
        ("{version: {action: a}}", "Failed to find start tasks"),
    ],
)
def test_task_graph(tasks: str, fragment: str) -> None:
    assert fragment in _refusal(f"version: '2.0'\nw:\n  tasks: {tasks}")


@pytest.mark.parametrize(
    ("body", "fragment"),
    [
        ("tasks: {t: {on-success: t}}", "('on-success' was unexpected)"),
        ("tasks: {t: {join: all}}", "('join' was unexpected)"),
        ("tasks: {t: {requires: x}}", "task 't', field 'requires' (line 4): Task 'x' not found"),
        ("tasks: {t: {requires: noop}}", "Task 'noop' not found"),
        ("tasks: {t: {requires: []}}", "field 'requires'"),
        ("task-defaults: {requires: x}\n  tasks: {t: {action: a}}", "field 'task-defaults.requires'"),
    ],
)
def test_reverse(body: str, fragment: str) -> None:
    assert fragment in _refusal(f"version: '2.0'\nw:\n  type: reverse\n  {body}")


@pytest.mark.parametrize(
    ("body", "fragment"),
    [
        ("input: [a]", "'base' is a required property"),
        ("base: ''", "field 'base'"),
        ("base: ' x a=1'", "Invalid action/workflow task property"),
        ("base: x\n  foo: 1", "('foo' was unexpected)"),
        ("base: x\n  base-input: {}", "field 'base-input'"),
        ("base: x\n  base-input: <% $ %>", "not of type 'object'"),
        ("base: x\n  base-input: {a: <% ( %>}", "field 'base-input.a' (line 4): unexpected end"),
        ("base: x a=<% ( %>", "field 'base-input.a'"),
        ("base: x\n  output: <% ( %>", "field 'output'"),
        ("base: x\n  output: 2026-01-01", "read as a date"),
        ("base: x\n  description: ''", "field 'description'"),
        ("base: x\n  input: [{a: 1, b: 2}]", "too many properties"),
    ],
)
def test_actions(body: str, fragment: str) -> None:
    with pytest.raises(DefinitionError) as caught:
        parse.parse_action_list(f"version: '2.0'\nact:\n  {body}", _checker)
    assert fragment in caught.value.message
    assert "action 'act'" in caught.value.message


@pytest.mark.parametrize(
    ("text", "fragment"),
    [
        ("version: 3\nname: b", "Unsupported DSL version: 3"),
        ("version: abc\nname: b", "Unsupported DSL version: abc"),
        ("version:\nname: b", "Unsupported DSL version"),
        ("version: true\nname: b", "Unsupported DSL version"),
        ("version: .nan\nname: b", "Unsupported DSL version"),
        ("[a]", "not of type 'object'"),
        ("name: b", "'version' is a required property"),
        ("version: '2.0'", "'name' is a required property"),
        ("version: '2.0'\nname: ''", "field 'name'"),
        ("version: '2.0'\nname: 1", "field 'name'"),
        ("version: '2.0'\nname: a b", "must not contain spaces"),
        ("version: '2.0'\nname: b\ntriggers: {}", "('triggers' was unexpected)"),
        ("version: '2.0'\nname: b\ntags: []", "field 'tags'"),
        ("version: '2.0'\nname: b\nactions: {}", "field 'actions'"),
        ("version: '2.0'\nname: b\nworkflows:", "field 'workflows'"),
        ("version: '2.0'\nname: b\nactions: {a.b: {base: x}}", "action 'a.b' (line 3)"),
        ("version: '2.0'\nname: b\nactions: {a: {}}", "action 'a'"),
        ("version: '2.0'\nname: b\nactions: {a: {base: x, output: <% ( %>}}", "action 'a', field 'output'"),
        ("version: '2.0'\nname: b\nworkflows: {w: }", "workflow 'w'"),
        ("version: '2.0'\nname: b\nworkflows: {w: {tasks: {t: {on-error: z}}}}", "Task 'z' not found"),
        (
            f"version: '2.0'\nname: {'b' * 200}\nactions: {{{'a' * 60}: {{base: x}}}}",
            "more than 255 characters",
        ),
    ],
)
def test_workbooks(text: str, fragment: str) -> None:
    with pytest.raises(DefinitionError) as caught:
        parse.parse_workbook(text, _checker)
    assert fragment in caught.value.message


def test_everything_is_reported_at_once() -> None:
    message = _refusal("version: '2.0'\nw1: {tasks: {t: {bogus: 1, timeout: x}}}\nw2: {tasks: []}")
    assert [line.split(":")[0] for line in message.removeprefix("Invalid DSL: ").split("\n")] == [
        "workflow 'w1', task 't', field 'bogus' (line 2)",
        "workflow 'w1', task 't', field 'timeout' (line 2)",
        "workflow 'w2', field 'tasks' (line 3)",
    ]


def test_a_flood_of_findings_is_cut() -> None:
    message = _refusal(_task("\n".join(f"bogus{number}: 1" for number in range(80))))
    assert message.endswith("\nand 30 more")


def test_graph_and_expressions_are_reported_together() -> None:
    with pytest.raises(DefinitionError) as caught:
        parse.parse_workflow_list(_task("on-success: zz\npublish: {a: <% ( %>}"), _checker)
    assert type(caught.value) is DefinitionError
    assert "Task 'zz' not found" in caught.value.message
    assert "field 'publish.a'" in caught.value.message


def test_only_expressions_make_an_expression_error() -> None:
    with pytest.raises(ExpressionSyntaxError, match=r"task 't', field 'publish\.a' \(line 5\)"):
        parse.parse_workflow_list(_task("publish: {a: <% ( %>}"), _checker)


def test_checks_can_be_left_out() -> None:
    text = _task("on-success: zz\npublish: {a: <% ( %>}")
    (spec,) = parse.parse_workflow_list(text, None, graph_checks=False)
    assert spec.tasks["t"].publish == {"a": "<% ( %>"}


@pytest.mark.parametrize(
    "fields",
    [
        "target: <% ( %>",
        "action: <% ( %> x=1",
        "input: {x: [<% ( %>]}",
        "on-success: 'fail msg=<% ( %>'",
        "publish: {a: {b: <% ( %>}}",
    ],
)
def test_expressions_that_only_show_at_run_time(fields: str) -> None:
    assert parse.parse_workflow_list(_task(fields), _checker)


def test_values_of_inputs_are_never_shown() -> None:
    assert "hunter2" not in _refusal(_task("input: [hunter2]\nbogus: {password: hunter2}"))


_WORDS = st.sampled_from(
    (
        *(
            "version",
            "w",
            "tasks",
            "t",
            "action",
            "std.noop",
            "on-success",
            "on-error",
            "next",
            "publish",
            "join",
        ),
        *("branch", "all", "with-items", "i in [1]", "retry", "count=1 delay=1", "input", "type", "reverse"),
        *("requires", "name", "workflows", "actions", "base", "task-defaults", "output", "vars", "2.0"),
        *("fail msg=1", "<% $.x %>", "{{ _ }}"),
    )
)
_VALUES = st.recursive(
    st.one_of(_WORDS, st.none(), st.booleans(), st.integers(-2, 3), st.floats(0, 2)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(_WORDS, inner, max_size=4)),
    max_leaves=12,
)
_TASKS = st.dictionaries(_WORDS, st.dictionaries(_WORDS, _VALUES, max_size=4), max_size=3)
_WORKFLOWS = st.builds(
    lambda rest, tasks: {**rest, "tasks": tasks}, st.dictionaries(_WORDS, _VALUES, max_size=2), _TASKS
)


@settings(max_examples=300, deadline=None)
@given(
    st.one_of(
        _VALUES,
        st.builds(
            lambda body: {"version": "2.0", "name": "n", "workflows": {"w": body}, "w": body}, _WORKFLOWS
        ),
    )
)
def test_any_document_parses_or_is_refused(value: object) -> None:
    text = yaml.safe_dump(value)
    for parse_text in (parse.parse_workflow_list, parse.parse_action_list, parse.parse_workbook, parse.lint):
        with contextlib.suppress(DefinitionError):
            parse_text(text)


@settings(max_examples=300, deadline=None)
@given(_WORKFLOWS)
def test_any_workflow_parses_or_is_refused(body: object) -> None:
    text = yaml.safe_dump({"version": "2.0", "w": body})
    parse.lint(text)
    with contextlib.suppress(DefinitionError):
        for spec in parse.parse_workflow_list(text, _checker):
            assert parse.workflow_from_source(spec.source) == spec
