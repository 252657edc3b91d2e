#!/usr/bin/env bash
# Searches with every fuzz target, or those named, for SECONDS each (default 60), on one core:
#
#   SECONDS_EACH=1800 fuzz/run.sh onnx net
#
# Begins with the seeds and the committed corpus, prints executions and coverage of each, and leaves what was
# found in fuzz/artifacts. MINIMISE=1 then keeps in fuzz/corpus the inputs, of at most LARGEST bytes, that cover
# more than others. Needs a nightly compiler and `cargo install cargo-fuzz`.
set -euo pipefail
cd "$(dirname "$0")/.."

seconds=${SECONDS_EACH:-60} largest=${LARGEST:-4096} most=${MOST:-48}
mapfile -t all < <(sed -n 's/^name = "\(.*\)"$/\1/p' fuzz/Cargo.toml | grep -v '^snnc-fuzz$')
targets=("${@:-${all[@]}}")
[ $# -gt 0 ] || targets=("${all[@]}")
work=${WORK:-fuzz/target/work}
mkdir -p "$work/seeds"
cargo run -q -p snnc-testsuite --example fuzz_seeds -- "$work/seeds"

# Memory is safe outside the kernels, and overflow checks and debug assertions are on: the address sanitiser,
# which halves the speed, only where it is asked for.
sanitiser=${SANITISER:-none}
failed=0
for target in "${targets[@]}"; do
    mkdir -p "$work/$target" "fuzz/corpus/$target"
    log="$work/$target.log"
    if ! cargo +nightly fuzz run --fuzz-dir fuzz -s "$sanitiser" "$target" \
        "$work/$target" "$work/seeds/$target" "fuzz/corpus/$target" -- \
        -max_total_time="$seconds" -timeout=20 -rss_limit_mb=2048 -max_len=32768 \
        -print_final_stats=1 >"$log" 2>&1; then
        echo "$target: FOUND, see $log and fuzz/artifacts/$target"
        failed=1
        continue
    fi
    runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
    echo "$target: $runs executions, $(grep -oE 'cov: [0-9]+ ft: [0-9]+' "$log" | tail -n 1)"
    [ -n "${MINIMISE:-}" ] || continue
    # The merge prefers small inputs; what it keeps replaces the corpus.
    rm -rf "$work/merged" && mkdir -p "$work/merged"
    cargo +nightly fuzz run --fuzz-dir fuzz -s "$sanitiser" "$target" "$work/merged" \
        "fuzz/corpus/$target" "$work/$target" -- -merge=1 -max_len="$largest" >>"$log" 2>&1
    rm -f "fuzz/corpus/$target"/*
    find "$work/merged" -type f -size -"${largest}"c -printf '%s %p\n' | sort -n | awk '{print $2}' |
        awk -v n="$most" '{all[NR] = $0} END {for (i = 1; i <= NR; i++) if (NR <= n || int(i * n / NR) > int((i - 1) * n / NR)) print all[i]}' |
        xargs -r cp -t "fuzz/corpus/$target"
done
exit $failed
