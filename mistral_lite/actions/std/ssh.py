"""``std.ssh``, ``std.ssh_proxied`` and ``std.wait_ssh``: run a command on other machines. Need the optional package paramiko.

Owns connecting, running and the shape of the result. What went wrong in detail goes to the log only: remote
output may hold anything.
"""

from __future__ import annotations

import io
import logging
from importlib import import_module
from pathlib import Path
from typing import Any

from mistral_lib.actions.context import ActionContext

from mistral_lite import log
from mistral_lite.actions.context import StandardAction
from mistral_lite.errors import ActionError
from mistral_lite.jsontext import JsonValue

LOG = logging.getLogger(__name__)

_CONNECT_TIMEOUT_S = 30.0
_SSH_PORT = 22


class SshAction(StandardAction):
    """Runs a command over Secure Shell on one host or, one after the other, on several.

    ``host`` is a name or a list of names; one host gives one result, several give a list in the same order. The
    result is the standard output; with ``return_result_on_error`` it is ``{stdout, stderr, exit_code}`` and no
    exit code is an error. The key is ``private_key`` (its text) or ``private_key_filename`` (below ``~/.ssh``
    unless absolute).
    """

    def __init__(
        self,
        cmd: str,
        host: str | list[str],
        username: str,
        password: str | None = "",
        private_key_filename: str | None = None,
        private_key: str | None = None,
        return_result_on_error: bool = False,
    ) -> None:
        super().__init__()
        self.cmd = cmd
        self.host = host
        self.username = username
        self.password = password
        self.private_key_filename = private_key_filename
        self.private_key = private_key
        self.return_result_on_error = return_result_on_error

    def run(self, context: ActionContext) -> JsonValue:
        """Run the command. Raises ``ActionError`` at the first host where it fails."""
        paramiko = _load_paramiko()
        hosts = self.host if isinstance(self.host, list) else [self.host]
        try:
            results = [self._run_on(paramiko, host) for host in hosts]
        except Exception as error:  # paramiko lets errors of many libraries through
            log.write(
                LOG,
                logging.WARNING,
                log.Event.ACTION_FINISHED,
                "A command over SSH failed",
                error_type=type(error).__name__,
                reason=str(error),
            )
            raise ActionError(f"Failed to execute ssh cmd '{self.cmd}' on {hosts}") from error
        return results[0] if len(results) == 1 else results

    def _run_on(self, paramiko: Any, host: str) -> JsonValue:
        with self._connect(paramiko, host, self.username, self.password, None) as client:
            return self._execute(client)

    def _connect(
        self, paramiko: Any, host: str, username: str | None, password: str | None, channel: Any
    ) -> Any:
        client = paramiko.SSHClient()
        client.set_missing_host_key_policy(paramiko.AutoAddPolicy())
        key = _parse_key(paramiko, self.private_key) if self.private_key else None
        try:
            client.connect(
                host,
                username=username,
                password=password or None,
                pkey=key,
                key_filename=None if key else key_path(self.private_key_filename),
                sock=channel,
                timeout=_CONNECT_TIMEOUT_S,
                allow_agent=False,
                look_for_keys=False,
            )
        except BaseException:
            client.close()
            raise
        return client

    def _execute(self, client: Any) -> JsonValue:
        _stdin, stdout, stderr = client.exec_command(self.cmd)
        output = stdout.read().decode(errors="replace")
        errors = stderr.read().decode(errors="replace")
        exit_code = stdout.channel.recv_exit_status()
        if self.return_result_on_error:
            return {"stdout": output, "stderr": errors, "exit_code": exit_code}
        if exit_code > 0:
            raise ActionError(f"The command ended with exit code {exit_code}.")
        return output


class WaitSshAction(SshAction):
    """Succeeds once a host lets somebody in over Secure Shell; meant to be retried until it does."""

    def __init__(self, host: str | list[str], username: str, password: str | None = "") -> None:
        super().__init__("ls -l", host, username, password=password)


class ProxiedSshAction(SshAction):
    """Runs a command over Secure Shell through a gateway, or through the program ``proxy_command``.

    Parameters as of ``std.ssh``; ``gateway_username`` defaults to ``username``.
    """

    def __init__(
        self,
        cmd: str,
        host: str | list[str],
        username: str,
        private_key_filename: str,
        gateway_host: str,
        gateway_username: str | None = None,
        password: str | None = None,
        proxy_command: str | None = None,
        private_key: str | None = None,
    ) -> None:
        super().__init__(
            cmd,
            host,
            username,
            password=password,
            private_key_filename=private_key_filename,
            private_key=private_key,
        )
        self.gateway_host = gateway_host
        self.gateway_username = gateway_username
        self.proxy_command = proxy_command

    def _run_on(self, paramiko: Any, host: str) -> JsonValue:
        if self.proxy_command:
            channel = paramiko.ProxyCommand(self.proxy_command)
            with self._connect(paramiko, host, self.username, self.password, channel) as client:
                return self._execute(client)
        gateway_user = self.gateway_username or self.username
        with self._connect(paramiko, self.gateway_host, gateway_user, self.password, None) as gateway:
            channel = gateway.get_transport().open_channel("direct-tcpip", (host, _SSH_PORT), ("", 0))
            with self._connect(paramiko, host, self.username, self.password, channel) as client:
                return self._execute(client)


def key_path(filename: str | None) -> str | None:
    """Return the path of a key file: relative names lie below ``~/.ssh``.

    Raises ``ActionError`` if the name climbs out of its folder.
    """
    if not filename:
        return None
    path = Path(filename)
    if ".." in path.parts:
        raise ActionError("The parameter 'private_key_filename' must not contain '..'.")
    return str(path if path.is_absolute() else Path.home() / ".ssh" / path)


def _load_paramiko() -> Any:
    try:
        # Optional: only deployments that use SSH actions need it.
        return import_module("paramiko")
    except ImportError as error:
        raise ActionError(
            "SSH actions need the Python package paramiko, which is not installed on the executor."
        ) from error


def _parse_key(paramiko: Any, text: str) -> Any:
    for kind in (paramiko.Ed25519Key, paramiko.ECDSAKey, paramiko.RSAKey):
        try:
            return kind.from_private_key(io.StringIO(text))
        except paramiko.SSHException:
            continue
    raise ActionError("The parameter 'private_key' is not an Ed25519, ECDSA or RSA key in text form.")
