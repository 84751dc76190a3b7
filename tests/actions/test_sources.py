"""Uploaded sources: read by everybody, run by executors only."""

from __future__ import annotations

import sys
import threading

import pytest

from mistral_lite.actions import source_reader
from mistral_lite.actions.source_loader import CodeSourceError, SourceLoader
from mistral_lite.errors import DefinitionError

HEAD = "from mistral_lib.actions import Action\n"


def described(body):
    found = source_reader.describe("my.act", HEAD + body, "A")
    return found.signature, found.is_sync, found.description


@pytest.mark.parametrize(
    ("body", "signature", "is_sync", "description"),
    [
        ("class A(Action): pass", "", True, None),
        ("class A(Action):\n  'Says.'\n  def __init__(self, a, b=None, *, c=[1], d): ...", "a, b=null, c=[1], d", True, "Says."),
        ("class A(Action):\n  def __init__(self, a, **rest): ...", "a, **kwargs", True, None),
        ("class A(Action):\n  def __init__(self, a=object()): ...", "a=null", True, None),
        ("class A(Action):\n  def is_sync(self): return False", "", False, None),
        ("class A(Action):\n  def is_sync(self):\n    'no'\n    return False", "", False, None),
        ("class A(Action):\n  def is_sync(self): return self.x", "", True, None),
        ("class B(Action):\n  def __init__(self, b): ...\n  def is_sync(self): return False\nclass A(B): pass", "b", False, None),
        ("class A(Action):\n  def __init__(self, old): ...\nclass A(Action):\n  def __init__(self, new): ...", "new", True, None),
        ("try:\n  import zz\nexcept ImportError:\n  class A(Action):\n    def __init__(self, t): ...", "t", True, None),
        ("class A(Elsewhere): pass", "**kwargs", True, None),
        ("class A(A): pass", "", True, None),
        ("from elsewhere import A", "**kwargs", True, None),
        ("def f(:", "**kwargs", True, None),
    ],
)  # fmt: skip
def test_what_a_text_says_of_a_class(body, signature, is_sync, description):
    assert described(body) == (signature, is_sync, description)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a = 1\ndef f(:\n", "Code source 's' is not Python: invalid syntax (line 2)."),
        ("x = 1\nreturn x", "Code source 's' is not Python: 'return' outside function (line 2)."),
        ("  a = 1", "Code source 's' is not Python: unexpected indent (line 1)."),
    ],
)
def test_what_is_not_python_is_refused_with_its_line(content, message):
    with pytest.raises(DefinitionError) as caught:
        source_reader.check_source("s", content)
    assert str(caught.value) == message


@pytest.mark.parametrize("content", ["a\0b", "(" * 100_000, "-" * 200_000 + "1", "x = " + "[" * 5000])
def test_what_the_parser_gives_up_on_is_refused(content):
    with pytest.raises(DefinitionError, match="not Python"):
        source_reader.check_source("s", content)


@pytest.mark.parametrize("content", ["class A: pass", "from x import A", "A = make()", "if x:\n  import A"])
def test_a_class_may_come_from_anywhere(content):
    source_reader.check_class("s", content, "A")


def test_a_class_that_is_not_there_is_named_with_those_that_are():
    with pytest.raises(DefinitionError) as caught:
        source_reader.check_class("s", "class B: pass\nclass C: pass\ndef A(): ...\nA.x = 1", "D")
    assert str(caught.value) == "Code source 's' has no class 'D'; it has: B, C."


def test_nothing_is_run_by_reading():
    content = "import sys\nsys.modules['read_by_mistake'] = 1\nclass A: pass"
    source_reader.check_class("s", content, "A")
    source_reader.describe("a", content, "A")
    assert "read_by_mistake" not in sys.modules


def load(content, class_name="A", source_hash="h1"):
    return SourceLoader().find_class("s", source_hash, content, class_name)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("\nimport nothing\n", "Code source 's' cannot be loaded: ModuleNotFoundError: No module named 'nothing' (line 2)."),
        ("def f():\n  raise SystemExit\nf()", "Code source 's' cannot be loaded: SystemExit (line 2)."),
        ("a = 1\nb = c\n", "Code source 's' cannot be loaded: NameError: name 'c' is not defined (line 2)."),
        ("def f(x: zz): ...", "Code source 's' cannot be loaded: NameError: name 'zz' is not defined (line 1)."),
        ("a =", "Code source 's' cannot be loaded: SyntaxError: invalid syntax (line 1)."),
        ("B = 1", "Code source 's' has no class 'A'."),
        ("A = 1", "Code source 's' has no class 'A'."),
        ("class A: pass", "Class 'A' of code source 's' is not a subclass of mistral_lib.actions.Action."),
    ],
)  # fmt: skip
def test_a_source_without_a_usable_class_says_why(content, message):
    with pytest.raises(CodeSourceError) as caught:
        load(content)
    assert str(caught.value) == message


def test_a_source_may_use_what_looks_its_module_up():
    content = HEAD + (
        "from __future__ import annotations\nfrom dataclasses import dataclass\n"
        "@dataclass\nclass P:\n  x: int\nclass A(Action):\n  def run(self, context): return P(2).x\n"
    )
    assert load("from __future__ import annotations\n" + content.replace("from __future__ import annotations\n", ""))().run(None) == 2  # fmt: skip


def test_each_hash_has_a_module_of_its_own_that_is_loaded_once():
    loader = SourceLoader(max_count=2)
    first = loader.find_class("s", "h-one", HEAD + "class A(Action): number = 1", "A")
    second = loader.find_class("s", "h-two", HEAD + "class A(Action): number = 2", "A")

    assert (first.number, second.number) == (1, 2)
    assert loader.find_class("s", "h-one", "never read again", "A") is first
    third = loader.find_class("s", "h-three", HEAD + "class A(Action): pass", "A")
    assert third.__module__ in sys.modules
    assert second.__module__ not in sys.modules
    assert first.__module__ in sys.modules


def test_callers_at_once_load_a_source_once(pool):
    # A module that is loaded a second time would find the mark of the first.
    mark = "loaded_once_by_callers_at_once"
    content = HEAD + f"import sys, threading\nassert '{mark}' not in sys.modules\n"
    content += f"sys.modules['{mark}'] = threading\nclass A(Action): pass"
    loader = SourceLoader()
    barrier = threading.Barrier(8)

    def find(_):
        barrier.wait(120)
        return loader.find_class("s", "h-many", content, "A")

    try:
        assert len(set(pool.map(find, range(8)))) == 1
    finally:
        sys.modules.pop(mark, None)
