"""``python -m extra_pack`` (in ``tools/``): actions of PyPI ``mistral-extra`` at work, by the real client.

Three processes of the service over PostgreSQL and RabbitMQ, a genuine Keystone and a genuine Zaqar. Needs an environment
with the libraries of the tests, and the servers that ``MISTRAL_LITE_TEST_POSTGRESQL`` and ``MISTRAL_LITE_TEST_RABBITMQ``
name (default: on this machine); the pack is installed into an environment of its own. Takes some minutes.

Ends with status 1 if an action does not do what it should, or if a log of the service holds a secret.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from pathlib import Path

from identity.install import installed as installed_identity
from identity.server import Account, Keystone
from messaging.install import installed as installed_messaging
from messaging.server import Zaqar

from extra_pack import odd_pack
from extra_pack.install import installed
from extra_pack.service import ROLES, Client, ExtraPackError, Service, check

# Actions without parameters, and something that must be in what they return.
_LISTS = {
    "keystone.projects_list": "operator",
    "keystone.users_list": "operator",
    "keystone.roles_list": "member",
    "keystone.endpoints_list": "public",
    "mistral.workflows_list": "projects",
}
# Of the pack, which has no more of this service.
_QUEUES = {f"zaqar.{name}" for name in ("queue_post", "queue_pop", "queue_messages")} | {
    "zaqar.claim_messages",
    "zaqar.delete_messages",
}
_WORKFLOW = """
version: '2.0'
projects:
  output: {names: <% $.names %>, popped: <% $.popped %>}
  tasks:
    create:
      action: keystone.projects_create
      input: {name: made-by-a-workflow, domain: default}
      on-success: list
    list:
      action: keystone.projects_list
      publish: {names: <% task().result.name %>}
      on-success: post
    post:
      action: zaqar.queue_post
      input: {queue_name: made, messages: {body: {of: <% $.names.len() %>}, ttl: 600}}
      on-success: pop
    pop:
      action: zaqar.queue_pop
      input: {queue_name: made}
      publish: {popped: <% task().result.body %>}
