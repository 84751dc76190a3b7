"""All roles in one process, joined by direct calls through the interfaces that the bus has elsewhere."""

from __future__ import annotations

from mistral_lite import config, parts
from mistral_lite.api.waiting import Waiting
from mistral_lite.api.wiring import make_services
from mistral_lite.cli import wiring
from mistral_lite.cli.heartbeat import start_heartbeat
from mistral_lite.cli.lifecycle import start_api, until_stopped
from mistral_lite.executor.service import Executor


def run_serve(settings: config.Settings) -> None:
    """Run API, engine and executor in this process, joined by direct calls, until told to stop."""
    database = parts.make_database(settings)
    registry = parts.make_registry(settings)
    evaluator = parts.make_evaluator(settings)
    notifier = wiring.make_notifier(settings, database)
    credentials = wiring.make_credentials(settings)
    queues = wiring.make_queue_keeper(settings, database, evaluator, credentials)
    waiting = Waiting()
    waiting.is_told = True
    engine = wiring.make_engine(
        settings,
        database,
        registry,
        evaluator,
        wake_notifier=notifier.wake,
        tell_applied=waiting.tell,
        wake_queues=queues.wake,
    )
    executor = Executor(engine, registry, wiring.make_executor_settings(settings), credentials=credentials)
    with until_stopped("serve") as stack:
        stack.callback(database.dispose)
        notifier.start()
        stack.callback(notifier.stop)
        engine.start()
        stack.callback(engine.stop)
        queues.start(engine.ring)
        stack.callback(queues.stop)
        start_heartbeat(database, "serve", stack, engine.take_heard)
        wiring.start_periodic_work(settings, database, evaluator, engine, stack)
        executor.start()
        stack.callback(executor.stop, settings.executor.drain_s)
        start_api(settings, make_services(settings, database, registry, engine, waiting), stack)
