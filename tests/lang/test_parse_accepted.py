"""Documents that are accepted, and the specs they become."""

from __future__ import annotations

import pytest

from mistral_lite.jsontext import JsonValue
from mistral_lite.lang import parse
from mistral_lite.lang.specs import (
    Clause,
    ClauseSpec,
    Parameter,
    PolicySpecs,
    PublishSpec,
    RetrySpec,
    TaskSpec,
    Transition,
    WorkflowSpec,
)

_NOOP = ClauseSpec(next=(Transition(target="noop"),))
_IF_NOOP = ClauseSpec(next=(Transition(target="noop", condition="<% 1 %>"),))

ASYNC_HOWTO = """
 ---
   version: '2.0'

   my_workflow:
     tasks:
       one_plus_two:
         action: mistral_http url=http://my.webservice.com
         input:
           params:
             a: 1
             b: 2
""".replace("\n ", "\n")

INTERACTIVE = """---
version: '2.0'

interactive-workflow:

  input:
    - input_queue: "workflow-input"
    - output_queue: "workflow-output"

  tasks:

    request_user_input:
      action: zaqar.queue_post
      retry: count=5 delay=1
      input:
        queue_name: <% $.output_queue %>
        messages:
          body: "Send some input to '<% $.input_queue %>'"
      on-success: read_user_input

    read_user_input:
      pause-before: true
      action: zaqar.queue_pop
      input:
        queue_name: <% $.input_queue %>
      publish:
        user_input: <% task(read_user_input).result[0].body %>
      on-success: done

    done:
      action: std.echo output=<% $.user_input %>
      action: zaqar.queue_post
      retry: count=5 delay=1
      input:
        queue_name: <% $.output_queue %>
        messages:
          body: "You sent: '<% $.user_input %>'"
"""


def _workflow(text: str) -> WorkflowSpec:
    (spec,) = parse.parse_workflow_list(f"version: '2.0'\nw:\n  {text}", None)
    return spec


def _task(fields: str) -> TaskSpec:
    return _workflow("tasks:\n    t:\n      " + fields.replace("\n", "\n      ")).tasks["t"]


def test_seed_of_asynchronous_actions() -> None:
    (spec,) = parse.parse_workflow_list(ASYNC_HOWTO, None)
    task = spec.tasks["one_plus_two"]
    assert task.action == "mistral_http"
    assert task.input == {"url": "http://my.webservice.com", "params": {"a": 1, "b": 2}}
    assert not parse.lint(ASYNC_HOWTO)


def test_seed_of_the_interactive_workflow() -> None:
    (spec,) = parse.parse_workflow_list(INTERACTIVE, None)
    assert spec.tasks["done"].action == "zaqar.queue_post"
    assert spec.tasks["done"].policies.retry == RetrySpec(count=5, delay=1)
    assert spec.tasks["read_user_input"].policies.pause_before is True
    assert spec.start_tasks == ("request_user_input",)
    assert [warning for warning in parse.lint(INTERACTIVE) if "'action' is written again" in warning]


@pytest.mark.parametrize("version", ["'2.0'", "2.0", "2", "v2.0", "3"])
def test_the_version_of_a_list_does_not_matter(version: str) -> None:
    (spec,) = parse.parse_workflow_list(f"version: {version}\nw: {{tasks: {{t: {{action: a}}}}}}", None)
    assert spec.source["version"] == "2.0"


def test_source_has_names_and_versions_injected() -> None:
    spec = _workflow("name: other\n  tasks: {t: {action: a, name: x, type: y}, version: {action: b}}")
    assert spec.source == {
        "name": "w",
        "version": "2.0",
        "tasks": {
            "t": {"action": "a", "name": "t", "type": "direct", "version": "2.0"},
            "version": {"action": "b", "type": "direct"},
        },
    }
    assert list(spec.tasks) == ["t"]


def test_workflow_fields() -> None:
    spec = _workflow(
        "description: d\n  tags: [x]\n  input: [a, {b: null}, {c: <% 1 %>}, {a: 2}]\n  vars: {v: 1}\n"
        "  output: {o: 1}\n  output-on-error: {e: 1}\n  unknown: 1\n  tasks: {t: {action: a}}"
    )
    assert (spec.name, spec.type, spec.description, spec.tags) == ("w", "direct", "d", ("x",))
    assert spec.input == (
        Parameter(name="a", required=False, default=2),
        Parameter(name="b", required=False, default=None),
        Parameter(name="c", required=False, default="<% 1 %>"),
    )
    assert (spec.vars, spec.output, spec.output_on_error) == ({"v": 1}, {"o": 1}, {"e": 1})


