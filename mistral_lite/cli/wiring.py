"""From settings to an engine with what runs beside it, and an executor.

The parts that they share with the API are in ``parts``. Nothing here imports the libraries of the bus.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

from mistral_lite import config
from mistral_lite.actions.registry import ActionRegistry
from mistral_lite.db import definitions
from mistral_lite.db.transaction import Database
from mistral_lite.engine.cron import CronTriggers
from mistral_lite.engine.event_definitions import EventDefinition, parse_definitions
from mistral_lite.engine.event_triggers import Bus, EventListener, EventTriggers
from mistral_lite.engine.expiration import Expiration, ExpirationPolicy
from mistral_lite.engine.notifier import Notifier, NotifierSettings
from mistral_lite.engine.periodic import Periodic
from mistral_lite.engine.publishers import Publishers
from mistral_lite.engine.service import Engine, EngineSettings
from mistral_lite.engine.turn import TurnSettings
from mistral_lite.errors import InputError
from mistral_lite.executor.service import ExecutorSettings
from mistral_lite.expressions import Evaluator
from mistral_lite.parts import field_size_limit_kb, http_settings
from mistral_lite.starts import StartRules
from mistral_lite.workflow.library import Library, Rules
from mistral_lite.workflow.states import State

# How soon a trigger that was created is listened for.
_FOLLOW_TRIGGERS_S = 2.0


def make_engine(
    settings: config.Settings,
    database: Database,
    registry: ActionRegistry,
    evaluator: Evaluator,
    offer: Callable[[], None] | None = None,
    wake_notifier: Callable[[], None] | None = None,
) -> Engine:
    """Return an engine over ``database``.

    ``offer`` tells other engines of work that it cannot hand out, ``wake_notifier`` its own process of
    notifications to deliver.
    """
    rules = Rules(
        field_size_limit_kb=field_size_limit_kb(settings),
        merge_published=settings.engine.merge_strategy == config.MergeStrategy.MERGE,
        version_contexts=settings.engine.context_versioning_enabled,
        callback_base_url=settings.api.public_endpoint,
        callback_is_relative=settings.api.callback_url_form == config.CallbackUrlForm.REFERENCE,
    )
    library = Library(evaluator=evaluator, find_python_action=registry.find, rules=rules)
    turn = TurnSettings(lease_s=settings.engine.action_lease_s)
    return Engine(database, library, EngineSettings(turn=turn), offer, wake_notifier)


def make_notifier(settings: config.Settings, database: Database) -> Notifier:
    """Return what delivers notifications; they go out under the same rules as HTTP actions."""
    return Notifier(database, Publishers.load(http_settings(settings)), NotifierSettings())


def start_event_listener(
    settings: config.Settings,
    database: Database,
    evaluator: Evaluator,
    engine: Engine,
    bus: Bus,
    stack: ExitStack,
) -> None:
    """Listen to ``bus`` for event triggers until ``stack`` unwinds. Raises ``InputError`` for bad definitions."""
    triggers = EventTriggers(
        database, _start_rules(settings, evaluator), _event_definitions(settings), engine.ring
    )
    listener = EventListener(database, bus, triggers.take)
    stack.callback(listener.stop)
    periodic = Periodic("event-listener", _FOLLOW_TRIGGERS_S, listener.work)
    periodic.start()
    stack.callback(periodic.stop)


def _event_definitions(settings: config.Settings) -> Sequence[EventDefinition]:
    path = Path(settings.event_definitions_file)
    try:
        return parse_definitions(path.read_text("utf-8"))
    except FileNotFoundError:
        return ()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read ({type(error).__name__}).") from error
    except InputError as error:
        raise InputError(f"{path}: {error.message}") from error


def start_periodic_work(
    settings: config.Settings, database: Database, evaluator: Evaluator, engine: Engine, stack: ExitStack
) -> None:
    """Fire cron triggers and remove old executions beside ``engine`` until ``stack`` unwinds."""
    for periodic in (
        _make_cron_triggers(settings, database, evaluator, engine),
        _make_expiration(settings, database),
    ):
        if periodic is not None:
            periodic.start()
            stack.callback(periodic.stop)


def _make_cron_triggers(
    settings: config.Settings, database: Database, evaluator: Evaluator, engine: Engine
) -> Periodic | None:
    if not settings.cron_trigger.enabled:
        return None
    triggers = CronTriggers(database, _start_rules(settings, evaluator), engine.ring)
    return Periodic("cron-triggers", settings.cron_trigger.execution_interval_s, triggers.work)


def _start_rules(settings: config.Settings, evaluator: Evaluator) -> StartRules:
    return StartRules(
        evaluator=evaluator,
        find_spec=definitions.load_spec,
        field_size_limit_kb=field_size_limit_kb(settings),
        notify=settings.notify,
    )


def _make_expiration(settings: config.Settings, database: Database) -> Periodic | None:
    wanted = settings.expiration
    if wanted.evaluation_interval_s is None or not (wanted.older_than_s or wanted.max_finished_executions):
        return None
    policy = ExpirationPolicy(
        older_than_s=wanted.older_than_s,
        max_finished=wanted.max_finished_executions,
        ignored_states=frozenset(State(name) for name in wanted.ignored_states),
        batch_size=wanted.batch_size,
    )
    return Periodic("expiration", wanted.evaluation_interval_s, Expiration(database, policy).work)


def make_executor_settings(settings: config.Settings) -> ExecutorSettings:
    """Return how an executor of this host works."""
    return ExecutorSettings(
        threads=settings.executor.max_concurrent_actions,
        targets=(settings.executor.host,),
        heartbeat_s=settings.engine.action_lease_s / 3,
    )
