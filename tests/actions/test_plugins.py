"""Installed packs: the example one, and every way of offering actions and functions, sound and broken."""

from __future__ import annotations

import logging
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NoReturn

import pytest
from mistral_lib.actions.context import SecurityContext

from mistral_lite.actions.registry import ActionRegistry, ActionSettings
from mistral_lite.executor.runner import ActionRunner
from mistral_lite.expressions import Evaluator, ExpressionSettings
from mistral_lite.expressions.plugins import load_functions
from mistral_lite.rpc.protocol import ActionRequest, Outcome

PACK = Path(__file__).parents[2] / "docs" / "examples" / "greetings"

CODE = """
from mistral_lib.actions import Action
from mistral_lib.actions.providers.base import ActionDescriptorBase


class Base(Action):
    what = None

    def __init__(self, **given):
        self.given = given

    def run(self, context):
        return [self.what, self.given]


class Maker:
    @classmethod
    def create_actions(cls):
        made = type("Made", (Base,), {"what": "made"})
        names = "pack.made", "zaqar.queue_post", "zaqar.queue_touch"
        facts = {"class": made, "description": "Made.", "arg_list": "a, b=1"}
        return [{"name": name, **facts} for name in names]


def makers():
    yield Maker


def broken_makers():
    raise RuntimeError("no makers today")


class Descriptor(ActionDescriptorBase):
    def instantiate(self, params, wf_ctx):
        action = Base(**params)
        action.what = self.name
        return action


class Provider:
    def __init__(self, name):
        self.name = name

    def find_all(self, namespace=None, limit=None, sort_fields=None, sort_dirs=None, **filters):
        return [Descriptor(f"{self.name}.one", "One.", "x, y=2"), Descriptor("std.echo", "Not this one.", "")]

    def find(self, action_name, namespace=None):
        if action_name == f"{self.name}.bad":
            raise RuntimeError("not today")
        if not action_name.startswith(f"{self.name}."):
            return None
        return Descriptor(action_name, "Any.", None if action_name.endswith(".open") else "z")


class HalfProvider(Provider):
    def find_all(self, *given, **filters):
        return [object()]


class BrokenProvider:
    def __init__(self, name):
        raise RuntimeError("no provider today")


def ours(context, value):
    raise AssertionError("the standard function has this name")


not_callable = 1
"""

ENTRY_POINTS: Mapping[str, Mapping[str, str]] = {
    "mistral.generators": {"makers": "CODE:makers", "broken": "CODE:broken_makers", "gone": "CODE:gone"},
    "mistral.action.providers": {
        "pack": "CODE:Provider",
        "bad": "CODE:BrokenProvider",
        "half": "CODE:HalfProvider",
        "adhoc": "no.such:X",
    },
    "mistral.expression.functions": {
        "json_dump_": "CODE:ours",
        "bad": "CODE:not_callable",
        "gone": "no.such:f",
    },
}

