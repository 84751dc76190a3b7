"""What installed packs of actions find in the configuration that is global to a process (``cfg.CONF`` of oslo.config).

We pass settings in and never use that one; packs that were written for Mistral's server read it. The options that they
register themselves get their values from the same files.
"""

from __future__ import annotations

from oslo_config import cfg

from mistral_lite import config
from mistral_lite.actions import plugins
from mistral_lite.config_options import OPTIONS

# Of our own, with which a pack finds our API.
_GROUPS = ("api", "pecan")


def publish(settings: config.Settings) -> None:
    """Put the configuration where packs look for it, if any are installed.

    Once in a process, before plug-ins are loaded: some read options as they are imported.
    """
    if not plugins.are_installed():
        return
    shared = cfg.CONF
    shared(
        args=[],
        project=config.PROJECT,
        default_config_files=list(settings.config_files),
        default_config_dirs=[],
    )
    for group in _GROUPS:
        shared.register_opts(OPTIONS[group], group=group)
        for option in OPTIONS[group]:
            # Not only what the files say: the command line may have the last word.
            shared.set_override(option.dest, settings.conf[group][option.dest], group=group)
    if settings.auth.mode == config.AuthMode.KEYSTONE:
        # Only here: its libraries take half a second to load.
        from keystoneauth1 import loading  # noqa: PLC0415

        from mistral_lite import trusts  # noqa: PLC0415

        trusts.register_options(shared)
        # How packs connect as the service user.
        loading.register_session_conf_options(shared, "keystone")
