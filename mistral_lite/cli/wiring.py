"""From settings to an engine and an executor. The parts that they share with the API are in ``parts``."""

from __future__ import annotations

from collections.abc import Callable

from mistral_lite import config
from mistral_lite.actions.registry import ActionRegistry
from mistral_lite.db.transaction import Database
from mistral_lite.engine.service import Engine, EngineSettings
from mistral_lite.engine.turn import TurnSettings
from mistral_lite.executor.service import ExecutorSettings
from mistral_lite.expressions import Evaluator
from mistral_lite.parts import field_size_limit_kb
from mistral_lite.workflow.library import Library, Rules


def make_engine(
    settings: config.Settings,
    database: Database,
    registry: ActionRegistry,
    evaluator: Evaluator,
    offer: Callable[[], None] | None = None,
) -> Engine:
    """Return an engine over ``database``; ``offer`` tells other engines of work that it cannot hand out."""
    rules = Rules(
        field_size_limit_kb=field_size_limit_kb(settings),
        merge_published=settings.engine.merge_strategy == config.MergeStrategy.MERGE,
        version_contexts=settings.engine.context_versioning_enabled,
        callback_base_url=settings.api.public_endpoint,
        callback_is_relative=settings.api.callback_url_form == config.CallbackUrlForm.REFERENCE,
    )
    library = Library(evaluator=evaluator, find_python_action=registry.find, rules=rules)
    turn = TurnSettings(lease_s=settings.engine.action_lease_s)
    return Engine(database, library, EngineSettings(turn=turn), offer)


def make_executor_settings(settings: config.Settings) -> ExecutorSettings:
    """Return how an executor of this host works."""
    return ExecutorSettings(
        threads=settings.executor.max_concurrent_actions,
        targets=(settings.executor.host,),
        heartbeat_s=settings.engine.action_lease_s / 3,
    )