"""
# How every token begins.
_TOKEN = "gAAAA"


def main() -> int:
    """Run with the token of the caller and queues left to the pack, then with a trust and queues of our own."""
    python = installed()
    try:
        with tempfile.TemporaryDirectory() as folder:
            plugins = _plugins(Path(folder) / "plugins")
            _show(python, Path(folder) / "token", plugins, by_trust=False)
            _show(python, Path(folder) / "trust", plugins, by_trust=True)
    except ExtraPackError as error:
        print(f"FAILED: {error}", file=sys.stderr)
        return 1
    print("All of it is as it should be.")
    return 0


def _plugins(folder: Path) -> Path:
    """Make a folder with the odd pack in it, as an installer does."""
    facts = folder / "odd_pack-1.0.dist-info"
    facts.mkdir(parents=True)
    shutil.copy(odd_pack.__file__, folder / "odd_pack.py")
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: odd_pack\nVersion: 1.0\n")
    (facts / "entry_points.txt").write_text(odd_pack.ENTRY_POINTS)
    return folder


def _show(python: Path, folder: Path, plugins: Path, *, by_trust: bool) -> None:
    """Run everything once. The queues are left to the pack, and by a trust they are ours."""
    _say(f"-- {'by a trust, queues of our own' if by_trust else 'with a token, queues by the pack'}")
    folder.mkdir()
    keystone = Keystone(installed_identity(), folder / "keystone")
    keystone.start()
    service = Service(python, folder / "service", plugins)
    ours, theirs = (keystone.create_account(name, "admin", "service") for name in ("mistral", "zaqar"))
    zaqar = Zaqar(installed_messaging(), folder / "zaqar", keystone_options=keystone.service_options(theirs))
    try:
        zaqar.start()
        keystone.register("messaging", zaqar.url)
        keystone.register("workflowv2", service.url)
        service.start(
            f"[security_context]\ntrust_executions = {by_trust}\n[queues]\nembedded = {by_trust}\n"
            + keystone.service_options(ours)
        )
        _try_all(python, keystone, zaqar, is_ours=by_trust)
        _read_logs(service, ours, is_ours=by_trust)
    finally:
        service.remove()
        zaqar.remove()
        keystone.stop()


def _try_all(python: Path, keystone: Keystone, zaqar: Zaqar, *, is_ours: bool) -> None:
    operator = keystone.create_account("operator", "admin")
    client = Client(python, keystone.client_environment(operator))
    _see_list(client, is_ours=is_ours)
    _run_workflow(client)
    for name, expected in _LISTS.items():
        found = client.act(name)
        check(isinstance(found, list) and expected in json.dumps(found), name, found)
        _say(f"{name}: {len(found)} objects")
    _use_queues(client, keystone, zaqar, operator, is_ours=is_ours)
    for name in ("odd.listed", "odd.unlisted"):
        check(client.act(name) == len(name), name, "another result")
        _say(f"{name}, of a provider: done")
    refused = client.attempt("run-action", "keystone.projects_get", "{}")
    check(refused.returncode != 0 and "project" in refused.stderr, "an input that is missing", refused)
    _say("keystone.projects_get without its input: refused by the API")
    nobody = Client(python, keystone.client_environment(keystone.create_account("nobody", "member")))
    answer = nobody.act("keystone.users_list")
    check("HTTP 403" in answer, "keystone.users_list by a member", answer)
    _say("keystone.users_list by a member: refused by Keystone")


def _see_list(client: Client, *, is_ours: bool) -> None:
    names = {row["Name"] for row in client("action-list", "-f", "json")}
    wanted = {*_LISTS, *_QUEUES, "std.echo", "odd.listed"}
    check(names >= wanted, "missing in action-list", wanted - names)
    check(not names & {"odd.broken", "odd.unlisted"}, "action-list", "it has what cannot be loaded or listed")
    check(("zaqar.queue_wait" in names) == is_ours, "zaqar.queue_wait", "it belongs to queues of our own")
    counts = {part: sum(name.startswith(f"{part}.") for name in names) for part in ("keystone", "zaqar")}
    _say(f"action-list: {len(names)} actions, of which {counts}")


def _run_workflow(client: Client) -> None:
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        file.write(_WORKFLOW)
        file.flush()
        client("workflow-create", file.name, "-f", "json")
    execution_id = client("execution-create", "projects", "-f", "json")["ID"]
    found = client.finished(execution_id)
    output = client("execution-get-output", execution_id)
    is_right = "made-by-a-workflow" in output.get("names", ())
    check(
        is_right and output.get("popped") == [{"of": len(output["names"])}], "the workflow", (found, output)
    )
    _say(f"a workflow: {found['State']}, {output}")


def _use_queues(client: Client, keystone: Keystone, zaqar: Zaqar, account: Account, *, is_ours: bool) -> None:
    queue = "shown"
    posted = client.act(
        "zaqar.queue_post", queue_name=queue, messages=[{"body": number, "ttl": 600} for number in range(4)]
    )
    check(len(posted["resources"]) == 4, "zaqar.queue_post", posted)
    token = keystone.token(account)
    there = 0 if is_ours else 4
    counts = zaqar.stats(queue, project=account.project_id, token=token)
    check(counts["total"] == there, "messages in the Zaqar", counts)
    seen = client.act("zaqar.queue_messages", queue_name=queue, echo=True)
    check(isinstance(seen, list) and [each["body"] for each in seen] == [0, 1, 2, 3], "queue_messages", seen)
    check(seen[0]["queue"]["_name"] == queue, "zaqar.queue_messages", seen[0])
    client.act("zaqar.delete_messages", queue_name=queue, messages=[seen[0]["id"]])
    (claimed,) = client.act("zaqar.claim_messages", queue_name=queue, ttl=300, grace=60, limit=1)
    check(claimed["body"] == 1, "zaqar.claim_messages", claimed)
    popped = client.act("zaqar.queue_pop", queue_name=queue, count=2)
    check([each["body"] for each in popped] == [2, 3], "zaqar.queue_pop", popped)
    _say(f"zaqar.*: {len(_QUEUES)} actions, {there} messages in the Zaqar")


def _read_logs(service: Service, ours: Account, *, is_ours: bool) -> None:
    for role in ROLES:
        said = service.said(role)
        lines = said.splitlines()
        check(_TOKEN not in said and ours.password not in said, f"the log of the {role}", "it holds a secret")
        broken = [line for line in lines if "plugin=mistral.actions:odd.broken" in line]
        check(
            len(broken) == 1 and "left out" in broken[0], f"what is broken in the log of the {role}", broken
        )
        hidden = [line for line in lines if "event=actions.hidden" in line]
        check(len(hidden) == is_ours, f"whose zaqar.* in the log of the {role}", hidden)
    _say("the logs: what is broken and what is hidden is named, and no secret")


def _say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main())
