#!/usr/bin/env bash
# Builds the Python package, installs it into a virtual environment of its own and runs its tests; arguments go to
# pytest. SNNC_WHEEL_PROFILE=release builds it as users do, which takes some minutes more.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
venv=${SNNC_PYTHON_VENV:-"$root/target/python-venv"}
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-"$root/target"}
[ -x "$venv/bin/python" ] || python3 -m venv "$venv"
"$venv/bin/python" -m pip install --quiet --requirement "$here/tests/requirements.txt"
wheels="$root/target/wheels"
rm -rf "$wheels"
"$venv/bin/maturin" build --quiet --profile "${SNNC_WHEEL_PROFILE:-dev}" --manifest-path "$here/Cargo.toml" \
    --interpreter "$venv/bin/python" --out "$wheels"
"$venv/bin/python" -m pip install --quiet --force-reinstall --no-deps "$wheels"/snnc-*.whl
cd "$here/tests"
exec "$venv/bin/python" -m pytest -p no:cacheprovider "$@"
