"""Statements of the hot paths: built once, compiled once for each database product, run on the driver itself.

What SQLAlchemy does around each execution costs several times what the database does for these small statements.
Here it builds and compiles them and keeps the connections; parameters and rows then pass it by. Types convert
as they always do, listeners to statements hear of each, and errors are SQLAlchemy's. On PostgreSQL they pass the
cursors of the driver by as well (``pipeline``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from typing import Any, TypeVar

import psycopg
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg
from sqlalchemy.exc import DBAPIError

from mistral_lite.db.pipeline import Exchange, Pipeline
from mistral_lite.db.rows import Mapper

# Databases bound the number of parameters of a statement; SQLite's oldest bound is the lowest.
_CHUNK = 500

Construct = sa.Select[Any] | sa.Insert | sa.Update | sa.Delete
Parameters = Mapping[str, object]
Row = dict[str, Any]
_Converter = Callable[[Any], Any]

T = TypeVar("T")
# What a statement was asked for, once it has been sent (``pipelined``).
Later = Callable[[], T]

# Where a connection of SQLAlchemy keeps its pipeline.
_PIPELINE = "pipeline"


def chunks(values: Sequence[str]) -> list[Sequence[str]]:
    """Return ``values`` in portions that fit into one statement."""
    return [values[start : start + _CHUNK] for start in range(0, len(values), _CHUNK)]


class Statement:
    """A statement with named parameters (``bindparam``) for all values that vary."""

    def __init__(self, construct: Construct) -> None:
        self._construct = construct
        self._compiled: dict[str, _Compiled] = {}

    def rows(self, connection: sa.Connection, parameters: Parameters) -> list[Row]:
        """Return the rows that a SELECT or RETURNING gives, each by the names of its columns."""
        found = self.ask(connection, parameters)
        _send(connection)
        return found()

    def ask(self, connection: sa.Connection, parameters: Parameters) -> Later[list[Row]]:
        """Return what gives the rows at the end of the block of ``pipelined`` that this is part of."""
        return self._for(connection).ask(connection, parameters)

    def run(self, connection: sa.Connection, parameters: Parameters) -> None:
        """Execute once."""
        self._for(connection).run_many(connection, [parameters])

    def run_many(self, connection: sa.Connection, parameters: Sequence[Parameters]) -> None:
        """Execute once for each set of parameters, in as few exchanges with the server as the driver can."""
        self._for(connection).run_many(connection, parameters)

    def _for(self, connection: sa.Connection) -> _Compiled:
        dialect = connection.dialect
        compiled = self._compiled.get(dialect.name)
        if compiled is None:
            kind = _Pipelined if dialect.name == "postgresql" else _Compiled
            compiled = self._compiled[dialect.name] = kind(self._construct, dialect)
        return compiled


class ListStatement:
    """A statement about a list of keys: ``make`` builds it around the parameters that stand for them.

    Lists are filled up with their last key to the next power of two, so that few texts serve all lengths and
    servers can keep their plans. More keys than fit into one statement go out in portions.
    """

    def __init__(self, make: Callable[[Sequence[sa.BindParameter[Any]]], Construct]) -> None:
        self._make = make
        self._by_size: dict[int, Statement] = {}

    def rows(self, connection: sa.Connection, keys: Sequence[object], **others: object) -> list[Row]:
        """Return the rows found for ``keys``; those of one portion in the statement's order."""
        found = self.ask(connection, keys, **others)
        _send(connection)
        return found()

    def ask(self, connection: sa.Connection, keys: Sequence[object], **others: object) -> Later[list[Row]]:
        """Return what gives the rows at the end of the block of ``pipelined`` that this is part of."""
        portions = []
        for start in range(0, len(keys), _CHUNK):
            statement, parameters = self._filled(keys[start : start + _CHUNK], others)
            portions.append(statement.ask(connection, parameters))
        return lambda: [row for portion in portions for row in portion()]

    def run(self, connection: sa.Connection, keys: Sequence[object], **others: object) -> None:
        """Execute for ``keys``; nothing happens for none."""
        for start in range(0, len(keys), _CHUNK):
            statement, parameters = self._filled(keys[start : start + _CHUNK], others)
            statement.run(connection, parameters)

    def _filled(self, keys: Sequence[object], others: Parameters) -> tuple[Statement, Parameters]:
        size = 1 << (len(keys) - 1).bit_length()
        statement = self._by_size.get(size)
        if statement is None:
            made = self._make([sa.bindparam(f"key_{number}") for number in range(size)])
            statement = self._by_size[size] = Statement(made)
        last = len(keys) - 1
        parameters = {f"key_{number}": keys[min(number, last)] for number in range(size)}
        return statement, {**parameters, **others}


