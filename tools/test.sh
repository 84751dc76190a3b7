#!/bin/sh
# Runs every check and every test of this tree, through tox. Arguments go to pytest.
#
# Tests that need PostgreSQL, MariaDB or RabbitMQ run if the service answers at the address in
# MISTRAL_LITE_TEST_POSTGRESQL, MISTRAL_LITE_TEST_MARIADB or MISTRAL_LITE_TEST_RABBITMQ (URLs with the
# rights to make databases). What is left out is said at the end; with CI=true it is a failure.
set -eu

root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
python=${PYTHON:-python3}
tools=$root/.tox/.launcher
. "$root/tools/venv.sh"

: "${MISTRAL_LITE_TEST_POSTGRESQL:=postgresql://postgres@127.0.0.1:5432/postgres}"
: "${MISTRAL_LITE_TEST_MARIADB:=mysql+pymysql://root@127.0.0.1:3306/}"
: "${MISTRAL_LITE_TEST_RABBITMQ:=rabbit://guest:guest@127.0.0.1:5672/}"

# answers URL: whether something listens there.
answers() {
    "$python" - "$1" <<'PROBE'
import socket, sys
from urllib.parse import urlsplit

place = urlsplit(sys.argv[1])
try:
    socket.create_connection((place.hostname, place.port), timeout=30).close()
except OSError:
    sys.exit(1)
PROBE
}

require_python "$python"
left_out=
for service in POSTGRESQL MARIADB RABBITMQ; do
    eval "url=\$MISTRAL_LITE_TEST_$service"
    if answers "$url"; then
        export "MISTRAL_LITE_TEST_$service"
    else
        unset "MISTRAL_LITE_TEST_$service"
        left_out="$left_out $service"
    fi
done
if [ -n "$left_out" ] && [ "${CI:-}" = true ]; then
    echo "Nothing answers for:$left_out. With CI=true nothing may be left out; .ci/run starts the services." >&2
    exit 1
fi

mkdir -p "$root/.tox"
make_venv "$python" "$tools" 'tox>=4.23'

status=0
"$tools/bin/python" -m tox run --quiet --root "$root" -c "$root/tox.ini" -- "$@" || status=$?
if [ -n "$left_out" ]; then
    echo "Left out, because nothing answers:$left_out. Their tests were skipped."
fi
exit $status
