"""The protocols of this package over oslo.messaging, as executors and the API use them (``server``: engines).

Engines serve one topic together. Executors call ``exchange`` on it and may be parked there; the API casts
``ring``. The bus is never trusted with anything: a call that gets no answer is made again, and a doorbell
that does not ring is made up for by the sweep.

oslo.messaging acknowledges a message before it handles it and raises exceptions of many kinds; all of them
mean "not answered" here. Threads only; no eventlet.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence

from oslo_config import cfg
from oslo_service import backend as service_backend

# Must be said before oslo.messaging is imported: it would choose eventlet.
service_backend.init_backend(service_backend.BackendType.THREADING)

import oslo_messaging  # noqa: E402 - see above
from oslo_messaging._metrics.client import oslo_messaging_metrics  # noqa: E402
from oslo_messaging._tracing.client import oslo_messaging_tracing  # noqa: E402
from oslo_messaging.exceptions import MessagingException  # noqa: E402

from mistral_lite import log  # noqa: E402
from mistral_lite.errors import MistralLiteError, UnavailableError  # noqa: E402
from mistral_lite.rpc import patience  # noqa: E402
from mistral_lite.rpc.protocol import REPLY_PATIENCE_S, ExchangeReply, ExchangeRequest  # noqa: E402

LOG = logging.getLogger(__name__)

_RING_PAUSE_S = 1.0

# Foreign errors of a bus that is away; oslo.messaging lets those of its driver through.
AWAY = (MessagingException, oslo_messaging.MessageUndeliverable, OSError)


def register_options(conf: cfg.ConfigOpts) -> None:
    """Register what two parts of oslo.messaging register on the global configuration only."""
    conf.register_opts(oslo_messaging_metrics, group="oslo_messaging_metrics")
    conf.register_opts(oslo_messaging_tracing, group="oslo_messaging_tracing")


def get_transport(conf: cfg.ConfigOpts, url: str) -> oslo_messaging.Transport:
    """Return the transport that ``[DEFAULT] transport_url`` names."""
    register_options(conf)
    patience.install()
    return oslo_messaging.get_rpc_transport(conf, url=url)


class RemoteEngine:
    """An executor's way to whichever engine takes the call (``EngineGateway``)."""

    def __init__(self, transport: oslo_messaging.Transport, topic: str) -> None:
        self._client = oslo_messaging.get_rpc_client(
            transport,
            oslo_messaging.Target(topic=topic),
            retry=0,
            # Before the first engine there is no queue: then a call fails at once instead of being waited for.
            transport_options=oslo_messaging.TransportOptions(at_least_once=True),
        )

    def exchange(self, request: ExchangeRequest) -> ExchangeReply:
        """Make one call. Raises ``UnavailableError`` if no answer comes, for whatever reason."""
        caller = self._client.prepare(timeout=request.wait_s + REPLY_PATIENCE_S)
        try:
            return ExchangeReply.from_json(caller.call({}, "exchange", request=request.to_json()))
        except oslo_messaging.RemoteError as error:
            # The remote traceback stays where it was logged.
            raise UnavailableError(f"The engine answered with an error ({error.exc_type}).") from None
        except AWAY as error:
            raise UnavailableError(f"No engine answers over the bus ({type(error).__name__}).") from error


class RemoteDoorbell:
    """Rings engines over the bus, from a thread of its own: a bus that is away delays nobody.

    Bells that come while one is being sent go out together with the next message. Engines use it as well:
    actions that one has queued may be wanted by executors that are parked at another (``offer``).
    """

    def __init__(self, transport: oslo_messaging.Transport, topic: str) -> None:
        self._client = oslo_messaging.get_rpc_client(transport, oslo_messaging.Target(topic=topic), retry=0)
        self._condition = threading.Condition()
        self._waiting: set[str] = set()
        self._has_message = False
        self._has_offer = False
        self._is_closed = False
        self._is_away = False
        self._thread = threading.Thread(target=self._run, name="doorbell", daemon=True)

    def start(self) -> None:
        """Begin to ring."""
        self._thread.start()

    def stop(self, timeout_s: float = 2.0) -> None:
        """Ring what is left and end."""
        with self._condition:
            self._is_closed = True
            self._condition.notify()
        self._thread.join(timeout_s)

    def ring(self, root_execution_ids: Sequence[str]) -> None:
        """See ``Doorbell.ring``."""
        with self._condition:
            self._waiting.update(root_execution_ids)
            self._condition.notify()

    def ring_queues(self) -> None:
        """See ``Doorbell.ring_queues``."""
        with self._condition:
            self._has_message = True
            self._condition.notify()

    def offer(self) -> None:
        """Tell every engine that actions are queued which no executor has."""
        with self._condition:
            self._has_offer = True
            self._condition.notify()

    def _run(self) -> None:
        while True:
            with self._condition:
                self._condition.wait_for(lambda: self._has_bell or self._is_closed)
                if not self._has_bell:
                    return
                root_ids, self._waiting = sorted(self._waiting), set()
                has_message, self._has_message = self._has_message, False
                has_offer, self._has_offer = self._has_offer, False
            self._send(root_ids, has_message=has_message, has_offer=has_offer)

    @property
    def _has_bell(self) -> bool:
        return bool(self._waiting) or self._has_message or self._has_offer

    def _send(self, root_ids: list[str], *, has_message: bool, has_offer: bool) -> None:
        try:
            if root_ids:
                self._client.cast({}, "ring", root_execution_ids=root_ids)
            if has_message:
                self._client.cast({}, "ring_queues")
            if has_offer:
                self._client.prepare(fanout=True).cast({}, "notice_work")
            self._is_away = False
        except (*AWAY, MistralLiteError) as error:
            # Not kept: the sweep finds all of it without.
            if not self._is_away:
                self._is_away = True
                log.write(
                    LOG,
                    logging.WARNING,
                    log.Event.DOORBELL_FAILED,
                    "The bus is away; engines find new work by their sweep",
                    error_type=type(error).__name__,
                )
            with self._condition:
                self._condition.wait_for(lambda: self._is_closed, _RING_PAUSE_S)
