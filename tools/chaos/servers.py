"""A PostgreSQL and a RabbitMQ that nobody else uses, in a folder of their own, as victims."""

from __future__ import annotations

import os
import shutil
import subprocess
import uuid
from pathlib import Path

import kombu
import psycopg

from tools.chaos.processes import ChaosError, Victim, wait_until
from tools.free_ports import free_port


class Server(Victim):
    """A server that others need."""

    def answers(self) -> bool:
        """Tell whether it takes connections."""
        raise NotImplementedError

    def wait_ready(self) -> None:
        """Wait until it takes connections.

        One that does not come up, because that before it has hardly ended, is started again, as a supervisor does.
        """

        def is_ready() -> bool:
            if not self.is_up:
                self.start()
            return self.answers()

        wait_until(is_ready, f"{self.name} takes connections")


class PostgreSQL(Server):
    """A database server with synchronous commits, as by default."""

    def __init__(self, folder: Path) -> None:
        self._data = folder / "postgresql"
        self.port = free_port()
        self.url = f"postgresql://postgres@127.0.0.1:{self.port}/postgres"
        user = None
        if os.geteuid() == 0:
            # It refuses to run as root.
            user = "postgres"
        self._data.mkdir()
        if user is not None:
            shutil.chown(self._data, user, user)
        initdb = [_program("initdb", "/usr/lib/postgresql/*/bin"), "--pgdata", str(self._data)]
        subprocess.run(
            [*initdb, "--username=postgres", "--auth=trust", "--no-sync", "--encoding=UTF8", "--locale=C"],
            check=True,
            cwd=self._data,
            user=user,
            stdout=subprocess.DEVNULL,
        )
        settings = {"port": self.port, "listen_addresses": "127.0.0.1", "unix_socket_directories": ""}
        options = [part for key, value in settings.items() for part in ("-c", f"{key}={value}")]
        program = _program("postgres", "/usr/lib/postgresql/*/bin")
        super().__init__("postgresql", [program, "-D", str(self._data), *options], folder, user=user)

    def answers(self) -> bool:
        try:
            psycopg.connect(self.url, connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True


class RabbitMQ(Server):
    """A broker of one node."""

    def __init__(self, folder: Path) -> None:
        data = folder / "rabbitmq"
        data.mkdir()
        port = free_port()
        self.url = f"rabbit://guest:guest@127.0.0.1:{port}/"
        config = data / "rabbitmq.conf"
        config.write_text(f"listeners.tcp.default = 127.0.0.1:{port}\nloopback_users = none\n")
        (data / "plugins").write_text("[].\n")
        environment = {
            "HOME": str(data),
            "RABBITMQ_NODENAME": f"chaos{uuid.uuid4().hex[:8]}@localhost",
            "RABBITMQ_DIST_PORT": str(free_port()),
            "RABBITMQ_CONFIG_FILE": str(config.with_suffix("")),
            "RABBITMQ_CONF_ENV_FILE": str(data / "none"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(data / "plugins"),
            "RABBITMQ_MNESIA_BASE": str(data / "mnesia"),
            "RABBITMQ_LOG_BASE": str(data / "log"),
            "RABBITMQ_LOGS": "-",
            "RABBITMQ_PID_FILE": str(data / "pid"),
        }
        program = _program("rabbitmq-server", "/usr/lib/rabbitmq/bin")
        super().__init__("rabbitmq", [program], folder, environment=environment)

    def answers(self) -> bool:
        try:
            with kombu.Connection(self.url.replace("rabbit", "amqp", 1), connect_timeout=2) as connection:
                connection.connect()
        except (OSError, kombu.exceptions.KombuError):
            return False
        return True


def _program(name: str, place: str) -> str:
    # Debian's wrapper in the path insists on its own account and folders.
    packaged = sorted(Path("/").glob(f"{place.lstrip('/')}/{name}"))
    found = str(packaged[-1]) if packaged else shutil.which(name)
    if found is None:
        raise ChaosError(f"{name} is not installed.")
    return found
