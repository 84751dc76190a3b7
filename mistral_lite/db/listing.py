"""Filters, sorting and paging of lists: how a request for a page becomes one SELECT.

Pages are found by keyset (rows after the marker's values in sort order), never by offset, so that the
hundredth page costs what the first does. This module knows no HTTP; names of parameters and texts of URLs
belong to ``api``. Callers say which columns may be named.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from functools import lru_cache

import sqlalchemy as sa

from mistral_lite.db.statements import Statement
from mistral_lite.errors import InputError, NotFoundError
from mistral_lite.jsontext import JsonValue, dump, load

Column = sa.ColumnElement[JsonValue]
Row = Mapping[str, JsonValue]

# The database keeps microseconds, the API shows whole seconds: times are compared as they are shown.
_SECOND = timedelta(seconds=1)


class Operator(StrEnum):
    """How a column is compared.

    ``TAGS`` holds if all given tags are in a JSON array of texts, ``JSON`` if the value of a JSON text is the
    given one, whatever the order of its keys.
    """

    EQ = "eq"
    NEQ = "neq"
    GT = "gt"
    GTE = "gte"
    LT = "lt"
    LTE = "lte"
    IN = "in"
    NIN = "nin"
    HAS = "has"
    TAGS = "tags"
    JSON = "json"
    NULL = "null"


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """One condition: ``column`` compared with ``value`` (a list for IN, NIN and TAGS; unused for NULL)."""

    column: str
    operator: Operator
    value: JsonValue = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Viewer:
    """Whose eyes a query looks through: the caller's project, and whether all projects are visible."""

    project_id: str
    is_admin: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Which part of a list is wanted.

    ``sort`` holds (column, is descending) and must end in a unique column; ``marker`` is the id of the last
    row of the page before.
    """

    sort: tuple[tuple[str, bool], ...]
    limit: int
    marker: str | None = None
    filters: tuple[Filter, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A list that can be asked for: what to select from, its columns by name, its noun for messages.

    ``conditions`` always hold; ``parameters`` are the values of their parameters. For computed columns,
    ``narrowing`` names the plain indexed column that an equality on them implies, ``null_narrowing`` the one that is
    null with them. Sources with the same ``shape`` differ in their parameters only and count as equal, so that
    statements are made once for all of them; None where conditions hold values of one request.
    """

    noun: str = field(compare=False)
    select_from: sa.FromClause = field(compare=False)
    columns: Mapping[str, Column] = field(compare=False)
    conditions: tuple[sa.ColumnElement[bool], ...] = field(default=(), compare=False)
    parameters: Mapping[str, JsonValue] = field(default_factory=dict, compare=False)
    narrowing: Mapping[str, Column] = field(default_factory=dict, compare=False)
    null_narrowing: Mapping[str, Column] = field(default_factory=dict, compare=False)
    shape: tuple[str | bool, ...] | None = None

    def column(self, name: str) -> Column:
        """Return the column called ``name``. Raises ``InputError`` if there is none."""
        column = self.columns.get(name)
        if column is None:
            raise InputError(
                f"'{name}' is not a column of this list. Choose from: {', '.join(self.columns)}."
            )
        return column


def own_or_public(table: sa.Table, viewer: Viewer) -> tuple[sa.ColumnElement[bool], ...]:
    """Return the conditions under which ``viewer`` sees a row with project and scope."""
    if viewer.is_admin:
        return ()
    return (sa.or_(table.c.project_id == viewer.project_id, table.c.scope == "public"),)


def all_rows(result: sa.CursorResult[tuple[JsonValue, ...]]) -> list[Row]:
    """Return the rows of a result as mappings."""
    keys = tuple(result.keys())
    return [dict(zip(keys, row, strict=True)) for row in result]


def only_row(result: sa.CursorResult[tuple[JsonValue, ...]]) -> Row | None:
    """Return the one row of a result as a mapping, or None if there is none."""
    rows = all_rows(result)
    assert len(rows) <= 1
    return rows[0] if rows else None