@pytest.mark.parametrize(
    "tasks",
    [
        "{t-1: {}}",
        "{'t 1': {action: a}}",
        "{t: {description: d}}",
        "{t: {<<: {action: a}}}",
        "{fail: {action: a}}",
        "{a: {on-success: a}, b: {on-success: a}}",
        "{a: {on-success: t}, t: {join: one, on-success: t}}",
        "{" + "t" * 255 + ": {action: a}}",
        "{a: {on-success: " + "t" * 208 + "}, " + "t" * 208 + ": {join: all}}",
        "{t: {input: {d: [2026-01-31], 1x: 1, a-b: 2026-01-31}}}",
    ],
)
def test_accepted_tasks(tasks: str) -> None:
    assert _workflow(f"tasks: {tasks}").tasks


@pytest.mark.parametrize(
    ("fields", "action", "workflow", "given"),
    [
        ("description: d", "std.noop", None, {}),
        ("action: a", "a", None, {}),
        ("workflow: sub x=1 task_name='t3'", None, "sub", {"x": 1, "task_name": "t3"}),
        ("action: a x=1 y=2\ninput: {x: 9, z: 3}", "a", None, {"x": 1, "y": 2, "z": 3}),
        ("action: a\ninput: <% $.x %>", "a", None, "<% $.x %>"),
        ("action: a nothing\ninput: <% $.x %>", "a", None, "<% $.x %>"),
        ("action: <% $.act %> x=<% $.b %>", "<% $.act %>", None, {"x": "<% $.b %>"}),
        ("action: '{{ _.act }} x={{ _.b }}'", "{{ _.act }}", None, {"x": "{{ _.b }}"}),
        ("workflow: sub_<%$.kind%>", None, "sub_<%$.kind%>", {}),
        ("input: {x: {d: 2026-01-31}}", "std.noop", None, {"x": {"d": "2026-01-31"}}),
    ],
)
def test_calls(fields: str, action: str | None, workflow: str | None, given: JsonValue) -> None:
    task = _task(fields)
    assert (task.action, task.workflow, task.input) == (action, workflow, given)
    assert task.is_workflow_task is (workflow is not None)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("i in <% $.x %>", (("i", "<% $.x %>"),)),
        ("i in {{ _.x }}", (("i", "{{ _.x }}"),)),
        ("i in [1, 2] garbage", (("i", [1, 2]),)),
        ("iin[1]", (("i", [1]),)),
        ("a-b in [true]", (("a-b", [True]),)),
        ('i in ["<% 1 %>", {"a": null}]', (("i", ["<% 1 %>", {"a": None}]),)),
        (["i in [1]", "j in <% $.x %>"], (("i", [1]), ("j", "<% $.x %>"))),
        (["i in [1]", "i in [2]"], (("i", [2]),)),
    ],
)
def test_with_items(value: str | list[str], expected: JsonValue) -> None:
    shown = value if isinstance(value, list) else f"'{value}'"
    assert _task(f"with-items: {shown}").with_items == expected


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ("action: a", PolicySpecs()),
        ("timeout: 0\nwait-before: 0\nwait-after: 0\nconcurrency: 0", PolicySpecs()),
        ("pause-before: false\nfail-on: false", PolicySpecs()),
        ("pause-before: true\nfail-on: <% 1 %>", PolicySpecs(pause_before=True, fail_on="<% 1 %>")),
        ("timeout: 1.0\nconcurrency: 2.0", PolicySpecs(timeout=1, concurrency=2)),
        ("wait-before: '<% 1 %>  '\nwait-after: 3", PolicySpecs(wait_before="<% 1 %>  ", wait_after=3)),
        ("timeout: <% $.a %> and <% $.b %>", PolicySpecs(timeout="<% $.a %> and <% $.b %>")),
        ("retry: {count: 0, delay: 0}", PolicySpecs(retry=RetrySpec(count=0, delay=0))),
        ("retry: {count: 2.0, delay: <% 1 %>}", PolicySpecs(retry=RetrySpec(count=2, delay="<% 1 %>"))),
        (
            "retry: count=3 delay=1.5 break-on=<% $.x %> continue-on={{ _.y }}",
            PolicySpecs(retry=RetrySpec(count=3, delay=1, break_on="<% $.x %>", continue_on="{{ _.y }}")),
        ),
    ],
)
def test_policies(fields: str, expected: PolicySpecs) -> None:
    policies = _task(fields).policies
    assert policies == expected
    assert not isinstance(policies.timeout, float)


