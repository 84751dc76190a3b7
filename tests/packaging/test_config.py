"""Settings from files: every option does something or says that it does not."""

from __future__ import annotations

import ast
import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from oslo_config import cfg, generator, types

from mistral_lite.config import Settings, load
from mistral_lite.config_options import BUS_OPTIONS, COMPATIBILITY, NO_EFFECT, NO_EFFECT_YET, OPTIONS
from mistral_lite.errors import InputError

ROOT = Path(__file__).resolve().parents[2]

# Options whose other values cannot be made up from their type.
OTHER_VALUES = {
    "auth_type": "basic",
    "projects": "alice:team",
    "connection": "postgresql://db.example.org/mistral",
    "public_endpoint": "https://workflows.example.org",
    "callback_url_form": "reference",
    "validation_mode": "enabled",
    "merge_strategy": "merge",
    "allowed_languages": "yaql",
    "ignored_states": "ERROR",
    "notify": "[{'type': 'webhook', 'url': 'https://hooks.example.org/'}]",
    "zaqar_auth_type": "keystone",
    "zaqar_callback_url": "http://other.example.org",
    "zaqar_endpoint": "http://other.example.org",
}
# One value is all that they accept.
FIXED = {"enable_ssl_api"}


def other_value(option: cfg.Opt) -> str:
    if option.name in OTHER_VALUES:
        return OTHER_VALUES[option.name]
    if isinstance(option.type, types.Boolean):
        return str(not option.default)
    if isinstance(option.type, types.Number):
        return str((option.default or 0) + 7)
    return "other.example.org"


def cases(table: Mapping[str, Sequence[cfg.Opt]]) -> list[object]:
    return [
        pytest.param(group, option, id=f"{group}.{option.name}")
        for group, options in table.items()
        for option in options
        if option.name not in FIXED
    ]


def comparable(settings: Settings) -> dict[str, object]:
    plain = {
        field.name: getattr(settings, field.name)
        for field in dataclasses.fields(settings)
        if field.name not in {"conf", "config_files"}
    }
    return {
        name: dataclasses.asdict(value) if dataclasses.is_dataclass(value) else value
        for name, value in plain.items()
    }


def load_text(folder: Path, text: str) -> Settings:
    path = folder / "service.conf"
    path.write_text(text)
    return load([str(path)])


@pytest.mark.parametrize(("group", "option"), [*cases(OPTIONS), *cases({"DEFAULT": BUS_OPTIONS})])
def test_every_option_changes_the_settings(tmp_path: Path, group: str, option: cfg.Opt) -> None:
    extra = "convert_input_data = false\n" if option.name == "convert_output_data" else ""
    with_option = load_text(tmp_path, f"[{group}]\n{extra}{option.name} = {other_value(option)}\n")
    without = load_text(tmp_path, f"[{group}]\n{extra}")
    assert comparable(with_option) != comparable(without)


@pytest.mark.parametrize(("group", "option"), cases(COMPATIBILITY))
def test_an_option_of_mistral_without_effect_is_accepted_and_says_so(
    tmp_path: Path, group: str, option: cfg.Opt
) -> None:
    settings = load_text(tmp_path, f"[{group}]\n{option.name} = {other_value(option)}\n")
    assert comparable(settings) == comparable(load())
    assert option.help.startswith((NO_EFFECT, NO_EFFECT_YET))


def test_every_setting_is_read_by_the_code_that_wires_the_parts() -> None:
    package = ROOT / "mistral_lite"
    readers = [
        package / "parts.py",
        package / "log_setup.py",
        *package.glob("api/w*.py"),
        *package.glob("cli/*.py"),
    ]
    attributes = {
        node.attr
        for path in readers
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute)
    }
    assert leaf_names(load()) - attributes == set()


