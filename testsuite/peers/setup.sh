#!/bin/sh
# Installs the programs that the tests hold emitted files against. Tests that find one missing
# print a line that begins with "skipped:" and pass. Needs Debian or a descendant, and root.
set -eu
here=$(dirname "$0")

# Hardware simulators for the SPLEAT-style images, and srecord for their text formats.
rtl() {
    "$here/rtl/install.sh" "$@"
}

# Lava NetX, for the files of loihi.
lava() {
    "$here/lava/install.sh"
}

case "${1:-all}" in
    # What is small enough to be installed before every test.
    ci) rtl ;;
    rtl) rtl all ;;
    lava) lava ;;
    all) rtl all; lava ;;
    *) echo "usage: $0 [all|ci|rtl|lava]" >&2; exit 2 ;;
esac
