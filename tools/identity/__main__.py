"""``python -m identity`` (in ``tools/``): a Keystone for trying things out by hand, until Ctrl-C.

Makes the service user ``mistral`` and the user ``demo``, and prints what a configuration and a client need.
"""

from __future__ import annotations

import argparse
import signal
import tempfile
from pathlib import Path

from identity.install import installed
from identity.server import Keystone


def main() -> None:
    """Install what is missing, then serve unless told to stop there."""
    parser = argparse.ArgumentParser(prog="identity", description=__doc__)
    parser.add_argument("--install-only", action="store_true", help="only make the cached installation")
    parser.add_argument("--endpoint", default="http://127.0.0.1:8989/v2", help="where the service answers")
    arguments = parser.parse_args()
    installation = installed()
    if arguments.install_only:
        return
    with tempfile.TemporaryDirectory() as folder:
        keystone = Keystone(installation, Path(folder) / "keystone")
        keystone.start()
        try:
            _show(keystone, arguments.endpoint)
            signal.sigwait([signal.SIGINT, signal.SIGTERM])
        finally:
            keystone.stop()


def _show(keystone: Keystone, endpoint: str) -> None:
    keystone.register("workflowv2", endpoint)
    service = keystone.create_account("mistral", "admin", "service")
    demo = keystone.create_account("demo", "member")
    print(keystone.service_options(service))
    for title, account in (("a user", demo), ("the administrator", keystone.admin)):
        print(f"# {title}")
        for name, value in keystone.client_environment(account).items():
            print(f"export {name}={value}")
    print("Stop with Ctrl-C.", flush=True)


if __name__ == "__main__":
    main()
