"""The texts stored for the entities of a document, and the signatures shown for them."""

from __future__ import annotations

import pytest

from mistral_lite.jsontext import JsonValue
from mistral_lite.lang import documents, parse, signatures
from mistral_lite.lang.loader import load

WORKBOOK = """---
version: '2.0'
name: wb
# c0

actions:
  # before a1
  a1:
    # in a1
    base: std.echo
    base-input:
      output: "x"   # trailing

  a2:
    base: std.noop
# dedented comment
workflows:
    "w1":
        tasks:
            t1: {action: a1}

            w2:
                input:
                    text: |
                        literal
                          block
    w2: {tasks: {t: {action: std.noop}}}
    version: '2.0'

tags: [x]
"""


def test_one_workflow_keeps_its_text() -> None:
    text = "version: '2.0'\n# kept\nw: {tasks: {t: {action: a}}}\n"
    assert documents.workflow_texts(text, ["w"]) == {"w": text}


def test_several_workflows_are_written_anew() -> None:
    text = "version: '2.0'\n# lost\nw1: {tasks: {t: {action: '&a', d: {e: 2026-01-31}}}}\nw2:\n  x: [ü]\n"
    assert documents.workflow_texts(text, ["w1", "w2"]) == {
        "w1": "version: '2.0'\nw1:\n  tasks:\n    t:\n      action: '&a'\n      d:\n        e: '2026-01-31'\n",
        "w2": "version: '2.0'\nw2:\n  x:\n  - ü\n",
    }


def test_workbook_members_are_cut_out() -> None:
    assert documents.workbook_member_texts(WORKBOOK) == {
        "actions": {
            "a1": 'a1:\n  # in a1\n  base: std.echo\n  base-input:\n    output: "x"   # trailing\n',
            "a2": "a2:\n  base: std.noop\n",
        },
        "workflows": {
            "w1": '"w1":\n    tasks:\n        t1: {action: a1}\n\n        w2:\n            input:\n'
            "                text: |\n                    literal\n                      block\n",
            "w2": "w2: {tasks: {t: {action: std.noop}}}\n",
        },
    }


@pytest.mark.parametrize(
    "text",
    [
        WORKBOOK,
        "{version: '2.0', name: b, workflows: {w1: {tasks: {t: {action: a}}}, w2: {tasks: {t: {action: a}}}}}",
        "version: '2.0'\nname: b\nworkflows: {w1: {tasks: {t: {action: a}}},\n  w2: {tasks: {t: {action: a}}}}",
        "version: '2.0'\nname: b\nactions:\n  ? a\n  : base: x\n",
        "version: '2.0'\nname: b\nactions:\n  a:\n    base: x\n    base-input:\n      y: 'one\n\n  two'\n",
        "version: '2.0'\nname: b\nactions:\n  a: {base: x}\n  a: {base: y}\n",
    ],
)
def test_every_cut_means_what_the_member_says(text: str) -> None:
    whole = load(text)
    for kind, members in documents.workbook_member_texts(text).items():
        assert list(members) == [name for name in whole.get(kind, {}) if name != "version"]
        for name, member in members.items():
            assert load(member) == {name: whole[kind][name]}


@pytest.mark.parametrize(
    ("declared", "workflow", "interface", "action"),
    [
        ("[a]", "a", ["a"], "a"),
        ("[a, {b: 2}]", 'a, b="2"', ["a", {"b": 2}], "a, b=2"),
        ("[{c: {x: [1, k]}}]", "c=\"{'x': [1, 'k']}\"", [{"c": {"x": [1, "k"]}}], 'c={"x": [1, "k"]}'),
        ("[{d: null}, {f: true}]", 'd="None", f="True"', [{"d": None}, {"f": True}], "d=null, f=true"),
        (
            "[{s: 'te,xt'}, {u: ü}]",
            's="te,xt", u="ü"',
            [{"s": "te,xt"}, {"u": "ü"}],
            's="te,xt", u="\\u00fc"',
        ),
    ],
)
def test_signatures(declared: str, workflow: str, interface: JsonValue, action: str) -> None:
    (spec,) = parse.parse_workflow_list(
        f"version: '2.0'\nw: {{input: {declared}, output: {{r: 1, s: 2}}, tasks: {{t: {{action: a}}}}}}", None
    )
    (act,) = parse.parse_action_list(f"version: '2.0'\na: {{input: {declared}, base: b}}", None)
    assert signatures.workflow_input(spec) == workflow
    assert signatures.workflow_interface(spec) == {"input": interface, "output": ["r", "s"]}
    assert signatures.action_input(act) == action


def test_signatures_of_nothing() -> None:
    (spec,) = parse.parse_workflow_list("version: '2.0'\nw: {tasks: {t: {action: a}}}", None)
    (action,) = parse.parse_action_list("version: '2.0'\na: {base: b}", None)
    assert signatures.workflow_input(spec) == ""
    assert signatures.workflow_interface(spec) == {"input": [], "output": []}
    assert signatures.action_input(action) is None
