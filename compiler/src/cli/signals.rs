//! What a signal to end does: folders that take their places do so, what is not finished is removed.

/// Watches for SIGHUP, SIGINT and SIGTERM, as far as whoever started the program does not ignore them; the
/// program then ends by the signal.
#[cfg(unix)]
pub(super) fn watch() {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
    use signal_hook::iterator::Signals;
    let ignored = ignored();
    let watched = [SIGHUP, SIGINT, SIGTERM].into_iter().filter(|s| ignored >> (s - 1) & 1 == 0);
    let Ok(mut signals) = Signals::new(watched) else { return };
    let wait = move || {
        if let Some(signal) = signals.forever().next() {
            crate::artefact::abandon();
            let _ = signal_hook::low_level::emulate_default_handler(signal);
        }
    };
    // Without the thread they end the program as they always do, and the next run cleans up.
    let _ = std::thread::Builder::new().name("signals".into()).spawn(wait);
}

#[cfg(not(unix))]
pub(super) fn watch() {}

/// Signals that were ignored when the program started, one bit each (`nohup`, background jobs); none where
/// the system does not say.
#[cfg(unix)]
fn ignored() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    line.and_then(|bits| u64::from_str_radix(bits.trim(), 16).ok()).unwrap_or(0)
}
