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

case "${1:-all}" in
    rtl | all) rtl ;;
    *) echo "usage: $0 [all|rtl]" >&2; exit 2 ;;
esac
