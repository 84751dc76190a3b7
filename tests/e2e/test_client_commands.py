"""Every command of the unmodified client shows here what it was recorded to show with a genuine Mistral.

The scripts are in ``client_commands/script``; ``tools/client_commands`` records and runs them.
"""

from __future__ import annotations

import re
import sys
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from client_commands import records
from client_commands.document import DOCUMENT, rendered
from client_commands.runner import (
    MUTE,
    Outcome,
    Service,
    StuckError,
    in_a_process,
    in_this_process,
    run_themes,
)
from client_commands.script import Theme, client_commands, load_themes
from deployments import AllInOne, Deployment
from identity.server import Keystone

THEMES = load_themes()
REFERENCE = {theme.name: records.load(records.REFERENCE, theme.name) for theme in THEMES}
HERE = {theme.name: records.load(records.HERE, theme.name) for theme in THEMES}
CASES = [(theme, number) for theme in THEMES for number in range(len(theme.commands))]
WITH_KEYSTONE = (
    "[pecan]\nauth_enable = true\n"
    "[api]\nallow_action_execution_deletion = true\n"
    "[dynamic_actions]\nenabled = true\n"
)

MakeDeployment = Callable[..., Deployment]
Outcomes = Mapping[str, list[Outcome] | StuckError]


@pytest.fixture(scope="session")
def plain(_make: MakeDeployment) -> Deployment:
    """A service that nobody else uses: lists show everything."""
    deployment = _make(AllInOne.kind)
    deployment.start()
    return deployment


@pytest.fixture(scope="session")
def plain_outcomes(plain: Deployment, tmp_path_factory: pytest.TempPathFactory) -> Outcomes:
    service = Service.open(f"{plain.url}/v2")
    themes = [theme for theme in THEMES if not theme.needs_identity]
    return run_themes(service, themes, tmp_path_factory.mktemp)


@pytest.fixture(scope="session")
def keystone_outcomes(
    _make: MakeDeployment, keystone: Keystone, tmp_path_factory: pytest.TempPathFactory
) -> Outcomes:
    operator = keystone.create_account(f"mistral-{uuid.uuid4().hex[:6]}", "service")
    deployment = _make(AllInOne.kind, WITH_KEYSTONE + keystone.service_options(operator))
    deployment.start()
    service = with_accounts(keystone, f"{deployment.url}/v2")
    themes = [theme for theme in THEMES if theme.needs_identity]
    return run_themes(service, themes, tmp_path_factory.mktemp)


def with_accounts(keystone: Keystone, url: str) -> Service:
    """Return a service whose callers are new accounts: an administrator and two others, each in its project."""
    accounts = {
        name: keystone.create_account(f"{name}-{uuid.uuid4().hex[:6]}", role)
        for name, role in (("admin", "admin"), ("primary", "member"), ("alt", "member"))
    }
    logins = {
        name: {**keystone.client_environment(account), "OS_MISTRAL_URL": url}
        for name, account in accounts.items()
    }
    logins["wrong"] = {**logins["primary"], "OS_PASSWORD": "something else"}
    projects = {name: account.project_id for name, account in accounts.items()}
    return Service(url=url, logins=logins, projects=projects)


@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("theme", "number"),
    CASES,
    ids=[f"{theme.name}-{number:03}-{theme.commands[number].name}" for theme, number in CASES],
)
def test_a_command_shows_what_was_recorded(theme: Theme, number: int, request: pytest.FixtureRequest) -> None:
    outcomes: Outcomes = request.getfixturevalue(
        "keystone_outcomes" if theme.needs_identity else "plain_outcomes"
    )
    came_to = outcomes[theme.name]
    if isinstance(came_to, StuckError):
        raise came_to
    seen = came_to[number]
    assert not seen.get(MUTE), "a failure without a sentence for the user"
    assert records.comparable([seen]) == [expected(theme, number)]


def expected(theme: Theme, number: int) -> Outcome:
    command = theme.commands[number]
    if not command.differs:
        return REFERENCE[theme.name][number]
    stated = [each for each in theme.commands if each.differs]
    # The same command may be typed twice.
    place = next(index for index, each in enumerate(stated) if each is command)
    return HERE[theme.name][place]


@pytest.mark.parametrize("theme", THEMES, ids=lambda theme: theme.name)
def test_every_command_is_recorded_and_every_stated_difference_is_one(theme: Theme) -> None:
    reference = REFERENCE[theme.name]
    assert [outcome["run"] for outcome in reference] == [command.text for command in theme.commands]
    here = HERE[theme.name]
    stated = [number for number, command in enumerate(theme.commands) if command.differs]
    assert len(here) == len(stated)
    assert [number for number in stated if expected(theme, number) == reference[number]] == []


def test_every_command_of_the_client_is_typed() -> None:
    shown = in_this_process(["help"], {}).out.partition("\nCommands:\n")[2]
    # "help" and "complete" are those of every program made with cliff.
    names = set(re.findall(r"^  ([a-z-]+)  ", shown, re.MULTILINE)) - {"help", "complete"}
    assert names == set(client_commands()), "what the client says it can"
    assert len(names) >= 74
    typed = {command.name for theme in THEMES for command in theme.commands}
    assert typed == names


@pytest.mark.parametrize(
    "arguments",
    [
        ["workflow-list", "-f", "json"],
        ["action-get", "std.echo"],
        ["workflow-get", "nothing"],
        ["execution-create", "nothing"],
        ["run-action", "std.echo", '{"output": "x"}'],
    ],
    ids=lambda arguments: arguments[0],
)
def test_a_process_of_its_own_shows_the_same(plain: Deployment, arguments: list[str]) -> None:
    environment = {"OS_MISTRAL_URL": f"{plain.url}/v2"}
    here = in_this_process(arguments, environment)
    apart = in_a_process(Path(sys.executable).with_name("mistral"), arguments, environment)
    assert (apart.code, apart.out) == (here.code, here.out)
    assert here.err.strip() in apart.err


def test_the_page_lists_every_command_and_difference() -> None:
    assert DOCUMENT.read_text(encoding="utf-8") == rendered(THEMES)
