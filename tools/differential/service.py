"""The public REST API of a service under observation, as far as the differential test needs it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3.util.retry import Retry

_DOCUMENTS = {"workflow": "workflows", "workbook": "workbooks", "action": "actions"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """Status and decoded body of one answer."""

    status: int
    body: Any

    @property
    def fault(self) -> str | None:
        """The text of a refusal, if it is one."""
        if self.status < 400:
            return None
        return str(self.body.get("faultstring")) if isinstance(self.body, dict) else str(self.body)


class Service:
    """One service at ``base_url`` (``http://host:port/v2``); usable from one thread."""

    def __init__(self, base_url: str) -> None:
        self._base_url = base_url.rstrip("/")
        self._session = requests.Session()
        # A kept connection that the server has closed meanwhile says nothing about the case; reads are repeated.
        again = Retry(total=3, backoff_factor=0.2, allowed_methods={"GET"})
        self._session.mount("http://", HTTPAdapter(max_retries=again))

    def call(self, method: str, path: str, body: Any = None) -> Answer:
        """Send a request with a JSON body; ``path`` is relative to the base URL."""
        response = self._session.request(
            method,
            self._base_url + path,
            data=None if body is None else json.dumps(body),
            headers={"Content-Type": "application/json"},
            timeout=60,
        )
        return _answer(response)

    def upload(self, kind: str, text: str, *, verb: str = "", namespace: str = "") -> Answer:
        """Create a definition, or check it with ``verb="/validate"``."""
        response = self._session.post(
            f"{self._base_url}/{_DOCUMENTS[kind]}{verb}",
            params={"namespace": namespace} if namespace else None,
            data=text.encode(),
            headers={"Content-Type": "text/plain"},
            timeout=60,
        )
        return _answer(response)

    def one(self, path: str) -> dict[str, Any]:
        """GET one resource that must exist."""
        answer = self.call("GET", path)
        if answer.status != 200:
            raise AssertionError(f"GET {path}: {answer.status} {answer.body}")
        body: dict[str, Any] = answer.body
        return body

    def many(self, path: str, key: str) -> list[dict[str, Any]]:
        """GET a collection that must exist."""
        items: list[dict[str, Any]] = self.one(path)[key]
        return items


def _answer(response: requests.Response) -> Answer:
    try:
        body = response.json()
    except ValueError:
        body = response.text
    return Answer(status=response.status_code, body=body)
