//! The command line of `snnc`.

use std::process::ExitCode;

fn main() -> ExitCode {
    #[cfg(unix)]
    watch_maps();
    snnc::cli::main()
}

/// What is said when a mapped file has become shorter.
#[cfg(unix)]
const SHRUNK: &[u8] =
    b"error: a mapped file was shortened, or its disk failed, while it was read: run \
    the command again, with --no-mmap if the file changes often\n";

/// Exit code of a bad input file.
#[cfg(unix)]
const BAD_INPUT: i32 = 4;

/// Has the program end with a message where another program truncates a file that it has mapped. Only here:
/// what a signal does is not for a library to decide. Without the handler the signal ends the program.
#[cfg(unix)]
#[allow(unsafe_code)]
fn watch_maps() {
    use signal_hook::consts::SIGBUS;
    use signal_hook::low_level::{exit, register};
    let end = || {
        let _ = rustix::io::write(rustix::stdio::stderr(), SHRUNK);
        exit(BAD_INPUT);
    };
    // SAFETY: the handler may only do what is safe within signals: one `write` and `_exit`, both of them
    // system calls without locks or memory of their own.
    let _ = unsafe { register(SIGBUS, end) };
}
