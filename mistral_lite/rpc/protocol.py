"""The shapes that cross between engine and executor, and the two protocols that carry them.

Messages are never the truth: a doorbell only says "look", and whatever an exchange loses is found again
in SQL when a lease runs out. All shapes are plain data and turn into JSON objects and back.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol, Self

from mistral_lite.jsontext import JsonObject, JsonValue

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

# How long who calls an engine over the bus waits for an answer beyond the time that the call may be parked. An engine
# that died takes the calls parked with it along, and so long does an executor not know.
REPLY_PATIENCE_S = 5.0


class Outcome(StrEnum):
    """What became of one attempt of an action, as its executor saw it."""

    SUCCESS = "success"
    ERROR = "error"
    CANCELLED = "cancelled"
    SENT = "sent"  # an asynchronous action left for its third party; the result comes later
    RETURNED = "returned"  # not begun and handed back, e.g. by an executor that drains


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptRef:
    """One attempt of one action execution; attempts count from 1."""

    action_execution_id: str
    attempt: int

    def to_json(self) -> JsonObject:
        """Return this reference as a JSON object."""
        return {"action_execution_id": self.action_execution_id, "attempt": self.attempt}


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionCode:
    """Where the class of a dynamic action is: the text of a Python module, its hash, and names for both."""

    source_name: str
    class_name: str
    hash: str
    content: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionRequest:
    """An order to run one attempt of an action.

    ``timeout_s`` bounds the run in seconds (None: unbounded). ``execution`` holds what the action may know
    about where it runs: workflow_name, workflow_execution_id, task_execution_id, action_execution_id,
    callback_url, project_id (None where there is no workflow). ``lease_s``: seconds after which the engine
    gives the attempt up unless its executor reports it as running. ``safe_rerun``: may be run twice.
    ``code``: what to run for a dynamic action; None for an installed one. ``security``: whom the action works
    for, its secrets sealed (``security.SecurityContext``); None where nothing is known of that.
    """

    action_execution_id: str
    attempt: int
    name: str
    input: JsonObject
    timeout_s: float | None = None
    safe_rerun: bool = False
    lease_s: float = 30.0
    execution: JsonObject = field(default_factory=dict)
    code: ActionCode | None = None
    security: JsonObject | None = None

    @property
    def ref(self) -> AttemptRef:
        """Return the identity of this attempt."""
        return AttemptRef(action_execution_id=self.action_execution_id, attempt=self.attempt)

    def to_json(self) -> JsonObject:
        """Return this order as a JSON object, which shares its parts."""
        return {**_fields(self), "code": None if self.code is None else _fields(self.code)}

    @classmethod
    def from_json(cls, data: JsonObject) -> Self:
        """Rebuild an order from ``to_json``."""
        code = data.get("code")
        return cls(**{**data, "code": None if code is None else ActionCode(**code)})


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionReport:
    """What an executor says about one attempt. ``result`` is the data or the error; None for the others."""

    action_execution_id: str
    attempt: int
    outcome: Outcome
    result: JsonValue = None

    @property
    def ref(self) -> AttemptRef:
        """Return the identity of the reported attempt."""
        return AttemptRef(action_execution_id=self.action_execution_id, attempt=self.attempt)

    def to_json(self) -> JsonObject:
        """Return this report as a JSON object, which shares its parts."""
        return _fields(self)

    @classmethod
    def from_json(cls, data: JsonObject) -> Self:
        """Rebuild a report from ``to_json``."""
        return cls(**{**data, "outcome": Outcome(data["outcome"])})


@dataclass(frozen=True, slots=True, kw_only=True)
class ExchangeRequest:
    """One call of an executor on an engine.

    ``executor_id`` is unique per process start; ``targets`` are the names that tasks may address it by.
    ``running`` lists the attempts it holds (their leases are renewed). ``capacity`` is how many further
    actions it takes now; ``wait_s`` how long the engine may hold the call open until there is work.
    ``call_id`` names this call. ``disowned`` names earlier calls whose answers never came: whatever was leased
    to them is not held by the executor, and a late answer will be ignored, so it may be given out again.
    """

    executor_id: str
    call_id: str
    targets: tuple[str, ...] = ()
    reports: tuple[ActionReport, ...] = ()
    running: tuple[AttemptRef, ...] = ()
    capacity: int = 0
    wait_s: float = 0.0
    disowned: tuple[str, ...] = ()

    def to_json(self) -> JsonObject:
        """Return this request as a JSON object."""
        return {
            **_fields(self),
            "reports": [report.to_json() for report in self.reports],
            "running": [ref.to_json() for ref in self.running],
        }

    @classmethod
    def from_json(cls, data: JsonObject) -> Self:
        """Rebuild a request from ``to_json``."""
        return cls(
            executor_id=data["executor_id"],
            call_id=data["call_id"],
            targets=tuple(data["targets"]),
            reports=tuple(ActionReport.from_json(report) for report in data["reports"]),
            running=tuple(AttemptRef(**ref) for ref in data["running"]),
            capacity=data["capacity"],
            wait_s=data["wait_s"],
            disowned=tuple(data["disowned"]),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ExchangeReply:
    """The engine's answer, given only after its commit.

    ``settled``: reported attempts that need not be reported again (applied, or refused as too old).
    ``actions``: new orders, leased to the caller. ``lost``: attempts named as running whose lease is gone;
    their results will be refused.
    """

    settled: tuple[AttemptRef, ...] = ()
    actions: tuple[ActionRequest, ...] = ()
    lost: tuple[AttemptRef, ...] = ()

    def to_json(self) -> JsonObject:
        """Return this reply as a JSON object."""
        return {
            "settled": [ref.to_json() for ref in self.settled],
            "actions": [action.to_json() for action in self.actions],
            "lost": [ref.to_json() for ref in self.lost],
        }

    @classmethod
    def from_json(cls, data: JsonObject) -> Self:
        """Rebuild a reply from ``to_json``."""
        return cls(
            settled=tuple(AttemptRef(**ref) for ref in data["settled"]),
            actions=tuple(ActionRequest.from_json(action) for action in data["actions"]),
            lost=tuple(AttemptRef(**ref) for ref in data["lost"]),
        )


def _fields(shape: DataclassInstance) -> JsonObject:
    """Return the fields of a shape as they are; ``dataclasses.asdict`` would copy all that is in them."""
    return {each.name: getattr(shape, each.name) for each in fields(shape)}


class EngineGateway(Protocol):
    """The executor's way to an engine."""

    def exchange(self, request: ExchangeRequest) -> ExchangeReply:
        """Report, heartbeat and claim in one call. Raises ``UnavailableError``; then nothing is settled."""


class Doorbell(Protocol):
    """A hint that there may be work. It may be lost without harm."""

    def ring(self, root_execution_ids: Sequence[str]) -> None:
        """Say that these execution trees have something in their inbox. Never raises, never blocks long."""

    def ring_queues(self) -> None:
        """Say that messages have come that somebody may wait for. Never raises, never blocks long."""