def test_default_policies() -> None:
    spec = _workflow(
        "task-defaults: {timeout: 5, wait-before: 1, retry: {count: 1, delay: 1}, pause-before: true,"
        " safe-rerun: true}\n"
        "  tasks:\n"
        "    own: {timeout: 7, wait-before: <% 0 %>, retry: count=0 delay=0, safe-rerun: false}\n"
        "    other: {timeout: 0, wait-before: 0, pause-before: false}"
    )
    own, other = spec.tasks["own"], spec.tasks["other"]
    assert own.policies == PolicySpecs(
        timeout=7, wait_before="<% 0 %>", retry=RetrySpec(count=0, delay=0), pause_before=True
    )
    assert (own.own_timeout, own.safe_rerun) == (7, False)
    assert other.policies == PolicySpecs(
        timeout=5, wait_before=1, retry=RetrySpec(count=1, delay=1), pause_before=True
    )
    assert (other.own_timeout, other.safe_rerun) == (None, True)


@pytest.mark.parametrize(
    ("value", "expected"),
    [("all", "all"), ("one", 1), ("1", 1), ("1.0", 1), ("0", None), ("0.0", None)],
)
def test_joins(value: str, expected: int | str | None) -> None:
    join = _workflow(f"tasks:\n    a: {{on-success: t}}\n    t: {{join: {value}}}").tasks["t"].join
    assert join == expected
    assert type(join) is type(expected)


@pytest.mark.parametrize(
    ("fields", "keep_result", "safe_rerun"),
    [
        ("action: a", True, False),
        ("keep-result: false\nsafe-rerun: true", False, True),
        # An expression is not evaluated and counts as true.
        ("keep-result: <% false %>\nsafe-rerun: <% false %>", True, True),
    ],
)
def test_flags(fields: str, keep_result: bool, safe_rerun: bool) -> None:
    task = _task(fields)
    assert (task.keep_result, task.safe_rerun) == (keep_result, safe_rerun)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("noop", _NOOP),
        ("[noop]", _NOOP),
        ("{next: noop}", _NOOP),
        ("{next: [noop]}", _NOOP),
        ("[{noop: <% 1 %>}]", _IF_NOOP),
        # The two mapping traps.
        ("{noop: <% 1 %>}", _IF_NOOP),
        ("{next: {noop: <% 1 %>}}", _IF_NOOP),
        (
            "[noop, {noop: <% 1 %>}]",
            ClauseSpec(next=(Transition(target="noop"), Transition(target="noop", condition="<% 1 %>"))),
        ),
        (
            "{publish: {branch: {a: 1}, global: {b: 2}, atomic: {c: 3}}}",
            ClauseSpec(publish=PublishSpec(branch={"a": 1}, global_={"b": 2}, atomic={"c": 3})),
        ),
    ],
)
def test_clause_forms(value: str, expected: ClauseSpec) -> None:
    assert _task(f"on-error: {value}").clauses == {Clause.ON_ERROR: expected}


@pytest.mark.parametrize(
    ("text", "target", "parameters"),
    [
        ('fail msg="boom boom"', "fail", {"msg": "boom boom"}),
        ("pause msg=<% $.why %>", "pause", {"msg": "<% $.why %>"}),
        ("fail(msg='boom boom')", "fail", {"msg": "boom boom"}),
        ('fail(msg="boom")', "fail", {"msg": "boom"}),
        ("fail(msg=<%$.x%>)", "fail", {"msg": "<%$.x%>"}),
        ("fail msg=x", "fail", {}),
        ('succeed msg="a" foo=1', "succeed", {"msg": "a", "foo": 1}),
        ('noop msg="x"', "noop", {"msg": "x"}),
        ("t x=1", "t", {"x": 1}),
    ],
)
@pytest.mark.parametrize("conditional", [False, True])
def test_targets(text: str, target: str, parameters: JsonValue, conditional: bool) -> None:
    quoted = "'" + text.replace("'", "''") + "'"
    item = f"{quoted}: <% 1 %>" if conditional else quoted
    spec = _workflow(f"tasks:\n    s: {{on-success: t}}\n    t:\n      on-success:\n        - {item}")
    assert spec.tasks["t"].transitions(Clause.ON_SUCCESS) == (
        Transition(target=target, condition="<% 1 %>" if conditional else None, parameters=parameters),
    )