@cache
def inserting(table: sa.Table, columns: tuple[str, ...]) -> Statement:
    """Return the statement that inserts rows with ``columns``; the others get their default."""
    values: dict[str, Any] = {name: sa.bindparam(name, type_=table.c[name].type) for name in columns}
    for column in table.c:
        if column.name not in values and isinstance(column.default, sa.ColumnDefault):
            values[column.name] = column.default.arg
    return Statement(sa.insert(table).values(values))


class Writing:
    """The statements that write one table."""

    def __init__(self, mapper: Mapper, *more: str) -> None:
        """``more``: columns that inserts give besides those of the mapper."""
        self.mapper = mapper
        table = mapper.table
        self._key = table.c[mapper.key]
        self.insert = inserting(table, (*(field.column for field in mapper.fields), *more))
        self.delete = ListStatement(lambda keys: sa.delete(table).where(self._key.in_(keys)))
        # As many as there are sets of columns that change together: a few.
        self._updates: dict[tuple[str, ...], Statement] = {}

    def update(self, columns: tuple[str, ...]) -> Statement:
        """Return the statement that sets ``columns`` of the row with the key ``b_id``."""
        statement = self._updates.get(columns)
        if statement is None:
            table = self.mapper.table
            values = {
                name: sa.bindparam(name, type_=table.c[name].type) for name in columns if name != "b_id"
            }
            update = sa.update(table).where(self._key == sa.bindparam("b_id")).values(values)
            statement = self._updates[columns] = Statement(update)
        return statement


@contextmanager
def pipelined(connection: sa.Connection, *, commits: bool = False) -> Iterator[None]:
    """Let the statements of the block share an exchange with the server, if the server can do that.

    They go out when the block ends, or somebody in it asks for ``rows``. With ``commits`` nothing may follow in the
    transaction, so that COMMIT may go with them. Statements that SQLAlchemy runs itself have no place in the block.
    """
    pipeline = _pipeline(connection)
    if pipeline is None:
        yield
        return
    pipeline.is_open = True
    try:
        yield
    except BaseException:
        pipeline.drop()
        raise
    finally:
        pipeline.is_open = False
    _send(connection, commits=commits)


def keep_prepared(connection: sa.Connection) -> None:
    """Roll back in the driver's place, which forgets the statements that the server has prepared."""
    pipeline = None if connection.invalidated else _pipeline(connection)
    if pipeline is not None:
        # A connection that is lost has nothing left to be rolled back.
        with suppress(psycopg.OperationalError):
            pipeline.roll_back()


def _pipeline(connection: sa.Connection) -> Pipeline | None:
    """Return what belongs to the connection with the server; None where there is no such thing."""
    if connection.dialect.name != "postgresql":
        return None
    pipeline: Pipeline | None = connection.info.get(_PIPELINE)
    if pipeline is None:
        driver = connection.connection.driver_connection
        assert isinstance(driver, psycopg.Connection)
        pipeline = connection.info[_PIPELINE] = Pipeline(driver)
    return pipeline


def _send(connection: sa.Connection, *, commits: bool = False) -> None:
    """Send what waits in the pipeline, if there is one."""
    pipeline = _pipeline(connection)
    if pipeline is not None:
        try:
            pipeline.send(commits=commits)
        except psycopg.Error as error:
            raise _translated(connection, error) from error


