"""The way of an API process to the engines of other processes."""

from __future__ import annotations

from collections.abc import Sequence

from mistral_lite.db.bells import Bells
from mistral_lite.rpc.protocol import Doorbell


class DistantDoorbell:
    """Rings by way of the database where an engine hears that, else over the bus (a ``Doorbell``)."""

    def __init__(self, bells: Bells, bus: Doorbell) -> None:
        self._bells = bells
        self._bus = bus

    def ring(self, root_execution_ids: Sequence[str]) -> None:
        """See ``Doorbell.ring``."""
        if not self._bells.ring(root_execution_ids):
            self._bus.ring(root_execution_ids)

    def ring_queues(self) -> None:
        """See ``Doorbell.ring_queues``."""
        self._bus.ring_queues()
