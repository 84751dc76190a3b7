"""Taking back what executions and triggers worked with, once they have ended: security contexts and trusts.

The database says what is still needed; whenever this runs, or wherever it dies, the next run finds the rest.
"""

from __future__ import annotations

import logging
from typing import Protocol

import sqlalchemy as sa

from mistral_lite import log
from mistral_lite.db import delegations
from mistral_lite.db.transaction import Database
from mistral_lite.errors import ForbiddenError, UnavailableError

LOG = logging.getLogger(__name__)

# Rows looked at, and trusts deleted, in one run.
_MOST = 1000
_MOST_TRUSTS = 50


class Trusts(Protocol):
    """Where trusts are (``mistral_lite.trusts.Trusts``)."""

    def delete(self, trust_id: str) -> None:
        """Delete a trust. Raises ``ForbiddenError`` and ``UnavailableError``."""


class EndedDelegations:
    """Removes what is no longer needed; to be called from time to time by one thread."""

    def __init__(self, database: Database, trusts: Trusts | None) -> None:
        """``trusts``: None where there is no Keystone, or no service user."""
        self._database = database
        self._trusts = trusts
        self._after = ""
        self._is_out = False

    def work(self) -> None:
        """Remove contexts of executions that have ended, then the trusts that nothing uses.

        Raises ``UnavailableError`` if the database is away.
        """
        self._after = self._database.run(
            lambda connection: delegations.remove_ended(connection, self._after, _MOST)
        )
        if self._trusts is None:
            return
        with self._database.read() as connection:
            unused = delegations.list_unused_trusts(connection, _MOST_TRUSTS)
        try:
            for trust_id in unused:
                self._delete(self._trusts, trust_id)
        except UnavailableError as error:
            self._note_outage(error)
        else:
            self._is_out = False

    def _delete(self, trusts: Trusts, trust_id: str) -> None:
        refusal = ""
        try:
            trusts.delete(trust_id)
        except ForbiddenError as error:
            # Its giver has lost the roles or is gone, or another engine was faster: nobody can use it any more.
            refusal = error.message

        def forget(connection: sa.Connection) -> bool:
            return delegations.delete_trust(connection, trust_id)

        is_mine = self._database.run(forget)
        if refusal and is_mine:
            log.write(
                LOG,
                logging.WARNING,
                log.Event.TRUST_LEFT_BEHIND,
                "A trust could not be deleted; nothing uses it",
                reason=refusal,
            )

    def _note_outage(self, error: UnavailableError) -> None:
        if not self._is_out:
            self._is_out = True
            log.write(
                LOG,
                logging.WARNING,
                log.Event.IDENTITY_UNAVAILABLE,
                "Trusts that nothing uses cannot be deleted now; trying again until they can",
                reason=error.message,
            )
