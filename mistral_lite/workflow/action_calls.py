"""From the name of an action and its input to an order for an executor.

Ad-hoc actions are unfolded here: each level gives its base an input made from its own, until an installed
action is reached; the levels passed are kept, since their output transformations apply to the result.
Source: language reference, "Ad-hoc actions", and engine reference, "Actions at run time".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from mistral_lite.errors import EvaluationError, InputError, NotFoundError
from mistral_lite.expressions.base import LayeredContext
from mistral_lite.jsontext import JsonObject, JsonValue
from mistral_lite.lang.specs import ActionSpec
from mistral_lite.workflow.descriptors import ActionDescriptor
from mistral_lite.workflow.library import Library
from mistral_lite.workflow.starting import check_parameters, with_defaults


class GracefulFailure(Exception):  # noqa: N818 - an outcome of starting a task, not an error of ours
    """Starting an action or a nested workflow failed in a way that ``on-error`` may handle."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionCall:
    """What to record (``name``, ``input``) and what to run (``base``, ``base_input``)."""

    name: str
    input: JsonObject
    base: str
    base_input: JsonObject
    is_sync: bool
    chain: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class CallSite:
    """Where an action is called from: what names resolve against, and what ``base-input`` sees."""

    namespace: str
    project_id: str
    workbook: str | None = None
    layers: tuple[Mapping[str, JsonValue], ...] = ()


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
    resolved, adhoc, descriptor = _resolve(library, name, site)
    if adhoc is None:
        assert descriptor is not None
        descriptor.check(given)
        return ActionCall(
            name=resolved, input=given, base=descriptor.name, base_input=given, is_sync=descriptor.is_sync
        )
    check_parameters(resolved, "AdHocAction", adhoc[1].input, given)
    complete = with_defaults(adhoc[1].input, given)
    base, base_input, chain = _unfold(library, resolved, adhoc, complete, site, evaluate)
    return ActionCall(
        name=resolved,
        input=complete,
        base=base.name,
        base_input=base_input,
        is_sync=base.is_sync,
        chain=tuple(reversed(chain)),
    )


_Adhoc = tuple[str, ActionSpec]


def _resolve(
    library: Library, name: str, site: CallSite
) -> tuple[str, _Adhoc | None, ActionDescriptor | None]:
    candidates = [f"{site.workbook}.{name}", name] if site.workbook else [name]
    for candidate in candidates:
        definition = library.find_adhoc_action(candidate, site.namespace, site.project_id)
        if definition is not None:
            return candidate, (definition.spec_hash, library.action_spec(definition.spec_hash)), None
        descriptor = library.find_python_action(candidate)
        if descriptor is not None:
            return candidate, None, descriptor
    raise NotFoundError(f"Failed to find action [action_name={name}, namespace={site.namespace}]")


def _unfold(
    library: Library,
    name: str,
    adhoc: _Adhoc,
    given: JsonObject,
    site: CallSite,
    evaluate: Callable[[JsonValue, Mapping[str, JsonValue]], JsonValue],
) -> tuple[ActionDescriptor, JsonObject, list[str]]:
    # Base names are global: they do not resolve against the workbook.
    outer = CallSite(namespace=site.namespace, project_id=site.project_id)
    chain = [adhoc[0]]
    try:
        while True:
            spec = adhoc[1]
            context = LayeredContext((given, *site.layers))
            base_input = evaluate(spec.base_input, context) if spec.base_input else {}
            base_name, base_adhoc, descriptor = _resolve(library, spec.base, outer)
            if base_adhoc is None:
                assert descriptor is not None
                descriptor.check(base_input)
                return descriptor, base_input, chain
            if base_adhoc[0] in chain:
                raise InputError(f"The ad-hoc action '{base_name}' is based on itself.")
            check_parameters(base_name, "AdHocAction", base_adhoc[1].input, base_input)
            given = with_defaults(base_adhoc[1].input, base_input)
            chain.append(base_adhoc[0])
            adhoc = base_adhoc
    except (EvaluationError, InputError, NotFoundError) as error:
        raise GracefulFailure(f"Failed to instantiate an action [action_desc={name}]: {error}") from error
