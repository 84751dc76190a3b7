#!/bin/sh
# Runs mistral-lite from this tree: makes .venv, installs, migrates, serves. Arguments go to
# "mistral-lite serve". Needs Python 3.11 or newer with venv; PYTHON names another interpreter.
set -eu

root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
python=${PYTHON:-python3}
venv=$root/.venv
. "$root/tools/venv.sh"

require_python "$python"
# Editable: the code of the tree is what runs, so that only new dependencies need a new installation.
make_venv "$python" "$venv" -e "$root"

# Relative names among the arguments are relative to the caller's folder, hence no cd.
exec "$venv/bin/python" -m mistral_lite.cli.main serve --state-dir "$root/state" "$@"
