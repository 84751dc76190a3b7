# Shell functions of serve.sh and test.sh; sourced, not run. Needs $root, the top of the tree.

# require_python PYTHON: end with one sentence unless PYTHON can make virtual environments.
require_python() {
    if ! command -v "$1" >/dev/null 2>&1; then
        echo "Python is missing: install Python 3.11 or newer, or name it: PYTHON=/path/to/python3 sh $0" >&2
        exit 1
    fi
    if ! "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
        echo "$1 is too old: Python 3.11 or newer is needed; name another: PYTHON=/path/to/python3 sh $0" >&2
        exit 1
    fi
    if ! "$1" -c 'import ensurepip, venv' 2>/dev/null; then
        echo "$1 cannot make virtual environments: install python3-venv (apt-get install python3-venv)." >&2
        exit 1
    fi
}

# make_venv PYTHON FOLDER PIP-ARGUMENTS…: install into FOLDER unless exactly that is there already.
make_venv() {
    base=$1
    folder=$2
    shift 2
    # The place is part of the stamp: a tree that was copied elsewhere is installed anew.
    wanted=$({ echo "$folder $*"; "$base" -V; cat "$root/setup.cfg" "$root/setup.py" "$root/pyproject.toml"; } | cksum)
    if [ "$(cat "$folder/.installed" 2>/dev/null)" = "$wanted" ] && "$folder/bin/python" -c '' 2>/dev/null; then
        return
    fi
    echo "Installing into $folder (only this once) …" >&2
    if ! "$folder/bin/python" -c 'import pip' 2>/dev/null; then
        "$base" -m venv --clear "$folder"
    fi
    rm -f "$folder/.installed"
    "$folder/bin/python" -m pip install --quiet --disable-pip-version-check "$@"
    echo "$wanted" >"$folder/.installed"
}
