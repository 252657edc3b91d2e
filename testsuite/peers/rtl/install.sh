#!/bin/sh
# Hardware simulators and a synthesis tool for the core of the SPLEAT-style images, srecord for their text
# formats.
# `install.sh` takes Icarus Verilog, Yosys, z3 and srecord; `install.sh all` Verilator too, with
# the compiler that it needs. Debian or a descendant, as root or with sudo that asks nothing; where
# that is not so, one line says so, and the tests that need the programs say that they are skipped.
set -u

packages() {
    command -v iverilog >/dev/null 2>&1 || echo iverilog
    command -v srec_cat >/dev/null 2>&1 || echo srecord
    command -v yosys >/dev/null 2>&1 || echo yosys
    command -v z3 >/dev/null 2>&1 || echo z3
    if [ "${1:-}" = all ]; then
        command -v verilator >/dev/null 2>&1 || echo verilator g++ make
    fi
}

wanted=$(packages "${1:-}" | tr '\n' ' ')
[ -n "$wanted" ] || exit 0

if [ "$(id -u)" -eq 0 ]; then
    as_root=""
elif command -v sudo >/dev/null 2>&1 && sudo -n true 2>/dev/null; then
    as_root="sudo -n"
else
    echo "skipped: $wanted(neither root nor sudo without a password)" >&2
    exit 0
fi
if ! command -v apt-get >/dev/null 2>&1; then
    echo "skipped: $wanted(there is no apt-get)" >&2
    exit 0
fi
log=$(mktemp)
# shellcheck disable=SC2086 # the words are separate arguments
if { timeout 300 $as_root apt-get -q update && timeout 300 $as_root env DEBIAN_FRONTEND=noninteractive \
    apt-get -q install -y --no-install-recommends $wanted; } >"$log" 2>&1; then
    echo "installed: $wanted"
else
    echo "skipped: $wanted($(tail -n 1 "$log"))" >&2
fi
rm -f "$log"
