"""A commit that succeeded although its reply was lost: nothing is done twice, nothing is forgotten."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import sqlalchemy as sa

from mistral_lite.db import tables
from mistral_lite.db.transaction import Database
from mistral_lite.errors import UnavailableError
from tests.engine.conftest import said

everywhere = pytest.mark.parametrize("backend", ["sqlite", "postgresql", "mariadb"], indirect=True)

TEXT = """
version: '2.0'
w:
  tasks:
    t:
      with-items: i in [1, 2, 3]
      action: std.echo output=<% $.i %>
      on-success: j
    j:
      join: all
      action: std.noop
      wait-before: 0
"""


class ForgetfulDatabase(Database):
    """Loses the reply to some commits."""

    losses = 0

    @contextmanager
    def write(self) -> Iterator[sa.Connection]:
        with super().write() as connection:
            yield connection
        if self.losses:
            self.losses -= 1
            raise UnavailableError("The reply to a commit was lost.")


@pytest.fixture
def database(backend, open_database):
    own = ForgetfulDatabase(open_database(backend).url.render_as_string(hide_password=False))
    yield own
    own.dispose()


def exchange(service, **values):
    """Call as an executor does: again, naming the calls that were not answered."""
    disowned: tuple[str, ...] = ()
    number = 0
    while True:
        number += 1
        call_id = f"lost-{number}-{len(values)}-{id(values)}"
        try:
            return service.exchange(call_id=call_id, disowned=disowned, **values)
        except UnavailableError:
            disowned = (*disowned, call_id)


@everywhere
def test_every_second_commit_of_the_engine_loses_its_reply(service, database):
    service.api.upload(TEXT)
    execution = service.start("w")
    ran: list[str] = []
    reports = ()
    while service.state(execution) == "RUNNING":
        database.losses = 1
        actions = exchange(service, reports=reports, capacity=2).actions
        ran += [action.action_execution_id for action in actions]
        reports = tuple(said(action, 1) for action in actions)

    assert service.state(execution) == "SUCCESS"
    assert service.tasks(execution) == {"t": "SUCCESS", "j": "SUCCESS"}
    assert sorted(ran) == sorted(row["id"] for row in service.actions())
    assert len(service.rows(tables.task_executions)) == 2
    assert service.is_at_rest()