class _Compiled:
    """One statement for one database product, run by a cursor of its driver."""

    def __init__(self, construct: Construct, dialect: sa.Dialect) -> None:
        compiled = construct.compile(dialect=dialect)
        assert isinstance(compiled, sa.sql.compiler.SQLCompiler)
        self._text = compiled.string
        names = compiled.positiontup if dialect.positional else list(compiled.binds)
        assert names is not None
        self._is_positional = dialect.positional
        self._parameters = names
        binds = [compiled.binds[name] for name in names]
        self._keys = [bind.key for bind in binds]
        self._constants = {bind.key: bind.value for bind in binds if not bind.required}
        self._processors = [
            (position, processor)
            for position, bind in enumerate(binds)
            if (processor := bind.type.dialect_impl(dialect).bind_processor(dialect)) is not None
        ]
        columns = list(construct.exported_columns)
        self._names = [str(column.key) for column in columns]
        self._converters: list[tuple[str, _Converter]] = []
        for column in columns:
            converter = column.type.dialect_impl(dialect).result_processor(dialect, None)
            if converter is not None:
                self._converters.append((str(column.key), converter))

    def ask(self, connection: sa.Connection, parameters: Parameters) -> Later[list[Row]]:
        found = self._execute(connection, self._arguments(parameters), is_many=False, has_rows=True)
        return lambda: self._shaped(found)

    def run_many(self, connection: sa.Connection, parameters: Sequence[Parameters]) -> None:
        if len(parameters) == 1:
            self._execute(connection, self._arguments(parameters[0]), is_many=False, has_rows=False)
        elif parameters:
            bound = [self._arguments(each) for each in parameters]
            self._execute(connection, bound, is_many=True, has_rows=False)

    def _shaped(self, found: Sequence[Sequence[Any]]) -> list[Row]:
        names = self._names
        rows = [dict(zip(names, values, strict=True)) for values in found]
        for name, convert in self._converters:
            for row in rows:
                row[name] = convert(row[name])
        return rows

    def _bound(self, given: Parameters) -> list[object]:
        """Return what the parameters of the text stand for, in order."""
        values = {**self._constants, **given}
        bound: list[Any] = [values[key] for key in self._keys]
        for position, process in self._processors:
            bound[position] = process(bound[position])
        return bound

    def _arguments(self, given: Parameters) -> object:
        """Return the parameters as the driver takes them."""
        bound = self._bound(given)
        return bound if self._is_positional else dict(zip(self._parameters, bound, strict=True))

    def _execute(
        self, connection: sa.Connection, bound: Any, *, is_many: bool, has_rows: bool
    ) -> Sequence[Sequence[Any]]:
        cursor = None
        try:
            cursor = connection.connection.cursor()
            for listener in connection.dispatch.before_cursor_execute:
                listener(connection, cursor, self._text, bound, None, is_many)
            if is_many:
                cursor.executemany(self._text, bound)
            else:
                cursor.execute(self._text, bound)
            return cursor.fetchall() if has_rows else ()
        except connection.dialect.loaded_dbapi.Error as error:
            raise _translated(connection, error) from error
        finally:
            if cursor is not None:
                cursor.close()


class _Pipelined(_Compiled):
    """One statement for PostgreSQL, which goes by way of a ``Pipeline``."""

    def __init__(self, construct: Construct, _dialect: sa.Dialect) -> None:
        super().__init__(construct, PGDialect_psycopg(paramstyle="numeric_dollar"))  # type: ignore[no-untyped-call]

    def ask(self, connection: sa.Connection, parameters: Parameters) -> Later[list[Row]]:
        (exchange,) = self._queue(connection, [parameters])
        return lambda: self._shaped(exchange.rows)

    def run_many(self, connection: sa.Connection, parameters: Sequence[Parameters]) -> None:
        if parameters:
            self._queue(connection, parameters)

    def _queue(self, connection: sa.Connection, parameters: Sequence[Parameters]) -> list[Exchange]:
        """Add executions to the pipeline; they are sent at once outside of a block of ``pipelined``."""
        pipeline = _pipeline(connection)
        assert pipeline is not None
        bound = [self._bound(each) for each in parameters]
        for listener in connection.dispatch.before_cursor_execute:
            listener(connection, None, self._text, bound, None, len(bound) > 1)
        try:
            queued = [pipeline.queue(self._text, each) for each in bound]
        except psycopg.Error as error:
            raise _translated(connection, error) from error
        if not pipeline.is_open:
            _send(connection)
        return queued


def _translated(connection: sa.Connection, error: Exception) -> BaseException:
    """Return SQLAlchemy's form of a driver's error; after a lost connection it lets go of the whole pool."""
    dialect = connection.dialect
    is_lost = dialect.is_disconnect(error, connection.connection.dbapi_connection, None)  # type: ignore[arg-type]
    if is_lost:
        # It notices only what it runs itself; this fails, and leaves as the error that it makes of it.
        connection.exec_driver_sql("SELECT 1")
    return DBAPIError.instance(
        None,
        None,
        error,
        dialect.loaded_dbapi.Error,
        hide_parameters=True,
        connection_invalidated=is_lost,
        dialect=dialect,
    )
