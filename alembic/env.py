"""Runs the migrations on the connection that ``mistral_lite.cli.db`` hands over in ``attributes``.

The transaction and its lock belong to the caller. Migrations are written by hand: they never import the
tables of the package, which go on changing after a migration is released.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import context

connection = context.config.attributes.get("connection")
if connection is None:
    raise SystemExit("Migrations are run by 'mistral-lite db upgrade', which knows the database.")

# Keys get the same names on every database, so that later migrations can name them.
names = sa.MetaData(naming_convention={"pk": "pk_%(table_name)s"})
# SQLite rolls DDL back like any other statement once BEGIN is sent; Alembic assumes that it is not.
context.configure(connection=connection, target_metadata=names, render_as_batch=True, transactional_ddl=True)
with context.begin_transaction():
    context.run_migrations()
