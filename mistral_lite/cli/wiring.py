"""From settings to an engine with what runs beside it, and an executor.

The parts that they share with the API are in ``parts``. Nothing here imports the libraries of the bus.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from mistral_lite import config, log, parts
from mistral_lite.actions.registry import ActionRegistry
from mistral_lite.db import definitions
from mistral_lite.db.transaction import Database
from mistral_lite.engine.agenda import TurnSettings
from mistral_lite.engine.courier import Courier, CourierSettings, Entrance
from mistral_lite.engine.cron import CronTriggers
from mistral_lite.engine.ended_delegations import EndedDelegations
from mistral_lite.engine.event_definitions import EventDefinition, parse_definitions
from mistral_lite.engine.event_triggers import Bus, EventListener, EventTriggers
from mistral_lite.engine.expiration import Expiration, ExpirationPolicy
from mistral_lite.engine.inspection import Inspector
from mistral_lite.engine.maintenance import Maintenance
from mistral_lite.engine.notifier import Notifier, NotifierSettings
from mistral_lite.engine.periodic import Periodic
from mistral_lite.engine.publishers import Publishers
from mistral_lite.engine.queues import QueueKeeper
from mistral_lite.engine.service import Engine, EngineSettings
from mistral_lite.errors import InputError
from mistral_lite.executor.credentials import Credentials
from mistral_lite.executor.service import ExecutorSettings
from mistral_lite.expressions import Evaluator
from mistral_lite.parts import field_size_limit_kb, http_settings
from mistral_lite.sealing import Sealer
from mistral_lite.starts import StartRules
from mistral_lite.workflow.library import Library, Rules
from mistral_lite.workflow.states import State

if TYPE_CHECKING:
    from mistral_lite.trusts import Trusts

LOG = logging.getLogger(__name__)

# How soon trusts are deleted that nothing uses any more.
_TAKE_BACK_S = 5.0
# How soon a trigger that was created is listened for.
_FOLLOW_TRIGGERS_S = 2.0
# How often some running executions are looked at for rows that nothing will wake.
_INSPECT_S = 30.0
# How soon a change of the status of maintenance is followed.
_FOLLOW_MAINTENANCE_S = 1.0


def make_engine(
    settings: config.Settings,
    database: Database,
    registry: ActionRegistry,
    evaluator: Evaluator,
    offer: Callable[[], None] | None = None,
    wake_notifier: Callable[[], None] | None = None,
    tell_applied: Callable[[Sequence[str]], None] | None = None,
    wake_queues: Callable[[], None] | None = None,
) -> Engine:
    """Return an engine over ``database``.

    ``offer`` tells other engines of work that it cannot hand out, ``wake_notifier`` its own process of
    notifications to deliver and ``wake_queues`` of actions on embedded queues, ``tell_applied`` its own API of what
    it has applied.
    """
    rules = Rules(
        field_size_limit_kb=field_size_limit_kb(settings),
        merge_published=settings.engine.merge_strategy == config.MergeStrategy.MERGE,
        version_contexts=settings.engine.context_versioning_enabled,
        callback_base_url=settings.api.public_endpoint,
        callback_is_relative=settings.api.callback_url_form == config.CallbackUrlForm.REFERENCE,
        dynamic_actions=settings.dynamic_actions_enabled,
        most_items=settings.engine.most_items,
    )
    library = Library(evaluator=evaluator, find_python_action=registry.find, rules=rules)
    turn = TurnSettings(lease_s=settings.engine.action_lease_s, has_security=_has_security(settings))
    return Engine(
        database,
        library,
        EngineSettings(turn=turn),
        offer=offer,
        wake_notifier=wake_notifier,
        tell_applied=tell_applied,
        wake_queues=wake_queues,
    )


def _has_security(settings: config.Settings) -> bool:
    # Without authentication only requests that name another cloud have one, which needs keys.
    return settings.auth.enabled or bool(settings.auth.encryption_keys)


def make_queue_keeper(
    settings: config.Settings, database: Database, evaluator: Evaluator, credentials: Credentials
) -> QueueKeeper:
    """Return what works on queues. ``credentials``: what whom executions wait for is opened with."""
    connect = parts.find_zaqar(settings)
    if connect is None:
        return QueueKeeper(database, evaluator)
    courier = Courier(
        database,
        evaluator,
        Entrance(
            connect=connect,
            open_security=credentials.open,
            uses_tokens=settings.queues.zaqar_uses_tokens,
        ),
        CourierSettings(
            callback_url=settings.queues.zaqar_callback_url,
            poll_interval_s=settings.queues.zaqar_poll_interval_s,
        ),
    )
    return QueueKeeper(database, evaluator, courier)


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
    """Fire cron triggers, remove old executions and see to maintenance until ``stack`` unwinds."""
    for periodic in (
        Periodic("maintenance", _FOLLOW_MAINTENANCE_S, Maintenance(database, engine.ring).work),
        Periodic("inspection", _INSPECT_S, Inspector(database).work),
        _make_cron_triggers(settings, database, evaluator, engine),
        _make_expiration(settings, database),
        Periodic("ended-delegations", _TAKE_BACK_S, EndedDelegations(database, _find_trusts(settings)).work),
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


def make_credentials(settings: config.Settings) -> Credentials:
    """Return what the secrets of those that work is done for are opened with."""
    trusts = _find_trusts(settings)
    sealer = Sealer(settings.auth.encryption_keys) if trusts is None else parts.make_sealer(settings, trusts)
    return Credentials(sealer, trusts)


def _find_trusts(settings: config.Settings) -> Trusts | None:
    """Return the service user's dealings with Keystone; None, with a line in the log, if there is no such user.

    Only the API must have one: other processes do without where no action needs a token.
    """
    try:
        return parts.make_trusts(settings)
    except InputError as error:
        log.write(
            LOG,
            logging.WARNING,
            log.Event.AUTHENTICATION_OFF,
            "There is no service user: actions get no tokens by trusts, and trusts are not deleted",
            reason=error.message,
        )
        return None


def make_executor_settings(settings: config.Settings) -> ExecutorSettings:
    """Return how an executor of this host works."""
    return ExecutorSettings(
        threads=settings.executor.max_concurrent_actions,
        targets=(settings.executor.host,),
        heartbeat_s=settings.engine.action_lease_s / 3,
        runs_uploaded_code=settings.dynamic_actions_enabled,
    )
