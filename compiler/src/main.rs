//! The command line of `snnc`.

use std::process::ExitCode;

fn main() -> ExitCode {
    snnc::cli::main()
}
