"""Whom an action works for: what it is given, when a trust is asked, and what can be read on the way."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from mistral_lite.errors import ActionError
from mistral_lite.executor.credentials import Credentials
from mistral_lite.sealing import Sealer
from mistral_lite.security import SecurityContext

TOKEN = "gAAAAAtoken"
CALLER = SecurityContext(
    project_id="p",
    project_name="Project",
    user_id="u",
    user_name="User",
    roles=("member", "reader"),
    region_name="Region",
    auth_uri="http://keystone/v3",
    expires_at="2026-12-01T00:00:00.000000Z",
    auth_token=TOKEN,
    service_catalog={"catalog": [{"type": "compute"}], "user": {"name": "User"}},
)


@dataclass
class Access:
    token: str
    body: dict[str, object]
    expires_at: str


class Trusts:
    """Gives a token for any trust, and counts."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def access(self, trust_id: str) -> Access:
        self.asked.append(trust_id)
        return Access(f"token-{len(self.asked)}", {"catalog": []}, "later")


def test_an_action_is_given_what_the_caller_had() -> None:
    sealer = Sealer(["hidden"])
    security = Credentials(sealer).open(CALLER.to_json(sealer), "other")
    assert vars(security) == {
        "auth_uri": "http://keystone/v3",
        "auth_cacert": None,
        "auth_token": TOKEN,
        "insecure": False,
        "service_catalog": {"catalog": [{"type": "compute"}], "user": {"name": "User"}},
        "region_name": "Region",
        "is_trust_scoped": False,
        "redelivered": False,
        "expires_at": "2026-12-01T00:00:00.000000Z",
        "trust_id": None,
        "is_target": False,
        "project_id": "p",
        "project_name": "Project",
        "user_id": "u",
        "user_name": "User",
    }


def test_without_a_security_context_the_project_is_known() -> None:
    security = Credentials().open(None, "p")
    assert (security.project_id, security.auth_token) == ("p", None)


def test_what_is_stored_and_sent_cannot_be_read() -> None:
    stored = str(CALLER.to_json(Sealer(["hidden"])))
    for secret in (TOKEN, "compute"):
        assert secret not in stored
        assert secret not in repr(CALLER)
        assert secret not in str(CALLER.shown())
    assert CALLER.shown()["auth_token"] == CALLER.shown()["service_catalog"] == "***"
    assert "hidden" not in repr(Sealer(["hidden"]))


@pytest.mark.parametrize(
    ("keys", "token"),
    [(["old"], TOKEN), (["new", "old"], TOKEN), (["new"], None), ([], None)],
)
def test_old_keys_open_what_they_sealed_and_others_do_not(keys: list[str], token: str | None) -> None:
    content = CALLER.to_json(Sealer(["old"]))
    security = Credentials(Sealer(keys)).open(content, None)
    assert (security.auth_token, security.user_name) == (token, "User")


def test_a_trust_is_asked_for_a_token_when_the_action_looks_at_it() -> None:
    trusts = Trusts()
    content = CALLER.with_trust("t").to_json(Sealer(()))
    security = Credentials(Sealer(()), trusts).open(content, None)
    assert (security.is_trust_scoped, security.trust_id, security.project_id) == (True, "t", "p")
    assert trusts.asked == []
    assert (security.auth_token, security.service_catalog) == ("token-1", {"catalog": []})
    assert (security.auth_token, security.expires_at) == ("token-1", "later")
    assert trusts.asked == ["t"]
    with pytest.raises(AttributeError):
        security.no_such_thing  # noqa: B018 - looking is the test


def test_a_trust_without_a_service_user_says_what_to_set() -> None:
    security = Credentials().open(CALLER.with_trust("t").to_json(Sealer(())), None)
    with pytest.raises(ActionError, match="keystone_authtoken"):
        security.auth_token  # noqa: B018 - looking is the test
