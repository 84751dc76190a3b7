"""Serves Keystone; run by the Python of its own environment. ``KEYSTONE_PORT`` is where to listen.

There are no arguments, because Keystone would take them for its own.
"""

from __future__ import annotations

import os

from cheroot.wsgi import Server
from keystone.wsgi.api import application

Server(("127.0.0.1", int(os.environ["KEYSTONE_PORT"])), application, numthreads=4).safe_start()
