#!/bin/sh
# Installs the programs that the tests hold emitted files against. Tests that find one missing
# print a line that begins with "skipped:" and pass. Needs Debian or a descendant, and root.
set -eu

# Hardware simulators for the SPLEAT-style images, and srecord for their text formats.
rtl() {
    apt-get update
    DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
        iverilog verilator srecord g++ make
}

# Lava NetX, for the files of loihi.
lava() {
    "$(dirname "$0")/lava/install.sh"
}

case "${1:-all}" in
    rtl) rtl ;;
    lava) lava ;;
    all) rtl; lava ;;
    *) echo "usage: $0 [all|rtl|lava]" >&2; exit 2 ;;
esac
