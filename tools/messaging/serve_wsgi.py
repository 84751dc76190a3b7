"""Serves Zaqar; run by the Python of its own environment: CONFIGURATION-FILE PORT."""

from __future__ import annotations

import sys

from cheroot.wsgi import Server
from oslo_config import cfg
from oslo_log import log
from zaqar.bootstrap import Bootstrap

log.register_options(cfg.CONF)
cfg.CONF([], project="zaqar", default_config_files=[sys.argv[1]])
log.setup(cfg.CONF, "zaqar")
application = Bootstrap(cfg.CONF).transport.app
Server(("127.0.0.1", int(sys.argv[2])), application, numthreads=10).safe_start()
