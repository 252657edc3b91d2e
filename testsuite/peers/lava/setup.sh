#!/bin/sh
# Makes a Python environment in which lava-nc 0.10.0 and lava-dl 0.6.0 run, and prints its python.
#
#   testsuite/peers/lava/setup.sh [DIRECTORY]      default: target/peers/lava
#
# Both packages ask for Python 3.10 and lava-dl for torch; NetX needs neither (see shim.py).
set -eu
root=$(cd "$(dirname "$0")/../../.." && pwd)
place=${1:-$root/target/peers/lava}
python=${PYTHON:-}
for candidate in python3.11 python3.10 python3; do
    if [ -z "$python" ] && command -v "$candidate" >/dev/null; then python=$candidate; fi
done
"$python" -m venv "$place"
"$place/bin/pip" install --quiet --no-deps --ignore-requires-python lava-nc==0.10.0 lava-dl==0.6.0
"$place/bin/pip" install --quiet 'numpy<2' 'scipy<1.14' 'networkx<=2.8.7' 'asteval<0.10' \
    'scikit-learn>=1.5,<2' h5py
echo "$place/bin/python"
