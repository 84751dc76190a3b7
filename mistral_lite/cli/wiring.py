"""From settings to the parts of a process. The only place that knows all of them."""

from __future__ import annotations

from mistral_lite import config
from mistral_lite.actions.egress import HttpSettings
from mistral_lite.actions.registry import ActionRegistry, ActionSettings
from mistral_lite.api.services import ApiServices, ApiSettings, ValidationMode
from mistral_lite.db.transaction import Database
from mistral_lite.engine.service import Engine, EngineSettings
from mistral_lite.engine.turn import TurnSettings
from mistral_lite.errors import InputError
from mistral_lite.executor.service import ExecutorSettings
from mistral_lite.expressions import Evaluator, ExpressionSettings
from mistral_lite.rpc.protocol import Doorbell
from mistral_lite.workflow.library import Library, Rules


def make_database(settings: config.Settings) -> Database:
    """Return the database of ``[database] connection``."""
    connection = settings.database.connection
    if connection is None:
        raise InputError("[database] connection is not set.")
    return Database(connection, pool_size=settings.database.max_pool_size)


def make_registry(settings: config.Settings) -> ActionRegistry:
    """Return the installed actions."""
    http = HttpSettings(
        allowed_hosts=settings.http.allowed_hosts,
        denied_cidrs=settings.http.denied_cidrs,
        default_timeout_s=settings.http.default_timeout_s,
        max_response_bytes=settings.http.max_response_size_bytes,
    )
    return ActionRegistry.load(ActionSettings(http=http))


def make_evaluator(settings: config.Settings) -> Evaluator:
    """Return the evaluator of expressions."""
    options = settings.expressions
    return Evaluator(
        ExpressionSettings(
            allowed_languages=options.allowed_languages,
            max_time_s=options.max_time_s,
            max_result_bytes=options.max_result_size_bytes,
            limit_iterators=options.yaql.limit_iterators,
            memory_quota_bytes=options.yaql.memory_quota,
            convert_input_data=options.yaql.convert_input_data,
            convert_output_data=options.yaql.convert_output_data,
            convert_tuples_to_lists=options.yaql.convert_tuples_to_lists,
            convert_sets_to_lists=options.yaql.convert_sets_to_lists,
            iterable_dicts=options.yaql.iterable_dicts,
            keyword_operator=options.yaql.keyword_operator,
            allow_delegates=options.yaql.allow_delegates,
        )
    )


def make_engine(
    settings: config.Settings, database: Database, registry: ActionRegistry, evaluator: Evaluator
) -> Engine:
    """Return an engine over ``database``."""
    rules = Rules(
        field_size_limit_kb=_limit_kb(settings),
        merge_published=settings.engine.merge_strategy == config.MergeStrategy.MERGE,
        version_contexts=settings.engine.context_versioning_enabled,
        callback_base_url=settings.api.public_endpoint,
        callback_is_relative=settings.api.callback_url_form == config.CallbackUrlForm.REFERENCE,
    )
    library = Library(evaluator=evaluator, find_python_action=registry.find, rules=rules)
    turn = TurnSettings(lease_s=settings.engine.action_lease_s)
    return Engine(database, library, EngineSettings(turn=turn))


def make_api_services(
    settings: config.Settings,
    database: Database,
    registry: ActionRegistry,
    evaluator: Evaluator,
    doorbell: Doorbell,
) -> ApiServices:
    """Return what the API is built from."""
    return ApiServices(
        database=database,
        doorbell=doorbell,
        registry=registry,
        evaluator=evaluator,
        settings=ApiSettings(
            max_limit=settings.api.max_limit,
            allow_action_execution_deletion=settings.api.allow_action_execution_deletion,
            validation_mode=ValidationMode(settings.api.validation_mode),
            info_path=settings.api.info_json_file_path if settings.api.enable_info_endpoint else None,
            field_size_limit_kb=_limit_kb(settings),
        ),
    )


def make_executor_settings(settings: config.Settings) -> ExecutorSettings:
    """Return how an executor of this host works."""
    return ExecutorSettings(
        threads=settings.executor.max_concurrent_actions,
        targets=(settings.executor.host,),
        heartbeat_s=settings.engine.action_lease_s / 3,
    )


def _limit_kb(settings: config.Settings) -> int:
    limit = settings.engine.field_size_limit_bytes
    return -1 if limit is None else limit // 1024
