"""Attaches oslo.log to what the other packages log, and re-reads log levels on SIGHUP.

On SIGHUP only levels change (``debug`` and ``default_log_levels``); files and formats stay as they were at
start. The handler of the signal merely starts a thread: it may interrupt a log call that holds the very
lock that changing a level needs.
"""

from __future__ import annotations

import logging
import signal
import threading
from types import FrameType

from oslo_config import cfg
from oslo_log import log as oslo_log

from mistral_lite import __version__
from mistral_lite.config import Settings, load
from mistral_lite.errors import InputError
from mistral_lite.log import Event, write

_LOG = logging.getLogger(__name__)

# Alembic tells each start that it looked at the schema.
_QUIET_LOGGERS = ("alembic",)


def setup(settings: Settings) -> None:
    """Send log records where ``[DEFAULT] log_file``, ``use_syslog`` and so on say (default: stderr)."""
    oslo_log.setup(settings.conf, "mistral-lite", __version__)
    apply_levels(settings.conf)


def apply_levels(conf: cfg.ConfigOpts) -> None:
    """Set the level of every logger that ``debug`` and ``default_log_levels`` name."""
    level = logging.DEBUG if conf.debug else logging.INFO
    logging.getLogger().setLevel(level)
    for name in _QUIET_LOGGERS:
        logging.getLogger(name).setLevel(level if conf.debug else logging.WARNING)
    for pair in conf.default_log_levels:
        name, _, level_name = pair.partition("=")
        logging.getLogger(name).setLevel(level_name.strip().upper())


def reread_levels(settings: Settings) -> bool:
    """Read the configuration files again and take over their log levels; False if they are unusable now."""
    try:
        apply_levels(load(settings.config_files).conf)
    except (InputError, ValueError) as error:
        write(
            _LOG,
            logging.WARNING,
            Event.LOG_LEVELS_READ,
            "Log levels stay as they were: the configuration is unusable",
            reason=str(error),
        )
        return False
    write(_LOG, logging.INFO, Event.LOG_LEVELS_READ, "Log levels read again")
    return True


def reread_levels_on_sighup(settings: Settings) -> None:
    """Install the handler of SIGHUP. Main thread only."""

    def start_rereading(_signal: int, _frame: FrameType | None) -> None:
        threading.Thread(target=reread_levels, args=(settings,), name="log-levels", daemon=True).start()

    signal.signal(signal.SIGHUP, start_rereading)
