#!/bin/sh
# Tests of the checker, in a virtual environment of its own; arguments go to pytest.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
venv=${SNNC_CHECKER_VENV:-"$here/../target/checker-venv"}
[ -x "$venv/bin/python" ] || python3 -m venv "$venv"
"$venv/bin/python" -m pip install --quiet --requirement "$here/requirements.txt"
exec "$venv/bin/python" -m pytest -q -p no:cacheprovider "$here/tests" "$@"
