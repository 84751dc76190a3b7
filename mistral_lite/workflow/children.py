"""Starting what a task consists of: an action execution or a nested workflow execution."""

from __future__ import annotations

from collections.abc import Mapping

from mistral_lite.errors import EvaluationError, InputError, LimitExceededError, NotFoundError
from mistral_lite.expressions.base import LayeredContext
from mistral_lite.jsontext import JsonObject, JsonValue
from mistral_lite.lang.specs import TaskSpec
from mistral_lite.workflow import data_flow
from mistral_lite.workflow.action_calls import ActionCall, CallSite, GracefulFailure, build_call
from mistral_lite.workflow.commands import StartWorkflow
from mistral_lite.workflow.model import (
    ActionExecution,
    PendingAction,
    TaskExecution,
    TaskType,
    WorkflowExecution,
)
from mistral_lite.workflow.starting import check_size, prepare_start
from mistral_lite.workflow.states import State
from mistral_lite.workflow.step import Step

# Levels of workflows in workflows. One that starts itself would go on for ever within one decision.
_MOST_NESTED = 100


def start_child(
    step: Step,
    task: TaskExecution,
    spec: TaskSpec,
    position: int = 0,
    items: Mapping[str, JsonValue] | None = None,
) -> None:
    """Start the action or the nested workflow of a task, for one item if there are ``items``.

    Raises ``GracefulFailure`` where the task fails as an ordinary error; any other error of ours fails the
    task and its workflow.
    """
    branch = step.inbound(task)
    given = _evaluated_input(step, task, spec, branch, items)
    if spec.workflow is not None:
        name = _evaluated_name(step, task, spec.workflow, branch, items)
        _start_workflow(step, task, str(name), given, position)
    else:
        _start_action(step, task, spec, branch, given, position, items)


def _evaluated_input(
    step: Step,
    task: TaskExecution,
    spec: TaskSpec,
    branch: data_flow.Branch,
    items: Mapping[str, JsonValue] | None,
) -> JsonObject:
    given = step.evaluate_for_task(spec.input, task, branch, items, field="input") if spec.input else {}
    if not isinstance(given, dict):
        raise InputError(
            f"Wrong dynamic input for task: {task.name}. Dict type is expected. "
            f"Actual type: {type(given).__name__}."
        )
    return given


def _evaluated_name(
    step: Step,
    task: TaskExecution,
    name: str,
    branch: data_flow.Branch,
    items: Mapping[str, JsonValue] | None,
) -> JsonValue:
    """Evaluate the name of an action or workflow, which does not see the item variables.

    Like an unknown action, a name that cannot be evaluated is an ordinary error under ``with-items`` only.
    """
    if not step.library.evaluator.is_expression(name):
        return name
    try:
        return step.evaluate_for_task(
            name, task, branch, field="workflow" if task.type == TaskType.WORKFLOW else "action"
        )
    except EvaluationError as error:
        if items is None:
            raise
        raise GracefulFailure(str(error)) from error


def _start_action(
    step: Step,
    task: TaskExecution,
    spec: TaskSpec,
    branch: data_flow.Branch,
    given: JsonObject,
    position: int,
    items: Mapping[str, JsonValue] | None,
) -> None:
    workflow = step.workflow_of(task)
    name = _evaluated_name(step, task, spec.action or "std.noop", branch, items)
    given = _with_action_defaults(workflow, spec.action, given)
    site = CallSite(
        namespace=workflow.namespace_of_params,
        project_id=workflow.project_id,
        workbook=workflow.workbook,
        layers=lambda: (
            branch.visible(),
            {"__env": data_flow.environment_of(step.snapshot)},
            data_flow.own_facts(step.snapshot, workflow),
            workflow.context,
        ),
    )
    try:
        call = build_call(
            step.library,
            str(name or "std.noop"),
            given,
            site,
            lambda value, context: step.evaluate(value, context, workflow, task, field="base-input"),
        )
        check_size("input", call.input, step.library.rules.field_size_limit_kb)
    except NotFoundError as error:
        if items is None:
            raise
        raise GracefulFailure(str(error)) from error
    except LimitExceededError as error:
        raise GracefulFailure(str(error)) from error
    target = _target(step, task, spec, branch, given)
    timeout_s = (
        step.evaluate_for_task(spec.own_timeout, task, branch, items, field="timeout")
        if spec.own_timeout
        else None
    )
    action = ActionExecution(
        id=step.new_id(),
        root_id=task.root_id,
        task_id=task.id,
        workflow_id=workflow.id,
        workflow_name=workflow.name,
        namespace=workflow.namespace_of_params,
        name=call.name,
        state=State.RUNNING,
        is_sync=call.is_sync,
        input=call.input,
        position=position,
        safe_rerun=spec.safe_rerun,
        chain=call.chain,
        project_id=task.project_id,
        description="",
        created_at=step.now,
    )
    step.add_action(action, pending_action(step, action, call, target, timeout_s))