def select_page(connection: sa.Connection, source: Source, page: Page, names: Sequence[str]) -> list[Row]:
    """Return at most ``page.limit`` rows with the columns ``names``, each under its name.

    Raises ``NotFoundError`` for a marker that is not visible, ``InputError`` for an unknown column.
    """
    compared = [item for item in page.filters if item.operator is Operator.JSON]
    read = list(dict.fromkeys(["id", *names, *(item.column for item in compared)]))
    found: list[Row] = []
    while True:
        rows = _select(connection, source, page, read)
        # What the database let through has the length of the text; few of those are not the same.
        found += [row for row in rows if all(load(row[item.column]) == item.value for item in compared)]
        if len(rows) < page.limit or len(found) >= page.limit:
            return found[: page.limit]
        page = replace(page, marker=rows[-1]["id"])


def _select(connection: sa.Connection, source: Source, page: Page, names: Sequence[str]) -> Sequence[Row]:
    if (
        source.shape is not None
        and page.marker is None
        and connection.dialect.name not in _SORTING_ALL
        and all(_is_plain(item) for item in page.filters)
    ):
        first = _first_page(source, tuple(names), page.sort, tuple(item.column for item in page.filters))
        values = {f"filter_{number}": item.value for number, item in enumerate(page.filters)}
        return first.rows(connection, {**source.parameters, **values, "limit": page.limit})
    conditions = [*source.conditions, *(_condition(source, item) for item in page.filters)]
    if page.marker is not None:
        conditions.append(_after_marker(connection, source, page))
    if connection.dialect.name in _SORTING_ALL:
        conditions.extend(_reach(connection, source, page, conditions))
    statement = (
        sa.select(*(source.column(name).label(name) for name in names))
        .select_from(source.select_from)
        .where(*conditions)
        .order_by(*(_directed(term, is_down) for term, is_down in _sort_keys(source, page)))
        .limit(page.limit)
    )
    return all_rows(connection.execute(statement, source.parameters))


def _is_plain(item: Filter) -> bool:
    """Whether a filter compares its column with one value, whatever that is."""
    return item.operator is Operator.EQ and isinstance(item.value, (str, bool, int))


# Callers choose the attributes that they see and sort and filter by.
@lru_cache(maxsize=500)
def _first_page(
    source: Source, names: tuple[str, ...], sort: tuple[tuple[str, bool], ...], filtered: tuple[str, ...]
) -> Statement:
    page = Page(
        sort=sort,
        limit=0,
        filters=tuple(
            Filter(column=name, operator=Operator.EQ, value=sa.bindparam(f"filter_{number}"))
            for number, name in enumerate(filtered)
        ),
    )
    return Statement(
        sa.select(*(source.column(name).label(name) for name in names))
        .select_from(source.select_from)
        .where(*source.conditions, *(_condition(source, item) for item in page.filters))
        .order_by(*(_directed(term, is_down) for term, is_down in _sort_keys(source, page)))
        .limit(sa.bindparam("limit", type_=sa.Integer()))
    )


# Databases that sort all rows for an order that an index gives only the beginning of, as "newest first, then by id".
_SORTING_ALL = ("mysql", "mariadb")


def _reach(
    connection: sa.Connection, source: Source, page: Page, conditions: Sequence[sa.ColumnElement[bool]]
) -> Iterator[sa.ColumnElement[bool]]:
    """Yield how far the page reaches by its first sort key alone, which an index tells without sorting."""
    keys = _sort_keys(source, page)
    first, is_down = keys[0]
    if all(other_down == is_down for _, other_down in keys):
        return
    statement = sa.select(first).select_from(source.select_from).where(*conditions)
    statement = statement.order_by(_directed(first, is_down)).limit(1).offset(page.limit - 1)
    last = connection.execute(statement, source.parameters).scalar_one_or_none()
    if last is not None:
        yield first >= last if is_down else first <= last


def _sort_keys(source: Source, page: Page) -> list[tuple[Column, bool]]:
    return [(term, is_down) for name, is_down in page.sort for term in _sort_terms(source.column(name))]


def _directed(term: Column, is_down: bool) -> sa.UnaryExpression[JsonValue]:
    return term.desc() if is_down else term.asc()


