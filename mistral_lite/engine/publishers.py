"""How notifications leave: the built-in publishers and those of other distributions.

A publisher is named by the ``type`` of an element of the parameter ``notify``; the other keys are its options.
Delivers one notification per call and decides nothing about repetitions: it only says what kind of failure
there was.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import entry_points
from typing import Protocol

import requests
from mistral_lib.actions.context import SecurityContext

from mistral_lite import log
from mistral_lite.actions.egress import HttpSettings
from mistral_lite.actions.transport import HttpTransport
from mistral_lite.errors import ActionError
from mistral_lite.jsontext import JsonObject, JsonValue, dump

LOG = logging.getLogger(__name__)

ENTRY_POINT_GROUP = "mistral.notification.publishers"

# Seconds to connect, and between two arrivals of data.
_TIMEOUT_S = (3.0, 10.0)
# Answers that a later attempt may change: too slow, too early, too many.
_PASSING_STATUSES = frozenset({408, 425, 429})


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One notification. ``options`` are those of the publisher, ``timestamp`` is when it happened (aware UTC)."""

    execution_id: str
    payload: JsonObject
    event: str
    timestamp: datetime
    options: JsonObject


class PublishError(Exception):
    """A notification could not be delivered; the text names no URL, header or payload.

    ``is_final``: trying again is of no use. ``is_away``: nobody answered, so others would not be heard either.
    """

    def __init__(self, reason: str, *, is_final: bool = False, is_away: bool = False) -> None:
        super().__init__(reason)
        self.is_final = is_final
        self.is_away = is_away


class Publisher(Protocol):
    """What a publisher does, in the form that plug-ins are written for."""

    def publish(
        self,
        context: SecurityContext,
        execution_id: str,
        payload: JsonObject,
        event: str,
        timestamp: datetime,
        /,
        **options: JsonValue,
    ) -> None:
        """Deliver one notification, or raise."""


class NoopPublisher:
    """Tells nobody."""

    def publish(self, *_arguments: object, **_options: object) -> None:
        """Do nothing."""


class WebhookPublisher:
    """Posts the payload as JSON to the option ``url``, with the option ``headers``."""

    def __init__(self, settings: HttpSettings) -> None:
        self._transport = HttpTransport(settings)

    def publish(
        self,
        context: SecurityContext,
        execution_id: str,
        payload: JsonObject,
        event: str,
        timestamp: datetime,
        /,
        url: JsonValue = None,
        headers: JsonValue = None,
        **_options: JsonValue,
    ) -> None:
        """Send one request. Raises ``PublishError``."""
        if not isinstance(url, str):
            raise PublishError("the webhook has no 'url'", is_final=True)
        if not isinstance(headers or {}, dict):
            raise PublishError("'headers' of the webhook is not a mapping", is_final=True)
        sent = {"Content-Type": "application/json"} | {
            str(name): str(value) for name, value in (headers or {}).items()
        }
        try:
            response = self._transport.request(
                "POST", url, data=dump(payload), headers=sent, timeout=_TIMEOUT_S, allow_redirects=False
            )
        except ActionError as error:
            raise PublishError("the URL is refused by [action_std_http]", is_final=True) from error
        except (requests.ConnectionError, requests.Timeout) as error:
            raise PublishError(f"nobody answers ({type(error).__name__})", is_away=True) from error
        except (requests.RequestException, ValueError) as error:
            raise PublishError(
                f"the request cannot be sent ({type(error).__name__})", is_final=True
            ) from error
        _check_status(response.status_code)


def _check_status(status: int) -> None:
    if 200 <= status < 300:
        return
    is_passing = status >= 500 or status in _PASSING_STATUSES
    raise PublishError(f"the answer was {status}", is_final=not is_passing)


class Publishers:
    """All publishers by type; may be shared by threads."""

    def __init__(self, publishers: Mapping[str, Publisher]) -> None:
        self._publishers = dict(publishers)

    @classmethod
    def load(cls, settings: HttpSettings) -> Publishers:
        """Return the built-in publishers and the installed ones; one that cannot be loaded is logged."""
        found: dict[str, Publisher] = {}
        builtin: dict[str, Publisher] = {"webhook": WebhookPublisher(settings), "noop": NoopPublisher()}
        for entry_point in entry_points(group=ENTRY_POINT_GROUP):
            if entry_point.name in builtin:
                continue
            try:
                found[entry_point.name] = entry_point.load()()
            except Exception as error:  # noqa: BLE001 - importing foreign code may raise anything
                log.write(
                    LOG,
                    logging.WARNING,
                    log.Event.INTERNAL_ERROR,
                    "An installed publisher cannot be loaded and was left out",
                    kind=entry_point.name,
                    error_type=type(error).__name__,
                )
        return cls(found | builtin)

    def publish(self, message: Message) -> None:
        """Deliver one notification. Raises ``PublishError`` only."""
        kind = message.options.get("type")
        publisher = self._publishers.get(kind) if isinstance(kind, str) else None
        if publisher is None:
            raise PublishError("there is no publisher of this type", is_final=True)
        options = {key: value for key, value in message.options.items() if key not in ("type", "event_types")}
        context = SecurityContext(project_id=message.payload.get("project_id"))
        try:
            publisher.publish(
                context, message.execution_id, message.payload, message.event, message.timestamp, **options
            )
        except PublishError:
            raise
        except Exception as error:
            # Whatever a plug-in raises; its text may hold anything, so the type must do.
            raise PublishError(f"the publisher failed ({type(error).__name__})") from error
