"""The documents are true: tables come from the code, named tests and files exist, pages build without warnings."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import pytest

from mistral_lite import errors
from mistral_lite.api.errors import status_of
from mistral_lite.db import tables
from mistral_lite.expressions.base import ExpressionSettings
from mistral_lite.expressions.evaluator import Evaluator
from mistral_lite.lang.parse import parse_workflow_list
from tools.mutants.catalogue import MUTANTS, Mutant

ROOT = Path(__file__).resolve().parent.parent.parent
DOCS = ROOT / "docs"
PAGES = sorted([*DOCS.glob("*.rst"), ROOT / "README.rst", ROOT / "CONTRIBUTING.rst"])


def load_tool(name: str) -> ModuleType:
    spec = spec_from_file_location(name, ROOT / "tools" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def page(name: str) -> str:
    return (DOCS / name).read_text(encoding="utf-8")


def test_the_page_of_states_is_that_of_the_tables() -> None:
    assert page("state_machines.rst") == load_tool("state_machines").render()


@pytest.mark.skipif(find_spec("sphinx") is None, reason="sphinx is not installed; tox -e docs has it")
def test_the_pages_build_without_warnings(tmp_path: Path) -> None:
    arguments = ["-q", "-W", "--keep-going", "-b", "dummy", "-d", str(tmp_path / "trees"), str(DOCS)]
    done = subprocess.run(
        [sys.executable, "-m", "sphinx", *arguments, str(tmp_path / "out")],
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr


def error_classes(
    base: type[errors.MistralLiteError] = errors.MistralLiteError,
) -> Iterator[type[errors.MistralLiteError]]:
    for kind in base.__subclasses__():
        if kind.__module__ == errors.__name__:
            yield kind
            yield from error_classes(kind)


def test_every_code_of_an_error_is_listed_with_its_status() -> None:
    rows = re.findall(r"^([a-z_.]+) +(\w+Error) +(\d{3}) ", page("errors.rst"), re.MULTILINE)
    assert set(rows) == {(kind.code, kind.__name__, str(status_of(kind("any")))) for kind in error_classes()}


def test_every_table_is_listed_with_its_owner() -> None:
    section = page("architecture.rst").partition("Tables and who writes them")[2].partition("A turn of")[0]
    assert {name for name in tables.metadata.tables if not re.search(rf"\b{name}\b", section)} == set()


def test_every_crash_point_is_listed() -> None:
    code = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "mistral_lite").rglob("*.py"))
    reached = set(re.findall(r'\b_?reach\("([^"]+)"', code))
    listed = set(re.findall(r"^``(\w+\.\w+)`` +with", page("testing.rst"), re.MULTILINE))
    assert listed == reached


def test_every_mutant_is_listed() -> None:
    catalogue = (ROOT / "tools/mutants/catalogue.py").read_text(encoding="utf-8")
    section = page("reliability.rst").partition("That the tests can fail")[2]
    assert set(re.findall(r'name="([\w-]+)"', catalogue)) == set(
        re.findall(r"^   ``([\w-]+)``,", section, re.MULTILINE)
    )


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_every_mutant_changes_one_place(mutant: Mutant) -> None:
    text = (ROOT / mutant.path).read_text(encoding="utf-8")
    assert text.count(mutant.old) == 1
    # What is no Python would be noticed by everything.
    ast.parse(text.replace(mutant.old, mutant.new))


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_named_tests_and_files_exist(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    for file, name in re.findall(r"``(tests/[\w/]+\.py)::(\w+)``", text):
        tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
        assert name in {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}, name
    for file in re.findall(r"`[^`<]+<((?:docs/)?\w[\w-]*\.rst)>`_", text):
        base = ROOT if path.parent == ROOT else DOCS
        assert (base / file).is_file(), file
    for file in re.findall(r"``((?:docs|tools|tests)/[\w/.-]+)``", text):
        assert (ROOT / file).exists(), file


@pytest.mark.parametrize("path", sorted((DOCS / "examples").glob("*.yaml")), ids=lambda path: path.name)
def test_examples_are_valid_workflows(path: Path) -> None:
    assert parse_workflow_list(path.read_text(encoding="utf-8"), Evaluator(ExpressionSettings()).check_syntax)


def test_the_workflow_in_the_readme_is_the_example() -> None:
    text = (ROOT / "README.rst").read_text(encoding="utf-8")
    block = text.partition(".. code-block:: yaml\n\n")[2].partition("\nWith ``sh tools/serve.sh``")[0]
    shown = "\n".join(line.removeprefix("   ") for line in block.splitlines())
    assert shown.strip() == (DOCS / "examples" / "sum.yaml").read_text(encoding="utf-8").strip()
