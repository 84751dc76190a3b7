"""How rows become objects on the wire, and lists of rows become pages with a link to the next one.

A ``Resource`` says which attributes a noun has, in wire order, and from which columns each is made. Lists
read only the columns that are shown.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from urllib.parse import quote

import sqlalchemy as sa

from mistral_lite.api import schemas, wire
from mistral_lite.api.parameters import PAGING, Converter
from mistral_lite.api.routing import Call
from mistral_lite.api.schemas import Component, Schema
from mistral_lite.api.services import ApiServices
from mistral_lite.db.listing import Filter, Operator, Page, Row, Source, select_page
from mistral_lite.errors import InputError
from mistral_lite.jsontext import JsonObject, JsonValue, load


@dataclass(frozen=True, slots=True, kw_only=True)
class Attribute:
    """One attribute of a resource: the columns it needs, how its value is made from a row, and its schema."""

    needs: tuple[str, ...]
    render: Callable[[Mapping[str, JsonValue]], JsonValue]
    schema: Schema


_TEXT_OR_NULL = schemas.or_null(schemas.TEXT)
_MOMENT_OR_NULL = schemas.or_null(schemas.MOMENT)
_JSON_OR_NULL = schemas.or_null(schemas.JSON_TEXT)
_TEXTS_OR_NULL = schemas.or_null(schemas.TEXTS)


def plain(column: str, schema: Schema = _TEXT_OR_NULL) -> Attribute:
    """Return an attribute that shows a column as it is."""
    return Attribute(needs=(column,), render=itemgetter(column), schema=schema)


def moment(column: str, schema: Schema = _MOMENT_OR_NULL) -> Attribute:
    """Return an attribute that shows a time."""
    return Attribute(needs=(column,), render=lambda row: wire.time_text(row[column]), schema=schema)


def json_inside(column: str) -> Attribute:
    """Return an attribute that is JSON inside a string."""
    return Attribute(needs=(column,), render=lambda row: wire.respaced(row[column]), schema=_JSON_OR_NULL)


def json_value(column: str, schema: Schema = _TEXTS_OR_NULL) -> Attribute:
    """Return an attribute that is real JSON (usually tags), null where the column is null."""
    return Attribute(
        needs=(column,),
        render=lambda row: None if row[column] is None else load(row[column]),
        schema=schema,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """A noun as the API shows it.

    ``attributes`` in wire order. ``single_only`` are left out of lists unless asked for by ``fields``,
    ``never_listed`` even then. ``declared`` are further names that ``fields`` may hold without effect. ``filters`` are the parameters of
    lists besides paging that compare a column.
    """

    collection: str
    attributes: Mapping[str, Attribute]
    single_only: frozenset[str] = frozenset()
    never_listed: frozenset[str] = frozenset()
    declared: tuple[str, ...] = ()
    filters: Mapping[str, Converter] = field(default_factory=dict)

    @property
    def query(self) -> Mapping[str, Converter]:
        """Return the parameters that lists of this noun know."""
        return {**PAGING, **self.filters}

    @property
    def item(self) -> Component:
        """Return the schema of one of these; which attributes an answer leaves out differs."""
        return Component(
            name="".join(part.capitalize() for part in self.collection.split("_")).removesuffix("s"),
            schema=schemas.object_of(
                {}, optional={name: item.schema for name, item in self.attributes.items()}
            ),
        )

    @property
    def collected(self) -> Schema:
        """Return the schema of an answer that holds several of these."""
        return schemas.object_of({self.collection: schemas.array_of(self.item)})

    @property
    def page(self) -> Schema:
        """Return the schema of a page of these, with the link to the next one."""
        return schemas.object_of(
            {self.collection: schemas.array_of(self.item)},
            optional={"next": {"type": "string", "format": "uri"}},
        )

    def columns_of(self, names: Iterable[str]) -> list[str]:
        """Return the columns that attributes need, each once, the id always."""
        needed = [column for name in names for column in self.attributes[name].needs]
        return list(dict.fromkeys(["id", *needed]))

    def show(self, row: Mapping[str, JsonValue], names: Iterable[str] | None = None) -> JsonObject:
        """Return a row on the wire with the attributes ``names`` (all for None) in wire order."""
        (shown,) = self.show_all([row], self.attributes if names is None else names)
        return shown

    def show_all(self, rows: Iterable[Mapping[str, JsonValue]], names: Iterable[str]) -> list[JsonObject]:
        """Return rows on the wire with the attributes ``names`` in wire order."""
        wanted = set(names)
        shown = [(name, item.render) for name, item in self.attributes.items() if name in wanted]
        return [{name: render(row) for name, render in shown} for row in rows]

    def chosen(self, call: Call, default: Iterable[str]) -> list[str]:
        """Return the attributes that ``fields`` asks for with the id, or ``default``.

        Raises ``InputError`` for names that the noun does not have.
        """
        fields = call.query.get("fields")
        if not fields:
            return list(default)
        known = (*self.attributes, *self.declared)
        strange = [name for name in fields if name not in known]
        if strange:
            raise InputError(
                f"Some fields do not exist [{', '.join(strange)}]. Choose from [{', '.join(known)}]."
            )
        return [name for name in self.attributes if name == "id" or name in fields]

    def listed(self, call: Call, *extra: str, without: Iterable[str] = ()) -> list[str]:
        """Return the attributes that a list shows: those of ``fields``, else the usual ones and ``extra``."""
        left_out = (self.single_only - set(extra)) | set(without)
        chosen = self.chosen(call, [name for name in self.attributes if name not in left_out])
        return [name for name in chosen if name not in self.never_listed]


# Adds to rows of a page what is no column of theirs, for the attributes that are shown.
Completion = Callable[[sa.Connection, Sequence[Row], Sequence[str]], Sequence[Row]]


def answer_page(
    services: ApiServices,
    call: Call,
    resource: Resource,
    source: Source,
    names: Sequence[str],
    *,
    fixed: Sequence[Filter] = (),
    complete: Completion | None = None,
) -> JsonObject:
    """Return the page of ``source`` that a call asks for, its rows shown with the attributes ``names``.

    ``fixed`` are filters that the path implies; they show in the link to the next page.
    """
    given = [value for name, value in call.query.items() if name in resource.filters]
    filters = (*given, *fixed)
    limit = services.settings.max_limit
    page = Page(
        sort=_sortable(sort_of(call, default="created_at"), resource, source),
        limit=min(call.query.get("limit") or limit, limit),
        marker=call.query.get("marker"),
        filters=(*filters, *_null_filters(call, resource, {item.column for item in filters})),
    )
    with services.database.read(is_snapshot=complete is not None) as connection:
        rows = select_page(connection, source, page, resource.columns_of(names))
        completed = complete(connection, rows, names) if complete else rows
    answer: JsonObject = {resource.collection: resource.show_all(completed, names)}
    if len(rows) == page.limit:
        answer["next"] = next_link(call, resource.collection, page.sort, filters, page.limit, rows[-1]["id"])
    return answer


def answer_one(
    services: ApiServices,
    call: Call,
    resource: Resource,
    find: Callable[[sa.Connection], Row],
    complete: Completion | None = None,
) -> JsonObject:
    """Return what ``find`` finds, with all attributes or those of ``fields``."""
    names = resource.chosen(call, resource.attributes)
    with services.database.read(is_snapshot=complete is not None) as connection:
        row = find(connection)
        completed = complete(connection, [row], names)[0] if complete else row
    return resource.show(completed, names)


def sort_of(call: Call, *, default: str) -> tuple[tuple[str, bool], ...]:
    """Return the order that a call asks for as (column, is descending), made unique by the id.

    Raises ``InputError`` for directions that are unknown or too many.
    """
    keys = call.query.get("sort_keys") or [default]
    directions = call.query.get("sort_dirs") or []
    if any(direction not in ("asc", "desc") for direction in directions):
        raise InputError("Unknown sort direction, must be 'desc' or 'asc'.")
    if len(directions) > len(keys):
        raise InputError("Length of sort_keys must be equal or greater than sort_dirs.")
    padded = [*directions, *["asc"] * (len(keys) - len(directions))]
    order = [(key, direction == "desc") for key, direction in zip(keys, padded, strict=True)]
    return tuple(order if "id" in keys else [*order, ("id", False)])


def _sortable(
    sort: tuple[tuple[str, bool], ...], resource: Resource, source: Source
) -> tuple[tuple[str, bool], ...]:
    """Return ``sort``. Raises ``InputError`` for what is not shown, or is no column."""
    possible = [name for name in resource.attributes if name in source.columns]
    for name, _ in sort:
        if name not in possible:
            raise InputError(f"Lists cannot be sorted by '{name}'. Choose from: {', '.join(possible)}.")
    return sort


def next_link(
    call: Call,
    collection: str,
    sort: Sequence[tuple[str, bool]],
    filters: Iterable[Filter],
    limit: int,
    marker: str,
) -> str:
    """Return the link to the page after the row ``marker``."""
    parts = [
        ("sort_keys", ",".join(name for name, _ in sort)),
        ("sort_dirs", ",".join("desc" if is_descending else "asc" for _, is_descending in sort)),
        *((item.column, _filter_text(item)) for item in filters),
        *((name, _echo(call.query[name])) for name in _ECHOED if name in call.query),
        ("limit", str(limit)),
        ("marker", marker),
    ]
    if call.query.get("fields"):
        parts.append(("fields", ",".join(dict.fromkeys(["id", *call.query["fields"]]))))
    text = "&".join(f"{name}={quote(value, safe=',:')}" for name, value in parts)
    return f"{call.base_url}/v2/{collection}?{text}"


# Parameters that shape a list without being a comparison; the next page must have them too.
_ECHOED = ("nulls", "include_output", "all_projects")


def _echo(value: JsonValue) -> str:
    if isinstance(value, list):
        return ",".join(value)
    return str(value)


def _filter_text(item: Filter) -> str:
    def one(value: JsonValue) -> str:
        if isinstance(value, bool):
            return str(value).lower()
        return wire.time_text(value) or "" if hasattr(value, "isoformat") else str(value)

    if item.operator is Operator.TAGS:
        return ",".join(item.value)
    if item.operator is Operator.JSON:
        return wire.json_text(item.value)
    if item.operator in (Operator.IN, Operator.NIN):
        return f"{item.operator}:{','.join(one(value) for value in item.value)}"
    # Truth values know no operators; the others read their own prefix back.
    return one(item.value) if isinstance(item.value, bool) else f"{item.operator}:{one(item.value)}"


def _null_filters(call: Call, resource: Resource, taken: set[str]) -> list[Filter]:
    """Return the filters that ``nulls`` asks for; an explicit filter on the same column wins."""
    wanted = call.query.get("nulls") or []
    strange = [name for name in wanted if name not in resource.filters]
    if strange:
        raise InputError(f"'{', '.join(strange)}' is not a valid field name for nulls.")
    return [Filter(column=name, operator=Operator.NULL) for name in wanted if name not in taken]
