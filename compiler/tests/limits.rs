//! What numbers, names and full disks may not do to the command line.

mod common;

use std::process::{Command, Stdio};

use common::{digits, ends};

#[test]
fn numbers_have_bounds_with_a_reason() {
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().join("out").display().to_string();
    let (model, data) = (digits("digits_mlp_w4a4_qcdq.onnx"), digits("digits-test-360.npz"));
    let compile = ["compile", &model, "--target", "reference", "--code", "rate", "-o", &out];
    for timesteps in ["0", "18446744073709551615", "99999999999999999999", "-1", "nan", "1048577"] {
        let option = format!("--timesteps={timesteps}");
        let text = ends(&[&compile[..], &[option.as_str()]].concat(), 2);
        assert!(text.contains("--timesteps"), "{text}");
    }
    for option in ["--trials=0", "--trials=18446744073709551615", "--range=-1e300,1e300"] {
        ends(&["fit", "swish", "--timesteps", "4", option], 2);
    }
    // More threads than cores are not started.
    ends(&["eval", &model, "--data", &data, "--limit", "3", "-j", "100000"], 0);
}

#[test]
fn kernels_that_do_not_exist_are_wrong_usage() {
    let run = |kernels: &str| {
        let model = digits("digits_mlp_w4a4_qcdq.onnx");
        Command::new(env!("CARGO_BIN_EXE_snnc"))
            .args(["inspect", &model])
            .env("SNNC_KERNELS", kernels)
            .output()
            .expect("snnc starts")
    };
    let output = run("bogus");
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("SNNC_KERNELS"));
    for known in ["", "scalar", "portable"] {
        assert!(run(known).status.success(), "{known}");
    }
}

/// An answer that does not reach its reader is no success; a reader that has enough is none's fault.
#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_an_error_and_a_closed_pipe_is_none() {
    let model = digits("digits_mlp_w4a4_qcdq.onnx");
    let commands: [&[&str]; 5] = [
        &["completions", "bash"],
        &["targets"],
        &["inspect", &model],
        &["inspect", &model, "--format", "json"],
        &["fit", "swish"],
    ];
    for arguments in commands {
        let full = std::fs::File::options().write(true).open("/dev/full").expect("opens");
        let mut command = Command::new(env!("CARGO_BIN_EXE_snnc"));
        let output = command.args(arguments).stdout(full).stderr(Stdio::piped()).output();
        let output = output.expect("snnc starts");
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(4), "{arguments:?}: {text}");
        assert!(text.contains("standard output") && !text.contains("panicked"), "{text}");

        let mut command = Command::new(env!("CARGO_BIN_EXE_snnc"));
        let mut child = command
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("snnc starts");
        drop(child.stdout.take());
        let output = child.wait_with_output().expect("waits");
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {text}");
        assert!(!text.contains("panicked"), "{text}");
    }
}
