"""What packs that read the global configuration of oslo.config find there; in a process of its own, as it is global."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

# A pack that reads options as it is imported, as mistral-extra does.
PACK = """
from mistral_lib.actions import Action
from oslo_config import cfg

cfg.CONF.register_opts([cfg.StrOpt("default_region"), cfg.ListOpt("modules")], group="openstack_actions")
MODULES = cfg.CONF.openstack_actions.modules


class Read(Action):
    def run(self, context):
        conf = cfg.CONF
        found = {
            "modules": MODULES,
            "region": conf.openstack_actions.default_region,
            "api": [conf.api.host, conf.api.port],
            "auth": conf.pecan.auth_enable,
        }
        if "keystone_authtoken" in conf:
            options = conf.keystone_authtoken
            found["keystone"] = [options.www_authenticate_uri, options.auth_type, conf.keystone.insecure]
        return found
"""

SHOW = """
import json, sys
from mistral_lite import config, parts, plugin_options

settings = config.load([sys.argv[1]], overrides={("api", "port"): 8123})
plugin_options.publish(settings)
registry = parts.make_registry(settings)
action = registry.instantiate("pack.read", {}) if registry.find("pack.read") else None
print(json.dumps({
    "found": action and action.run(None),
    "keystone": "keystonemiddleware" in sys.modules,
    "groups": "api" in __import__("oslo_config.cfg").cfg.CONF,
}))
"""

KEYSTONE = """[DEFAULT]
auth_type = keystone
[pecan]
auth_enable = true
[keystone_authtoken]
www_authenticate_uri = http://keystone/v3
auth_type = password
[keystone]
insecure = true
"""
NOBODY = "[pecan]\nauth_enable = false\n"
PACK_OPTIONS = "[api]\nhost = 127.0.0.2\n[openstack_actions]\ndefault_region = North\nmodules = nova,heat\n"


def show(folder: Path, options: str, *, is_installed: bool) -> dict[str, object]:
    """Return what a process with this configuration says of itself."""
    (folder / "service.conf").write_text(options)
    if is_installed:
        (folder / "pack_of_test.py").write_text(PACK)
        facts = folder / "pack_of_test-1.0.dist-info"
        facts.mkdir()
        (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: pack-of-test\nVersion: 1.0\n")
        (facts / "entry_points.txt").write_text("[mistral.actions]\npack.read = pack_of_test:Read\n")
    done = subprocess.run(
        [sys.executable, "-c", SHOW, "service.conf"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    shown: dict[str, object] = json.loads(done.stdout)
    return shown


@pytest.mark.parametrize(
    ("options", "found"),
    [
        (NOBODY, {"auth": False}),
        (KEYSTONE, {"auth": True, "keystone": ["http://keystone/v3", "password", True]}),
    ],
)
def test_a_pack_reads_the_options_of_the_service(
    tmp_path: Path, options: str, found: dict[str, object]
) -> None:
    same = {"modules": ["nova", "heat"], "region": "North", "api": ["127.0.0.2", 8123]}
    shown = show(tmp_path, options + PACK_OPTIONS, is_installed=True)
    assert shown == {"found": {**same, **found}, "keystone": "keystone" in found, "groups": True}


def test_without_a_pack_nothing_is_published_or_imported(tmp_path: Path) -> None:
    shown = show(tmp_path, KEYSTONE, is_installed=False)
    assert shown == {"found": None, "keystone": False, "groups": False}