def _sort_terms(column: Column) -> tuple[Column, ...]:
    # Databases disagree about where NULL sorts. A flag in front makes it "smallest" everywhere, and spares
    # columns that cannot be null, so that their index still gives the order.
    if isinstance(column, sa.Column) and not column.nullable:
        return (column,)
    return (sa.case((column.is_(None), 0), else_=1), column)


def _after_marker(connection: sa.Connection, source: Source, page: Page) -> sa.ColumnElement[bool]:
    keys = _sort_keys(source, page)
    found = connection.execute(
        sa.select(*(term for term, _ in keys))
        .select_from(source.select_from)
        .where(*source.conditions, source.column("id") == page.marker),
        source.parameters,
    ).one_or_none()
    if found is None:
        raise NotFoundError(f"{source.noun} not found [id={page.marker}]: there is no such marker.")
    alternatives: list[sa.ColumnElement[bool]] = []
    equal: list[sa.ColumnElement[bool]] = []
    for (term, is_descending), value in zip(keys, found, strict=True):
        if value is None:
            # Equal flags in front say that the term is null on both sides.
            continue
        alternatives.append(sa.and_(*equal, term < value if is_descending else term > value))
        equal.append(term == value)
    first, is_descending = keys[0]
    # Implied by what follows; stated so that an index on the first column bounds the scan.
    bound = first <= found[0] if is_descending else first >= found[0]
    return sa.and_(bound, sa.or_(*alternatives))


def _condition(source: Source, item: Filter) -> sa.ColumnElement[bool]:
    column = source.column(item.column)
    if item.operator is Operator.NULL:
        return source.null_narrowing.get(item.column, column).is_(None)
    if item.operator is Operator.TAGS:
        return sa.and_(*(column.contains(dump(tag), autoescape=True) for tag in item.value))
    if item.operator is Operator.JSON:
        # Databases disagree about comparing JSON, and some refuse texts that are fine to others.
        return sa.func.char_length(column) == len(dump(item.value))
    values = item.value if item.operator in (Operator.IN, Operator.NIN) else [item.value]
    if values and isinstance(values[0], datetime):
        return _time_condition(column, item)
    condition = _COMPARISONS[item.operator](column, item.value)
    narrow = source.narrowing.get(item.column)
    if narrow is not None and item.operator is Operator.EQ:
        return sa.and_(narrow == item.value, condition)
    return condition


_COMPARISONS: Mapping[Operator, Callable[[Column, JsonValue], sa.ColumnElement[bool]]] = {
    Operator.EQ: operator.eq,
    Operator.NEQ: operator.ne,
    Operator.GT: operator.gt,
    Operator.GTE: operator.ge,
    Operator.LT: operator.lt,
    Operator.LTE: operator.le,
    Operator.IN: lambda column, values: column.in_(values),
    Operator.NIN: lambda column, values: column.not_in(values),
    Operator.HAS: lambda column, value: column.contains(value, autoescape=True),
}


def _within(column: Column, value: datetime) -> sa.ColumnElement[bool]:
    return sa.and_(column >= value, column < value + _SECOND)


def _within_any(column: Column, values: Sequence[datetime]) -> sa.ColumnElement[bool]:
    return sa.or_(*(_within(column, value) for value in values))


_TIME_COMPARISONS: Mapping[Operator, Callable[[Column, JsonValue], sa.ColumnElement[bool]]] = {
    Operator.EQ: _within,
    Operator.NEQ: lambda column, value: sa.not_(_within(column, value)),
    Operator.GT: lambda column, value: operator.ge(column, value + _SECOND),
    Operator.GTE: operator.ge,
    Operator.LT: operator.lt,
    Operator.LTE: lambda column, value: operator.lt(column, value + _SECOND),
    Operator.IN: _within_any,
    Operator.NIN: lambda column, values: sa.not_(_within_any(column, values)),
}


def _time_condition(column: Column, item: Filter) -> sa.ColumnElement[bool]:
    compare = _TIME_COMPARISONS.get(item.operator)
    if compare is None:
        raise InputError(f"'{item.operator}' does not apply to '{item.column}', which is a time.")
    return compare(column, item.value)
