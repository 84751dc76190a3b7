"""Both deployments, shared by all tests of a session, and the neighbours that tests put beside them.

A test may stop and kill what it likes: the shared deployment is made whole again after each test. What needs
other options (short leases) is a deployment of its own.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

import pytest

# Tests are imported without a package; what they share stands beside them, or with the tools.
sys.path.insert(0, str(Path(__file__).parents[2] / "tools"))
sys.path.insert(0, str(Path(__file__).parent))

from deployments import AllInOne, Deployment, MariaDB, OnMariaDB, Template, ThreeProcesses
from identity.install import installed
from identity.server import Keystone
from messaging import install as messaging
from messaging.server import Zaqar
from neighbours import Request, WebService

KINDS = (AllInOne.kind, ThreeProcesses.kind)

# The least that the service accepts, so that nobody waits long for a killed executor.
SHORT_LEASES = "[engine]\naction_lease_time = 2\n"

MakeDeployment = Callable[..., Deployment]
MakeWebService = Callable[..., WebService]


def required(service: str) -> str:
    """Return the address of a service; without one skip the test, or fail it where nothing may be left out."""
    variable = f"MISTRAL_LITE_TEST_{service}"
    url = os.environ.get(variable)
    if not url:
        unavailable(f"{variable} is not set; tools/test.sh sets it where {service} answers")
    return url


def unavailable(reason: str) -> NoReturn:
    """Skip the test, or fail it where nothing may be left out."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def template() -> Iterator[Template]:
    server = required("POSTGRESQL")
    required("RABBITMQ")
    template = Template(server)
    yield template
    template.drop()


@pytest.fixture(scope="session")
def _mariadb() -> MariaDB:
    return MariaDB(required("MARIADB"))


@pytest.fixture(scope="session")
def _make(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[MakeDeployment]:
    made: list[Deployment] = []

    def make(kind: str, options: str = "") -> Deployment:
        folder = tmp_path_factory.mktemp(kind)
        deployment: Deployment
        if kind == AllInOne.kind:
            deployment = AllInOne(folder, options)
        else:
            place = ThreeProcesses if kind == ThreeProcesses.kind else OnMariaDB
            template = request.getfixturevalue("template" if place is ThreeProcesses else "_mariadb")
            deployment = place(folder, options, template=template, rabbitmq=required("RABBITMQ"))
        made.append(deployment)
        return deployment

    yield make
    for deployment in made:
        deployment.remove()


@pytest.fixture(scope="session")
def make_deployment(_make: MakeDeployment) -> MakeDeployment:
    """Make deployments that only one test uses; they are removed at the end of the session."""
    return _make


@pytest.fixture(scope="session")
def _shared(_make: MakeDeployment) -> MakeDeployment:
    made: dict[tuple[str, str], Deployment] = {}

    def share(kind: str, options: str = "") -> Deployment:
        if (kind, options) not in made:
            made[kind, options] = _make(kind, options)
        return made[kind, options]

    return share


def _whole(deployment: Deployment) -> Iterator[Deployment]:
    deployment.restore()
    yield deployment
    # Shown only if the test failed.
    sys.stdout.write(deployment.said())


@pytest.fixture(params=KINDS)
def deployment(request: pytest.FixtureRequest, _shared: MakeDeployment) -> Iterator[Deployment]:
    """Each deployment in turn, whole and running."""
    yield from _whole(_shared(request.param))


@pytest.fixture(params=(*KINDS, OnMariaDB.kind))
def anywhere(request: pytest.FixtureRequest, _shared: MakeDeployment) -> Iterator[Deployment]:
    """Each deployment in turn, the three processes over MariaDB as well: for tests of the core of the matter."""
    yield from _whole(_shared(request.param))


@pytest.fixture
def apart(_shared: MakeDeployment) -> Iterator[Deployment]:
    """The deployment of three processes."""
    yield from _whole(_shared(ThreeProcesses.kind))


@pytest.fixture(params=KINDS)
def impatient(request: pytest.FixtureRequest, _shared: MakeDeployment) -> Iterator[Deployment]:
    """Each deployment in turn, with short leases."""
    yield from _whole(_shared(request.param, SHORT_LEASES))


@pytest.fixture
def impatient_apart(_shared: MakeDeployment) -> Iterator[Deployment]:
    """The deployment of three processes, with short leases."""
    yield from _whole(_shared(ThreeProcesses.kind, SHORT_LEASES))


@pytest.fixture
def make_web_service() -> Iterator[MakeWebService]:
    """Make web services that end with the test."""
    made: list[WebService] = []

    def make(work: Callable[[Request], None] | None = None, *, is_slow: bool = False) -> WebService:
        made.append(WebService(work, is_slow=is_slow))
        return made[-1]

    yield make
    for service in made:
        service.close()


@pytest.fixture(scope="session")
def keystone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Keystone]:
    """A genuine Keystone, installed by the first test that ever asks for it. Tests make accounts of their own."""
    keystone = Keystone(installed(), tmp_path_factory.mktemp("identity") / "keystone")
    keystone.start()
    yield keystone
    keystone.stop()


MakeZaqar = Callable[..., Zaqar]


@pytest.fixture(scope="session")
def make_zaqar(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MakeZaqar]:
    """Make genuine Zaqars, installed by the first test that ever asks for one; they end with the session."""
    if shutil.which("redis-server") is None:
        unavailable("redis-server is not installed, which Zaqar keeps its messages in; .ci/run installs it")
    made: list[Zaqar] = []

    def make(keystone_options: str = "") -> Zaqar:
        folder = tmp_path_factory.mktemp("messaging") / "zaqar"
        made.append(Zaqar(messaging.installed(), folder, keystone_options=keystone_options))
        made[-1].start()
        return made[-1]

    yield make
    for zaqar in made:
        zaqar.remove()


@pytest.fixture(scope="session")
def zaqar(make_zaqar: MakeZaqar) -> Zaqar:
    """One that believes whoever names a project. Tests use queues of their own."""
    return make_zaqar()
