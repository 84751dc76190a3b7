"""The workflows, and what must have become of each.

Every request names its execution, its task and its item, so that the third party can count what ran how often.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

_PATH = "<% env().url %>/KIND/<% execution().id %>"

_TEXT = """
version: '2.0'
items_SAFE:
  output: {got: <% $.got %>}
  tasks:
    each:
      with-items: i in <% range(5) %>
      concurrency: 3
      action: std.http
      input: {method: POST, url: 'PATH-slow/each-<% $.i %>'}
      safe-rerun: FLAG
      publish: {got: <% task().result.content.did %>}
callback_SAFE:
  output: {got: [<% $.a %>, <% $.b %>]}
  tasks:
    a:
      action: std.mistral_http
      input: {method: POST, url: 'PATH-async/a'}
      safe-rerun: FLAG
      publish: {a: <% task().result.done %>}
      on-success: both
    b:
      action: std.mistral_http
      input: {method: POST, url: 'PATH-async/b'}
      safe-rerun: FLAG
      publish: {b: <% task().result.done %>}
      on-success: both
    both: {join: all, action: std.noop, safe-rerun: true}
joins_SAFE:
  output: {got: <% $.got %>}
  tasks:
    first: {action: std.noop, safe-rerun: true, on-success: [b0, b1, b2, b3]}
    b0: {action: std.http, input: {method: POST, url: 'PATH-sync/b0'}, safe-rerun: FLAG, on-success: all}
    b1: {action: std.http, input: {method: POST, url: 'PATH-sync/b1'}, safe-rerun: FLAG, on-success: all}
    b2: {action: std.echo output=2, safe-rerun: true, on-success: all}
    b3: {action: std.noop, safe-rerun: true, wait-before: 1, on-success: all}
    all:
      join: all
      action: std.http
      input: {method: POST, url: 'PATH-sync/all'}
      safe-rerun: FLAG
      publish: {got: <% task().result.content.did %>}
parent_SAFE:
  output: {got: <% $.got %>}
  tasks:
    children:
      with-items: i in <% range(2) %>
      workflow: joins_SAFE
      publish: {got: <% task().result.len() %>}
      on-success: last
    last: {action: std.noop, safe-rerun: true, wait-after: 1}
retries_SAFE:
  output: {got: <% $.got %>}
  tasks:
    flaky:
      action: std.http
      input: {method: POST, url: 'PATH-flaky/flaky'}
      safe-rerun: true
      retry: {count: 60, delay: 1, continue-on: <% task().result.status != 200 %>}
      on-success: then
    then:
      action: std.http
      input: {method: POST, url: 'PATH-sync/then'}
      safe-rerun: FLAG
      wait-before: 1
      publish: {got: <% task().result.content.did %>}
"""

KINDS = ("items", "callback", "joins", "parent", "retries")


def definitions() -> str:
    """Return all workflows in one document: each kind with and without ``safe-rerun``."""
    texts = []
    for name, flag in (("safe", "true"), ("once", "false")):
        text = _TEXT.replace("SAFE", name).replace("FLAG", flag)
        for kind in ("slow", "async", "sync", "flaky"):
            text = text.replace(f"PATH-{kind}", _PATH.replace("KIND", f"{kind}/{name}"))
        texts.append(text.replace("version: '2.0'\n", "").strip())
    return "version: '2.0'\n" + "\n".join(texts) + "\n"


@dataclass(slots=True, kw_only=True)
class Started:
    """An execution that was asked for; ``is_accepted`` once somebody answered with a 2xx."""

    id: str
    kind: str
    safety: str
    is_accepted: bool = False

    @property
    def workflow(self) -> str:
        return f"{self.kind}_{self.safety}"

    @property
    def is_safe(self) -> bool:
        return self.safety == "safe"

    def paths(self) -> list[str]:
        """Return what must have been requested if the execution succeeded; of nested ones only the parent is known."""
        wanted = {
            "items": [("slow", f"each-{number}") for number in range(5)],
            "callback": [("async", "a"), ("async", "b")],
            "joins": [("sync", "b0"), ("sync", "b1"), ("sync", "all")],
            "parent": [],
            "retries": [("flaky", "flaky"), ("sync", "then")],
        }[self.kind]
        return [f"/{kind}/{self.safety}/{self.id}/{name}" for kind, name in wanted]

    def expected(self) -> Any:
        """Return the output of a success."""
        paths = self.paths()
        return {
            "items": paths,
            "callback": paths,
            "joins": paths[-1] if paths else None,
            "parent": 2,
            "retries": paths[-1] if paths else None,
        }[self.kind]

    def problem(self, execution: Any) -> str | None:
        """Return what is wrong with how it ended."""
        state, info = execution["state"], execution.get("state_info") or ""
        if state == "ERROR" and not self.is_safe and "fell silent" in info:
            return None
        if state != "SUCCESS":
            return f"{self.workflow} {self.id} ended in {state}: {info[:300]}"
        got = json.loads(execution["output"]).get("got")
        if got != self.expected():
            return f"{self.workflow} {self.id} gave {got}, not {self.expected()}"
        return None
