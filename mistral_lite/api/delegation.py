"""What of a caller's identity goes on with the work that the caller asks for.

An execution gets the caller's security context, its token sealed. A trigger gets it without the token, which will
long have ended, and with a trust instead. What was created in Keystone for a request that fails is taken back.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Protocol

import sqlalchemy as sa

from mistral_lite import log
from mistral_lite.api.context import RequestContext
from mistral_lite.db import delegations
from mistral_lite.errors import InputError, MistralLiteError
from mistral_lite.jsontext import JsonObject, dump
from mistral_lite.sealing import Sealer
from mistral_lite.security import SecurityContext

LOG = logging.getLogger(__name__)


def columns_of_trigger(security: SecurityContext | None) -> JsonObject:
    """Return what the row of a trigger holds of whom it works for: no secrets, as it has no token."""
    if security is None:
        return {"security": None, "trust_id": None}
    return {"security": dump(security.to_json(Sealer(()))), "trust_id": security.trust_id}


def record_trust(connection: sa.Connection, security: SecurityContext | None, now: datetime) -> None:
    """Record the trust that ``security`` came with, in the transaction that stores what it is for."""
    if security is not None and security.trust_id is not None:
        delegations.insert_trust(connection, security.trust_id, now)


class Trusts(Protocol):
    """Where trusts are made (``mistral_lite.trusts.Trusts``)."""

    def create(self, caller: SecurityContext) -> str:
        """Return the id of a new trust. Raises ``ForbiddenError`` and ``UnavailableError``."""

    def delete(self, trust_id: str) -> None:
        """Delete a trust. Raises ``ForbiddenError`` and ``UnavailableError``."""


class Delegation:
    """Makes what is stored for whom work is done; shared by the threads of an application."""

    def __init__(
        self, sealer: Sealer | None = None, trusts: Trusts | None = None, *, trust_executions: bool = False
    ) -> None:
        """``trusts``: None where there is no Keystone. ``trust_executions``: whether starts get trusts as well."""
        self._sealer = sealer or Sealer(())
        self._trusts = trusts
        self._trust_executions = trust_executions

    def content(self, security: SecurityContext | None) -> JsonObject | None:
        """Return what is stored of a security context: its secrets are sealed."""
        return None if security is None else security.to_json(self._sealer)

    def renewed(self, caller: RequestContext, project_id: str) -> JsonObject | None:
        """Return what replaces the stored context of an execution that ``caller`` makes go on, or None.

        A token that is new takes the place of one that may have ended; only that of the same project.
        """
        security = caller.security
        if security is None or caller.project_id != project_id or not self._sealer.has_keys:
            return None
        return self.content(security)

    @contextmanager
    def for_execution(self, caller: RequestContext) -> Iterator[SecurityContext | None]:
        """Yield what an execution started by ``caller`` works with; the block stores it.

        Raises ``InputError``, ``ForbiddenError`` and ``UnavailableError``.
        """
        security = caller.security
        if security is not None and security.auth_token is not None and not self._sealer.has_keys:
            raise InputError(
                "X-Target-Auth-Token cannot be kept for the actions: the operator must set "
                "[security_context] encryption_keys."
            )
        if self._trust_executions:
            with self._trusted(security) as trusted:
                yield trusted
        else:
            yield security

    @contextmanager
    def for_trigger(self, caller: RequestContext) -> Iterator[SecurityContext | None]:
        """Yield what executions started by a trigger of ``caller`` work with; the block stores it.

        Raises ``InputError``, ``ForbiddenError`` and ``UnavailableError``.
        """
        if caller.security is not None and caller.security.is_target:
            raise InputError(
                "X-Target-* headers cannot be used for a trigger: the token would end before its workflows do."
            )
        with self._trusted(caller.security) as trusted:
            yield trusted

    @contextmanager
    def _trusted(self, security: SecurityContext | None) -> Iterator[SecurityContext | None]:
        """Yield ``security`` with a new trust, if it is one of Keystone; a block that fails leaves no trust."""
        if self._trusts is None or security is None or security.auth_token is None or security.is_target:
            yield security
            return
        trust_id = self._trusts.create(security)
        try:
            yield security.with_trust(trust_id)
        except BaseException:
            self._take_back(trust_id)
            raise

    def _take_back(self, trust_id: str) -> None:
        assert self._trusts is not None
        try:
            self._trusts.delete(trust_id)
        except MistralLiteError as error:
            log.write(
                LOG,
                logging.WARNING,
                log.Event.TRUST_LEFT_BEHIND,
                "A trust could not be deleted; nothing uses it",
                reason=error.message,
            )
