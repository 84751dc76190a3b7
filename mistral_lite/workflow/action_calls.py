"""From the name of an action and its input to an order for an executor.

Ad-hoc actions are unfolded here: each level gives its base an input made from its own, until an installed or
dynamic action is reached; the levels passed are kept, since their output transformations apply to the result.
Source: language reference, "Ad-hoc actions", and engine reference, "Actions at run time".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from mistral_lite.errors import EvaluationError, InputError, NotFoundError
from mistral_lite.expressions.base import LayeredContext
from mistral_lite.jsontext import JsonObject, JsonValue
from mistral_lite.lang.specs import ActionSpec
from mistral_lite.workflow.library import Library, PythonAction
from mistral_lite.workflow.starting import check_parameters, with_defaults


class GracefulFailure(Exception):  # noqa: N818 - an outcome of starting a task, not an error of ours
    """Starting an action or a nested workflow failed in a way that ``on-error`` may handle."""


class ActionCall(NamedTuple):
    """What to record (``name``, ``input``) and what to run (``base``, ``base_input``, ``code``).

    ``worker``: who alone can run it, None for any executor.
    """

    name: str
    input: JsonObject
    base: str
    base_input: JsonObject
    is_sync: bool
    worker: str | None = None
    code: Mapping[str, str] | None = None
    chain: tuple[str, ...] = ()


class CallSite(NamedTuple):
    """Where an action is called from: what names resolve against, and what gives that which ``base-input`` sees."""

    namespace: str
    project_id: str
    workbook: str | None = None
    layers: Callable[[], tuple[Mapping[str, JsonValue], ...]] = tuple


def build_call(
    library: Library,
    name: str,
    given: JsonObject,
    site: CallSite,
    evaluate: Callable[[JsonValue, Mapping[str, JsonValue]], JsonValue],
) -> ActionCall:
    """Return the call of the action ``name`` with ``given``.

    Raises ``NotFoundError`` (no such action) and ``InputError`` (it does not take this input); whatever
    goes wrong further down a chain of ad-hoc actions is a ``GracefulFailure``.
    """
    resolved, found = _resolve(library, name, site)
    if isinstance(found, PythonAction):
        found.descriptor.check(given)
        return _call(resolved, given, found, given)
    check_parameters(resolved, "AdHocAction", found[1].input, given)
    complete = with_defaults(found[1].input, given)
    base, base_input, chain = _unfold(library, resolved, found, complete, site, evaluate)
    return _call(resolved, complete, base, base_input, tuple(reversed(chain)))


def _call(
    name: str, given: JsonObject, base: PythonAction, base_input: JsonObject, chain: tuple[str, ...] = ()
) -> ActionCall:
    return ActionCall(
        name=name,
        input=given,
        base=base.descriptor.name,
        base_input=base_input,
        is_sync=base.descriptor.is_sync,
        worker=base.descriptor.worker,
        code=base.code,
        chain=chain,
    )


_Adhoc = tuple[str, ActionSpec]


def _resolve(library: Library, name: str, site: CallSite) -> tuple[str, _Adhoc | PythonAction]:
    candidates = [f"{site.workbook}.{name}", name] if site.workbook else [name]
    for candidate in candidates:
        found = library.find_action(candidate, site.namespace, site.project_id)
        if isinstance(found, PythonAction):
            return candidate, found
        if found is not None:
            return candidate, (found.spec_hash, library.action_spec(found.spec_hash))
    raise NotFoundError(f"Failed to find action [action_name={name}, namespace={site.namespace}]")


def _unfold(
    library: Library,
    name: str,
    adhoc: _Adhoc,
    given: JsonObject,
    site: CallSite,
    evaluate: Callable[[JsonValue, Mapping[str, JsonValue]], JsonValue],
) -> tuple[PythonAction, JsonObject, list[str]]:
    # Base names are global: they do not resolve against the workbook.
    outer = CallSite(namespace=site.namespace, project_id=site.project_id)
    chain = [adhoc[0]]
    try:
        while True:
            spec = adhoc[1]
            context = LayeredContext((given, *site.layers()))
            base_input = evaluate(spec.base_input, context) if spec.base_input else {}
            base_name, base = _resolve(library, spec.base, outer)
            if isinstance(base, PythonAction):
                base.descriptor.check(base_input)
                return base, base_input, chain
            if base[0] in chain:
                raise InputError(f"The ad-hoc action '{base_name}' is based on itself.")
            check_parameters(base_name, "AdHocAction", base[1].input, base_input)
            given = with_defaults(base[1].input, base_input)
            chain.append(base[0])
            adhoc = base
    except (EvaluationError, InputError, NotFoundError) as error:
        raise GracefulFailure(f"Failed to instantiate an action [action_desc={name}]: {error}") from error