def leaf_names(settings: object) -> set[str]:
    assert dataclasses.is_dataclass(settings)
    names: set[str] = set()
    for field in dataclasses.fields(settings):
        value = getattr(settings, field.name)
        names |= leaf_names(value) if dataclasses.is_dataclass(value) else {field.name}
    return names


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[api]\nport = x", r"\[api\] port is not valid"),
        ("[api]\nport = 70000", r"\[api\] port is not valid"),
        ("[api]\nvalidation_mode = sometimes", r"\[api\] validation_mode is not valid"),
        ("[api]\nenable_ssl_api = true", r"\[api\] enable_ssl_api is not supported"),
        ("[api]\npublic_endpoint = workflows.example.org", r"\[api\] public_endpoint must be an absolute"),
        ("[api]\npublic_endpoint = http://workflows/v2/", r"\[api\] public_endpoint must not end in /v2"),
        ("[queues]\nzaqar_endpoint = zaqar:8888", r"\[queues\] zaqar_endpoint must be an absolute"),
        ("[queues]\nzaqar_callback_url = http://m/v2/", r"\[queues\] zaqar_callback_url must not end in /v2"),
        ("[database]\nconnection = oracle://u:hidden@h/d", r"\[database\] connection must begin with"),
        ("[yaql]\nconvert_output_data = false", r"\[yaql\] convert_output_data = false needs"),
        ("auth_type = keycloak-oidc", r"\[DEFAULT\] auth_type = keycloak-oidc is not supported"),
        ("auth_type = kerberos", r"\[DEFAULT\] auth_type is not valid"),
        ("rpc_response_timeout = 0", r"\[DEFAULT\] rpc_response_timeout is not valid"),
        ("debug = perhaps", r"\[DEFAULT\] debug: Invalid Boolean value"),
        ("transport_url = rabbit://u:hidden@h\n[api", "is not an INI file"),
    ],
)
def test_a_bad_file_is_refused_with_the_place_and_without_secrets(
    tmp_path: Path, text: str, message: str
) -> None:
    if not text.startswith("["):
        text = f"[DEFAULT]\n{text}"
    with pytest.raises(InputError, match=message) as refused:
        load_text(tmp_path, text)
    assert "hidden" not in str(refused.value)


@pytest.mark.parametrize(("name", "message"), [("absent.conf", "not found"), (".", "Is a directory")])
def test_an_unreadable_file_is_named(tmp_path: Path, name: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as refused:
        load([str(tmp_path / name)])
    assert str(tmp_path) in str(refused.value)


@pytest.mark.parametrize(
    ("configured", "host", "port", "endpoint"),
    [
        (None, "127.0.0.1", "8989", "http://127.0.0.1:8989"),
        (None, "::1", "80", "http://[::1]:80"),
        ("https://w.example.org/", "127.0.0.1", "8989", "https://w.example.org"),
        ("https://example.org/workflows", "0.0.0.0", "1", "https://example.org/workflows"),
    ],
)
def test_callbacks_are_addressed_to_an_absolute_url(
    tmp_path: Path, configured: str | None, host: str, port: str, endpoint: str
) -> None:
    line = f"public_endpoint = {configured}\n" if configured else ""
    settings = load_text(tmp_path, f"[api]\n{line}host = {host}\nport = {port}\n")
    assert settings.api.public_endpoint == endpoint


def test_a_file_wins_over_defaults_and_the_command_line_over_both(tmp_path: Path) -> None:
    path = tmp_path / "a.conf"
    path.write_text("[api]\nport = 2\nmax_limit = 2\n")
    key, other, third = ("api", "port"), ("api", "max_limit"), ("engine", "topic")
    settings = load([str(path)], defaults={key: 1, other: 1, third: "from-default"}, overrides={key: 3})
    assert (settings.api.port, settings.api.max_limit, settings.engine.topic) == (3, 2, "from-default")


def test_later_files_win(tmp_path: Path) -> None:
    paths = []
    for name in ("a", "b"):
        path = tmp_path / name
        path.write_text(f"[DEFAULT]\ntransport_url = rabbit://{name}\n")
        paths.append(str(path))
    assert load(paths).transport_url == "rabbit://b"


def test_nothing_shows_a_secret(tmp_path: Path) -> None:
    settings = load_text(
        tmp_path,
        "[DEFAULT]\ntransport_url = rabbit://u:hidden@h/\n[database]\nconnection = mysql://u:hidden@h/d\n",
    )
    assert "hidden" not in f"{settings!r} {settings.database!r}"


def test_the_global_configuration_is_left_alone() -> None:
    load()
    assert "api" not in cfg.CONF


def test_the_sample_is_current(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    sample = tmp_path / "sample"
    generator.main(["--config-file", "etc/config-generator.conf", "--output-file", str(sample)])
    committed = (ROOT / "etc/mistral-lite.conf.sample").read_text()
    assert sample.read_text() == committed, (
        "run: oslo-config-generator --config-file etc/config-generator.conf"
    )


@pytest.mark.parametrize(
    ("text", "host"),
    [
        ("", "0.0.0.0"),
        ("[pecan]\nauth_enable = false\n", "127.0.0.1"),
        ("[pecan]\nauth_enable = false\n[api]\nhost = 0.0.0.0\n", "0.0.0.0"),
        ("[pecan]\nauth_enable = false\n[api]\nhost = 10.1.2.3\n", "10.1.2.3"),
    ],
)
def test_an_api_that_asks_nobody_listens_on_this_machine_unless_told_otherwise(
    tmp_path: Path, text: str, host: str
) -> None:
    assert load_text(tmp_path, text).api.host == host
