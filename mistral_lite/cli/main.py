"""The command line of operators: arguments in, exit code out.

Exit codes: 0 done, 1 the surroundings are not ready (a taken port, no database), 2 the call or the
configuration is wrong. Both kinds of failure are one sentence on stderr; a traceback is a bug.
The roles are wired in ``serve.py`` and ``roles.py``; each is imported only where it is chosen, since the libraries
of the others (the message bus above all) take longer to load than the service to start.
"""

from __future__ import annotations

import argparse
import errno
import shlex
import shutil
import socket
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from sqlalchemy.engine import make_url

from mistral_lite import __version__, log_setup, plugin_options
from mistral_lite.cli import db
from mistral_lite.config import OptionValues, Settings, load
from mistral_lite.errors import ConflictError, InputError, MistralLiteError

DEFAULT_STATE_DIR = "state"
_DATABASE_FILE = "mistral.sqlite"


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command of ``mistral-lite`` and return its exit code."""
    arguments = _parser().parse_args(argv)
    run: Callable[[argparse.Namespace], int | None] = arguments.run
    try:
        return run(arguments) or 0
    except MistralLiteError as error:
        print(f"mistral-lite: {error}", file=sys.stderr)
        return 2 if isinstance(error, InputError) else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="mistral-lite",
        description="A durable workflow service. The command of its users is 'mistral'.",
    )
    parser.add_argument("--version", action="version", version=f"mistral-lite {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _add_serve(commands)
    for name, run, text in (
        ("api", _api, "answer REST requests"),
        ("engine", _engine, "decide what happens next in workflows"),
        ("executor", _executor, "run actions"),
    ):
        command = commands.add_parser(
            name, help=text, description=f"{text.capitalize()}; one role, one process."
        )
        _add_config_file(command)
        command.set_defaults(run=run)
    _add_db(commands)
    _add_doctor(commands)
    return parser


def _add_serve(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    command = commands.add_parser(
        "serve",
        help="run all roles in one process, with SQLite",
        description="Run API, engine and executor in one process. The database is made and upgraded by itself.",
    )
    command.add_argument("--host", help="address to listen on (default: 127.0.0.1)")
    command.add_argument("--port", help="port to listen on (default: 8989)")
    _add_state_dir(command)
    _add_config_file(command)
    command.set_defaults(run=_serve)


def _add_db(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "db",
        help="make and upgrade the tables",
        description="Works on [database] connection; without one, on the database that 'serve' uses.",
    )
    steps = parser.add_subparsers(title="steps", metavar="STEP", required=True)
    upgrade = steps.add_parser("upgrade", help="bring the schema up to this release")
    upgrade.add_argument("revision", nargs="?", default="head", help="where to stop (default: head)")
    upgrade.set_defaults(run=_db_upgrade)
    downgrade = steps.add_parser("downgrade", help="bring the schema down; loses what the steps had added")
    downgrade.add_argument("revision", help="where to stop: an identifier, -1 or base")
    downgrade.set_defaults(run=_db_downgrade)
    current = steps.add_parser("current", help="print the revision of the schema")
    current.set_defaults(run=_db_current)
    for step in (upgrade, downgrade, current):
        _add_state_dir(step)
        _add_config_file(step)


def _add_doctor(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    command = commands.add_parser(
        "doctor",
        help="say what is wrong, what is stuck, and what an execution waits for",
        description="Checks the set-up and lists what nothing will wake; explains an execution if one is named. "
        "Works on [database] connection; without one, on the database that 'serve' uses. Exit code 1: there "
        "is a problem.",
    )
    command.add_argument("execution", nargs="?", metavar="EXECUTION", help="id of an execution of any kind")
    command.add_argument("--fix", action="store_true", help="repair what is safe to repair")
    command.add_argument("--format", choices=("plain", "json"), default="plain", help="default: plain")
    _add_state_dir(command)
    _add_config_file(command)
    command.set_defaults(run=_doctor)


def _add_config_file(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--config-file",
        action="append",
        default=[],
        metavar="FILE",
        help="configuration file; may be repeated, later ones win",
    )


def _add_state_dir(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--state-dir",
        type=Path,
        default=Path(DEFAULT_STATE_DIR),
        metavar="DIR",
        help="folder of the SQLite database (default: ./state)",
    )


def _serve(arguments: argparse.Namespace) -> None:
    from mistral_lite.cli import serve  # noqa: PLC0415 - see the module's docstring

    overrides = {
        ("api", name): getattr(arguments, name) for name in ("host", "port") if getattr(arguments, name)
    }
    settings = load(
        arguments.config_file,
        defaults={
            ("api", "host"): "127.0.0.1",
            ("pecan", "auth_enable"): False,
            # Whoever sits before it does not want to wait.
            ("executor", "drain_timeout"): 5,
            # Whoever may start workflows here may reach this machine anyway.
            ("action_std_http", "denied_cidrs"): [],
            **_default_database(arguments.state_dir),
        },
        overrides=overrides,
    )
    log_setup.setup(settings)
    _make_state_dir(arguments.state_dir)
    _require_free_port(settings, "--port")
    plugin_options.publish(settings)
    db.upgrade(_connection(settings))
    log_setup.reread_levels_on_sighup(settings)
    _say_what_next(settings)
    serve.run_serve(settings)


def _api(arguments: argparse.Namespace) -> None:
    from mistral_lite.cli import roles  # noqa: PLC0415 - see the module's docstring

    settings = _role_settings(arguments)
    _require_free_port(settings, "[api] port")
    roles.run_api(settings)


def _engine(arguments: argparse.Namespace) -> None:
    from mistral_lite.cli import roles  # noqa: PLC0415 - see the module's docstring

    roles.run_engine(_role_settings(arguments))


def _executor(arguments: argparse.Namespace) -> None:
    from mistral_lite.cli import roles  # noqa: PLC0415 - see the module's docstring

    # Without a look at the database: an executor has none.
    settings = load(arguments.config_file)
    _require_bus(settings)
    log_setup.setup(settings)
    log_setup.reread_levels_on_sighup(settings)
    plugin_options.publish(settings)
    roles.run_executor(settings)


def _role_settings(arguments: argparse.Namespace) -> Settings:
    settings = load(arguments.config_file)
    connection = _connection(settings)
    _require_bus(settings)
    log_setup.setup(settings)
    db.require_current(connection)
    log_setup.reread_levels_on_sighup(settings)
    plugin_options.publish(settings)
    return settings


def _db_upgrade(arguments: argparse.Namespace) -> None:
    connection = _db_connection(arguments)
    print(f"The schema is at revision {db.upgrade(connection, arguments.revision) or 'none'}.")


def _db_downgrade(arguments: argparse.Namespace) -> None:
    connection = _db_connection(arguments)
    print(f"The schema is at revision {db.downgrade(connection, arguments.revision) or 'none'}.")


def _db_current(arguments: argparse.Namespace) -> None:
    present, newest = db.current(_db_connection(arguments)), db.head()
    print(f"The schema is at revision {present or 'none'}; this release needs {newest or 'none'}.")


def _doctor(arguments: argparse.Namespace) -> int:
    from mistral_lite.cli import roles  # noqa: PLC0415 - see the module's docstring

    settings = load(arguments.config_file, defaults=_default_database(arguments.state_dir))
    log_setup.setup(settings)
    connection = _connection(settings)
    _require_file(connection)
    report = roles.run_doctor(settings, db.current(connection), arguments.execution, must_fix=arguments.fix)
    print(report.to_json() if arguments.format == "json" else report.to_text())
    return 0 if report.is_healthy else 1


def _require_file(connection: str) -> None:
    """Raise if ``connection`` names an SQLite file that is not there: looking at it would make it."""
    path = make_url(connection).database
    if connection.startswith("sqlite") and path and not Path(path).exists():
        raise InputError(
            f"There is no database {path}. Name its folder with --state-dir, or a file with --config-file."
        )


def _db_connection(arguments: argparse.Namespace) -> str:
    settings = load(arguments.config_file, defaults=_default_database(arguments.state_dir))
    log_setup.setup(settings)
    connection = _connection(settings)
    if connection == _default_database(arguments.state_dir)["database", "connection"]:
        _make_state_dir(arguments.state_dir)
    return connection


def _default_database(state_dir: Path) -> OptionValues:
    return {("database", "connection"): f"sqlite:///{state_dir.absolute() / _DATABASE_FILE}"}


def _connection(settings: Settings) -> str:
    if settings.database.connection is None:
        raise InputError("[database] connection is not set: pass --config-file with a file that sets it.")
    return settings.database.connection


def _require_bus(settings: Settings) -> None:
    if settings.transport_url is None:
        raise InputError("[DEFAULT] transport_url is not set: pass --config-file with a file that sets it.")


def _make_state_dir(state_dir: Path) -> None:
    try:
        # Definitions and inputs may hold secrets: only the owner looks in.
        state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"The state directory {state_dir} cannot be made: {error.strerror}.") from error


def _require_free_port(settings: Settings, option: str) -> None:
    """Raise before anything is started if nobody can listen there; ``option`` is where to choose another."""
    host, port = settings.api.host, settings.api.port
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise ConflictError(
                f"Port {port} of {host} is taken: stop what listens there or choose another with {option}."
            ) from error
        raise InputError(f"Cannot listen on {host}, port {port}: {error.strerror}.") from error


def _say_what_next(settings: Settings) -> None:
    client = (
        "mistral" if shutil.which("mistral") else shlex.quote(str(Path(sys.executable).with_name("mistral")))
    )
    url = f"{settings.api.public_endpoint}/v2"
    print(
        f"mistral-lite serves {url}; stop it with Ctrl-C. In another terminal:\n"
        f"    export OS_MISTRAL_URL={url}\n"
        f"    {client} workflow-list",
        flush=True,
    )


if __name__ == "__main__":
    sys.exit(main())