def pending_action(
    step: Step, action: ActionExecution, call: ActionCall, target: str | None, timeout_s: float | None
) -> PendingAction:
    """Return the first attempt of an action, ready for an executor."""
    return PendingAction(
        action_id=action.id,
        root_id=action.root_id,
        attempt=1,
        target=call.worker or target,
        available_at=step.now,
        request={
            "name": call.base,
            "input": call.base_input,
            "timeout_s": timeout_s,
            "safe_rerun": action.safe_rerun,
            **({} if call.code is None else {"code": dict(call.code)}),
            "execution": {
                "workflow_execution_id": action.workflow_id,
                "workflow_name": action.workflow_name,
                "task_execution_id": action.task_id,
                "action_execution_id": action.id,
                "callback_url": step.library.rules.callback_url(action.id),
                "project_id": action.project_id,
            },
        },
    )


def _with_action_defaults(workflow: WorkflowExecution, literal: str | None, given: JsonObject) -> JsonObject:
    environment = workflow.params.get("env")
    defaults = environment.get("__actions") if isinstance(environment, dict) else None
    chosen = defaults.get(literal) if isinstance(defaults, dict) else None
    if not isinstance(chosen, dict):
        return given
    merged = data_flow.deep_merge(chosen, given)
    assert isinstance(merged, dict)
    return merged


def _target(
    step: Step, task: TaskExecution, spec: TaskSpec, branch: data_flow.Branch, given: JsonObject
) -> str | None:
    if not spec.target:
        return None
    context = LayeredContext((given, data_flow.task_context(step.snapshot, task, branch)))
    target = step.evaluate(spec.target, context, step.workflow_of(task), task, field="target")
    return str(target) if target else None


def _depth(step: Step, workflow: WorkflowExecution) -> int:
    """Return how many workflows ``workflow`` is nested in, itself included."""
    depth = 1
    while workflow.parent_task_id is not None:
        workflow = step.workflow_of(step.snapshot.tasks[workflow.parent_task_id])
        depth += 1
    return depth


def _start_workflow(step: Step, task: TaskExecution, name: str, given: JsonObject, position: int) -> None:
    parent = step.workflow_of(task)
    namespace = parent.namespace_of_params
    candidates = [f"{parent.workbook}.{name}", name] if parent.workbook else [name]
    found = (step.library.find_workflow(each, namespace, parent.project_id) for each in candidates)
    definition = next((each for each in found if each is not None), None)
    if definition is None:
        raise GracefulFailure(f"Failed to find workflow [name={name}] [namespace={namespace}]")
    if _depth(step, parent) >= _MOST_NESTED:
        raise GracefulFailure(
            f"Workflows are nested more than {_MOST_NESTED} deep; does '{name}' start itself? [namespace={namespace}]"
        )
    spec = step.library.workflow_spec(definition.spec_hash)
    declared = {parameter.name for parameter in spec.input}
    # Whatever the nested workflow does not declare becomes one of its execution parameters.
    extra = {key: value for key, value in given.items() if key not in declared}
    child_id = step.new_id()
    params: JsonObject = {"namespace": namespace}
    if "notify" in parent.params:
        params["notify"] = parent.params["notify"]
    params |= extra
    environment = params.get("env") or {}
    try:
        if not isinstance(environment, dict):
            raise InputError("The parameter 'env' of a nested workflow must be a mapping.")
        prepared = prepare_start(
            spec,
            execution_id=child_id,
            workflow_input={key: value for key, value in given.items() if key in declared},
            params=params,
            environment=environment,
            evaluator=step.library.evaluator,
            root_environment=data_flow.environment_of(step.snapshot),
            field_size_limit_kb=step.library.rules.field_size_limit_kb,
            new_uuid=step.new_id(),
            facts=data_flow.own_facts(step.snapshot, parent),
        )
    except (InputError, EvaluationError, LimitExceededError) as error:
        raise GracefulFailure(str(error)) from error
    step.add_workflow(
        WorkflowExecution(
            id=child_id,
            root_id=parent.root_id,
            spec_hash=definition.spec_hash,
            definition_id=definition.id,
            name=definition.name,
            namespace=definition.namespace,
            workbook=definition.workbook,
            state=State.RUNNING,
            parent_task_id=task.id,
            position=position,
            input=prepared.input,
            params={
                **prepared.params,
                "root_execution_id": parent.root_id,
                "task_execution_id": task.id,
                "index": position,
            },
            context=prepared.context,
            description="sub-workflow execution",
            tags=spec.tags,
            project_id=parent.project_id,
            scope=parent.scope,
            created_at=step.now,
            updated_at=step.now,
        )
    )
    step.order(StartWorkflow(workflow_id=child_id))