Install = Callable[[str, str, Mapping[str, Mapping[str, str]]], None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Put a distribution of one module where Python finds it, as an installer does."""
    modules: list[str] = []

    def install(module: str, code: str, entry_points: Mapping[str, Mapping[str, str]]) -> None:
        (tmp_path / f"{module}.py").write_text(code)
        facts = tmp_path / f"{module}-1.0.dist-info"
        facts.mkdir()
        (facts / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.0\n")
        lines = []
        for group, found in entry_points.items():
            lines += [f"[{group}]", *(f"{name} = {value}" for name, value in found.items())]
        (facts / "entry_points.txt").write_text("\n".join(lines))
        monkeypatch.syspath_prepend(str(tmp_path))
        modules.append(module)

    yield install
    for module in modules:
        sys.modules.pop(module, None)


def run(registry: ActionRegistry, name: str, /, **given: object) -> tuple[Outcome, object]:
    request = ActionRequest(action_execution_id="a", attempt=1, name=name, input=given)
    report = ActionRunner(registry).run(request)
    return report.outcome, report.result


def not_connecting(_security: SecurityContext) -> NoReturn:
    raise AssertionError("nothing is connected to before an action runs")


def left_out(caplog: pytest.LogCaptureFixture) -> set[str]:
    """Return the plug-ins that the log names."""
    return {re.search(r'plugin="?([\w.:]+)', record.getMessage())[1] for record in caplog.records}


def test_the_example_pack(install: Install, capsys: pytest.CaptureFixture[str]) -> None:
    declared = tomllib.loads((PACK / "pyproject.toml").read_text())["project"]["entry-points"]
    install("greetings", (PACK / "greetings.py").read_text(), declared)

    registry = ActionRegistry.load(ActionSettings())
    hello, ask = registry.get("greetings.hello"), registry.get("greetings.ask")
    assert (hello.signature, hello.description) == ('name, greeting="hello"', "Says hello.")
    assert (hello.is_sync, ask.is_sync) == (True, False)
    assert run(registry, "greetings.hello", name="world") == (Outcome.SUCCESS, "hello world")
    assert run(registry, "greetings.hello", name="")[0] is Outcome.ERROR
    assert run(registry, "greetings.ask", question="Why?") == (Outcome.SENT, None)
    assert capsys.readouterr().out == "Why? Answer to None\n"

    evaluator = Evaluator(ExpressionSettings(), load_functions())
    assert evaluator.evaluate("<% shout($.name) %>", {"name": "hello"}, None) == "HELLO!"
    assert evaluator.evaluate("{{ shout(_.name) }}", {"name": "hello"}, None) == "HELLO!"


def test_the_tests_of_the_example_pack() -> None:
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "--rootdir",
        ".",
        "test_greetings.py",
    ]
    done = subprocess.run(command, cwd=PACK, capture_output=True, text=True, check=False, timeout=240)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture
def pack(install: Install) -> None:
    """Install a pack with something of every kind, sound and broken."""
    entry_points = {
        group: {name: value.replace("CODE", "pack_for_test") for name, value in found.items()}
        for group, found in ENTRY_POINTS.items()
    }
    install("pack_for_test", CODE, entry_points)


@pytest.mark.usefixtures("pack")
def test_generators_and_providers_and_what_is_broken(caplog: pytest.LogCaptureFixture) -> None:
    registry = ActionRegistry.load(ActionSettings())
    made, one = registry.get("pack.made"), registry.get("pack.one")
    assert (made.signature, made.description) == ("a, b=1", "Made.")
    assert (one.signature, one.description) == ("x, y=2", "One.")
    assert [item.name for item in made.parameters if item.required] == ["a"]
    assert run(registry, "pack.made", a=3) == (Outcome.SUCCESS, ["made", {"a": 3}])
    assert run(registry, "pack.one", x=3) == (Outcome.SUCCESS, ["pack.one", {"x": 3}])
    assert run(registry, "std.echo", output="ours") == (Outcome.SUCCESS, "ours")
    assert left_out(caplog) == {
        "mistral.generators:broken",
        "mistral.generators:gone",
        "mistral.action.providers:bad",
        "mistral.action.providers:half",
    }

    caplog.clear()
    assert load_functions() == {}
    assert left_out(caplog) == {
        "mistral.expression.functions:bad",
        "mistral.expression.functions:gone",
    }


@pytest.mark.usefixtures("pack")
def test_a_provider_is_asked_for_what_nobody_has(caplog: pytest.LogCaptureFixture) -> None:
    registry = ActionRegistry.load(ActionSettings())
    caplog.clear()

    found = registry.get("pack.other")
    assert (found.signature, found.description, found.accepts_any) == ("z", "Any.", False)
    assert run(registry, "pack.other", z=3) == (Outcome.SUCCESS, ["pack.other", {"z": 3}])
    assert registry.get("pack.open").parameters == ()
    assert "pack.other" not in [each.name for each in registry.list_all()]
    assert registry.find("no.such") is None
    assert not caplog.records
    assert registry.find("pack.bad") is None
    assert left_out(caplog) == {"mistral.action.providers:pack"}


@pytest.mark.usefixtures("pack")
@pytest.mark.parametrize(
    ("settings", "is_ours"),
    [
        (ActionSettings(), True),
        (ActionSettings(connect_queues=not_connecting), True),
        (ActionSettings(embedded_queues=False, connect_queues=not_connecting), True),
        (ActionSettings(embedded_queues=False), False),
    ],
)
def test_whose_the_actions_on_queues_are(
    settings: ActionSettings, is_ours: bool, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    registry = ActionRegistry.load(settings)

    assert registry.get("zaqar.queue_post").signature == ("queue_name, messages" if is_ours else "a, b=1")
    assert (registry.find("zaqar.queue_wait") is not None) == is_ours
    # What only the pack has is there in any case.
    assert registry.get("zaqar.queue_touch").signature == "a, b=1"
    said = [record.getMessage() for record in caplog.records if "event=actions.hidden" in record.getMessage()]
    by_generator = [line for line in said if "plugin=mistral.generators:makers" in line]
    assert len(by_generator) == is_ours
    assert all("action_name=zaqar.queue_post" in line for line in by_generator)
    assert any("action_name=std.echo" in line for line in said)
