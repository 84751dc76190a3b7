"""Statements of the engine's loop, built once.

Building a statement of SQLAlchemy and finding its compiled form costs several times what running it costs
the database, and a turn runs about a dozen. A statement object that is kept remembers both. What varies goes
in as parameters; lists go in through ``IDS``.
"""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa

from mistral_lite.db.rows import Mapper

# Databases bound the number of parameters of a statement; SQLite's oldest bound is the lowest.
_CHUNK = 500

# The parameter for a list of keys: ``column.in_(IDS)``, executed with ``{"ids": [...]}``.
IDS: sa.BindParameter[Sequence[str]] = sa.bindparam("ids", expanding=True)


def chunks(values: Sequence[str]) -> list[Sequence[str]]:
    """Return ``values`` in portions that fit into one statement."""
    return [values[start : start + _CHUNK] for start in range(0, len(values), _CHUNK)]


class Writing:
    """The statements that write one table."""

    def __init__(self, mapper: Mapper) -> None:
        self.mapper = mapper
        self._key = mapper.table.c[mapper.key]
        self.insert = sa.insert(mapper.table)
        self.delete = sa.delete(mapper.table).where(self._key.in_(IDS))
        # As many as there are sets of columns that change together: a few.
        self._updates: dict[tuple[str, ...], sa.Update] = {}

    def update(self, columns: tuple[str, ...]) -> sa.Update:
        """Return the statement that sets ``columns`` of the row with the key ``b_id``."""
        statement = self._updates.get(columns)
        if statement is None:
            values: dict[str, sa.BindParameter[object]] = {
                name: sa.bindparam(name) for name in columns if name != "b_id"
            }
            statement = sa.update(self.mapper.table).where(self._key == sa.bindparam("b_id")).values(values)
            self._updates[columns] = statement
        return statement
