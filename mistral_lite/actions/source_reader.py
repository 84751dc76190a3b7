"""What an uploaded Python source says of its action classes, read without running it.

Code of users runs in executors only (``source_loader``). Whoever else needs to know the parameters of such an
action takes them from the text, as far as they can be seen there.
"""

from __future__ import annotations

import ast
import symtable
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from mistral_lite.errors import DefinitionError
from mistral_lite.jsontext import JsonValue, dump
from mistral_lite.workflow.descriptors import ActionDescriptor, ActionParameter

_FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef
_BASE = "Action"


def check_source(source_name: str, content: str) -> None:
    """Raise ``DefinitionError`` naming the line unless ``content`` is the text of a Python module."""
    with _faults_named(source_name):
        # More than parsing: a "return" outside of functions, for one, is found now. Nothing is run.
        compile(content, source_name, "exec", dont_inherit=True)


def check_class(source_name: str, content: str, class_name: str) -> None:
    """Raise ``DefinitionError`` unless the module would hold something called ``class_name``."""
    classes = _classes(_parse(source_name, content))
    with _faults_named(source_name):
        if class_name in classes or class_name in _other_names(content):
            return
    raise DefinitionError(
        f"Code source '{source_name}' has no class '{class_name}'; it has: {', '.join(classes) or 'none'}."
    )


def describe(name: str, content: str, class_name: str) -> ActionDescriptor:
    """Return the descriptor of the action ``name``.

    What the text does not show, as with a base class from elsewhere, is left to the executor: such an action
    accepts any parameters here.
    """
    unknown = ActionDescriptor(name=name, class_name=class_name, accepts_any=True)
    try:
        classes = _classes(_parse(name, content))
    except DefinitionError:
        return unknown
    if class_name not in classes:
        return unknown
    constructor, is_known = _find_method(classes, class_name, "__init__")
    parameters, accepts_any = _read_signature(constructor) if constructor else ((), not is_known)
    return ActionDescriptor(
        name=name,
        class_name=class_name,
        description=ast.get_docstring(classes[class_name]),
        parameters=parameters,
        accepts_any=accepts_any,
        is_sync=_is_sync(_find_method(classes, class_name, "is_sync")[0]),
    )


@contextmanager
def _faults_named(source_name: str) -> Iterator[None]:
    try:
        yield
    except SyntaxError as error:
        raise DefinitionError(
            f"Code source '{source_name}' is not Python: {error.msg} (line {error.lineno or 1})."
        ) from error
    except (ValueError, RecursionError, MemoryError) as error:
        # A NUL character, or nesting that the parser gives up on; neither names a line.
        raise DefinitionError(
            f"Code source '{source_name}' is not Python that can be read: {type(error).__name__}."
        ) from error


def _parse(source_name: str, content: str) -> ast.Module:
    with _faults_named(source_name):
        return ast.parse(content)


def _classes(module: ast.Module) -> dict[str, ast.ClassDef]:
    """Return the classes of a module by name; a later one replaces an earlier one, as in Python."""
    found: dict[str, ast.ClassDef] = {}
    waiting: list[ast.AST] = list(module.body)
    while waiting:
        node = waiting.pop(0)
        if isinstance(node, ast.ClassDef):
            found[node.name] = node
        elif not isinstance(node, _FunctionNode):
            waiting.extend(
                child
                for child in ast.iter_child_nodes(node)
                if isinstance(child, (ast.stmt, ast.excepthandler))
            )
    return found


def _other_names(content: str) -> set[str]:
    """Return the names that a module binds in other ways than by a class, such as imports."""
    symbols = symtable.symtable(content, "<code source>", "exec").get_symbols()
    return {symbol.get_name() for symbol in symbols if symbol.is_assigned() or symbol.is_imported()}


def _find_method(
    classes: Mapping[str, ast.ClassDef], class_name: str, method: str
) -> tuple[_FunctionNode | None, bool]:
    """Return a method of a class or of its bases in the module, and whether all bases are known."""
    seen: set[str] = set()
    waiting = [class_name]
    is_known = True
    while waiting:
        name = waiting.pop(0)
        if name in seen or name == _BASE:
            continue
        seen.add(name)
        if name not in classes:
            is_known = False
            continue
        for node in classes[name].body:
            if isinstance(node, _FunctionNode) and node.name == method:
                return node, True
        waiting.extend(_last_name(base) for base in classes[name].bases)
    return None, is_known


def _last_name(node: ast.expr) -> str:
    """Return ``Action`` for ``Action`` and for ``actions.Action``; what is neither has no name."""
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def _read_signature(constructor: _FunctionNode) -> tuple[tuple[ActionParameter, ...], bool]:
    """Return the parameters of a constructor but ``self``, and whether it takes any others."""
    arguments = constructor.args
    positional = [*arguments.posonlyargs, *arguments.args]
    padding = [None] * (len(positional) - len(arguments.defaults))
    pairs = [*zip(positional, [*padding, *arguments.defaults], strict=True)][1:]
    pairs += zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
    parameters = tuple(
        ActionParameter(name=item.arg, required=default is None, default=_literal(default))
        for item, default in pairs
    )
    return parameters, arguments.kwarg is not None


def _literal(node: ast.expr | None) -> JsonValue:
    """Return the value of a default that is written out, None for any other."""
    if node is None:
        return None
    try:
        value: JsonValue = ast.literal_eval(node)
        dump(value)
    except (ValueError, TypeError, RecursionError):
        return None
    return value


def _is_sync(method: _FunctionNode | None) -> bool:
    """Tell what ``is_sync`` returns; true for one that has to be run to know. The executor knows better."""
    if method is None:
        return True
    last = method.body[-1]
    is_plain = isinstance(last, ast.Return) and isinstance(last.value, ast.Constant) and len(method.body) <= 2
    return bool(last.value.value) if is_plain else True  # type: ignore[attr-defined]