def test_two_blanks_are_let_through_in_a_key() -> None:
    task = _task("on-success:\n  - 'fail  msg=\"x\"': <% 1 %>")
    assert task.transitions(Clause.ON_SUCCESS)[0].parameters == {"msg": "x"}


def test_default_clauses() -> None:
    spec = _workflow(
        "task-defaults:\n"
        "    on-error: {publish: {global: {lost: 1}}, next: [cleanup, noop]}\n"
        "    on-complete: cleanup\n"
        "  tasks:\n"
        "    a: {on-success: b}\n"
        "    b: {on-error: {publish: {branch: {e: 1}}}, on-complete: noop}\n"
        "    cleanup: {action: a}"
    )
    inherited = (Transition(target="cleanup"), Transition(target="noop"))
    assert spec.tasks["a"].clauses[Clause.ON_ERROR] == ClauseSpec(next=inherited)
    assert spec.tasks["b"].clauses[Clause.ON_ERROR] == ClauseSpec(
        next=inherited, publish=PublishSpec(branch={"e": 1})
    )
    assert spec.tasks["b"].clauses[Clause.ON_COMPLETE] == _NOOP
    assert spec.tasks["cleanup"].clauses[Clause.ON_ERROR] == _NOOP
    assert spec.tasks["cleanup"].transitions(Clause.ON_COMPLETE) == ()
    assert spec.start_tasks == ("a",)


def test_reverse_workflow() -> None:
    spec = _workflow(
        "type: reverse\n  task-defaults: {requires: [p], on-error: unknown}\n"
        "  tasks: {p: {action: a}, c: {requires: p}, l: {requires: [c, q]}, q: {requires: q}}"
    )
    assert {name: task.requires for name, task in spec.tasks.items()} == {
        "p": (),
        "c": ("p",),
        "l": ("c", "q", "p"),
        "q": ("q", "p"),
    }
    assert all(not task.clauses for task in spec.tasks.values())


def test_stored_source_gives_the_same_spec() -> None:
    for text in (ASYNC_HOWTO, INTERACTIVE):
        (spec,) = parse.parse_workflow_list(text, None)
        assert parse.workflow_from_source(spec.source) == spec


def test_ad_hoc_actions() -> None:
    first, second = parse.parse_action_list(
        "version: '2.0'\n"
        "get: {base: std.http method='GET' x, base-input: {url: <% $.u %>, method: PUT}, input: [u, {p: [1]}],"
        " output: <% $.content %>, description: d, tags: [x]}\n"
        "do: {base: get, output: }",
        None,
    )
    assert (first.base, first.base_input) == ("std.http", {"url": "<% $.u %>", "method": "GET"})
    assert first.input == (
        Parameter(name="u", required=True),
        Parameter(name="p", required=False, default=[1]),
    )
    assert (first.output, first.description, first.tags) == ("<% $.content %>", "d", ("x",))
    assert second.output is None
    assert parse.action_from_source(first.source) == first


@pytest.mark.parametrize("version", ["'2.0'", "2.0", "2", "'2'"])
def test_workbook(version: str) -> None:
    book = parse.parse_workbook(
        f"version: {version}\nname: b\ndescription: d\ntags: [x]\n"
        "actions: {version: '2.0', a-1: {base: std.noop}}\nworkflows: {w: {tasks: {t: {action: a-1}}}}",
        None,
    )
    assert (book.name, book.description, book.tags) == ("b", "d", ("x",))
    assert (list(book.actions), list(book.workflows)) == (["a-1"], ["w"])
    assert book.workflows["w"].name == "w"


@pytest.mark.parametrize("rest", ["", "\nactions: {version: '2.0'}", "\nactions: {a: {base: x}}"])
def test_small_workbooks(rest: str) -> None:
    assert parse.parse_workbook(f"version: '2.0'\nname: b{rest}", None).name == "b"
