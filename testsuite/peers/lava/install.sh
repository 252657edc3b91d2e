#!/bin/sh
# Makes a Python environment in which lava-nc 0.10.0 and lava-dl 0.6.0 run, where that is possible.
#
#   testsuite/peers/lava/install.sh [DIRECTORY]      default: target/peers/lava
#
# Both packages ask for Python 3.10 and lava-dl for torch; NetX runs on 3.11 too and needs no torch
# (see shim.py). Says in one line what became of it, and never fails: tests that need Lava say that
# they are skipped.
set -u
root=$(cd "$(dirname "$0")/../../.." && pwd)
place=${1:-$root/target/peers/lava}
log=$place.log

skip() {
    echo "skipped: Lava is not installed: $1"
    exit 0
}

works() {
    (cd "$root/testsuite/peers/lava" && "$place/bin/python" -c 'import shim; from lava.lib.dl import netx') \
        >>"$log" 2>&1
}

mkdir -p "$(dirname "$place")" || skip "$place cannot be made"
: >"$log" || skip "$log cannot be written"
if [ -x "$place/bin/python" ] && works; then
    echo "Lava is installed in $place"
    exit 0
fi
found=
for candidate in ${PYTHON:-} python3.10 python3.11 python3; do
    version=$("$candidate" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null) || continue
    case $version in
        3.10 | 3.11) found=$candidate && break ;;
    esac
done
[ -n "$found" ] || skip "there is no Python 3.10 or 3.11"
rm -rf "$place"
"$found" -m venv "$place" >>"$log" 2>&1 || skip "no environment can be made by $found ($log)"
# A network that does not answer must not hold up the tests.
limit=
if command -v timeout >/dev/null; then limit="timeout 400"; fi
install() {
    $limit "$place/bin/python" -m pip install --quiet --disable-pip-version-check "$@" >>"$log" 2>&1
}
install --no-deps --ignore-requires-python lava-nc==0.10.0 lava-dl==0.6.0 &&
    install 'numpy<2' 'scipy<1.14' 'networkx<=2.8.7' 'asteval<0.10' 'scikit-learn>=1.5,<2' h5py ||
    { rm -rf "$place"; skip "its packages cannot be fetched ($log)"; }
works || { rm -rf "$place"; skip "it cannot be imported ($log)"; }
echo "Lava is installed in $place"
