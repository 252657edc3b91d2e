//! Files that another program shortens or changes while a command reads them: an error of the file, and never
//! an answer from what was half there.

#![cfg(target_os = "linux")]

mod common;

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use common::{content, digits, names};
use rustix::fs::{CWD, FileType, Mode, mknodat};

const MODEL: &str = "digits_mlp_w4a4_qcdq.onnx";
/// What the handler of SIGBUS says.
const SHRUNK: &str = "error: a mapped file was shortened, or its disk failed, while it was read";

fn start(arguments: &[&str]) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_snnc"));
    let command = command.args(arguments).stdout(Stdio::null()).stderr(Stdio::piped());
    command.spawn().expect("snnc starts")
}

/// Exit code and standard error.
fn ended(mut child: Child) -> (Option<i32>, String) {
    let mut text = String::new();
    child.stderr.take().expect("is a pipe").read_to_string(&mut text).expect("reads");
    (child.wait().expect("waits").code(), text)
}

/// Runs a command on a model and on samples that come through a pipe: when it has opened the pipe, it has
/// read the model, to which `happens` is done before it gets samples.
fn disturbed(
    command: impl Fn(&str, &str) -> Vec<String>,
    happens: impl Fn(&Path),
) -> (Option<i32>, String) {
    let folder = tempfile::tempdir().expect("a folder");
    let (model, pipe) = (folder.path().join("model.onnx"), folder.path().join("samples"));
    fs::copy(digits(MODEL), &model).expect("copies");
    mknodat(CWD, &pipe, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).expect("makes a pipe");
    let arguments = command(&model.display().to_string(), &pipe.display().to_string());
    let child = start(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
    let samples = fs::read(digits("digits-test-360.npz")).expect("reads");
    // Opens when the command does.
    let mut writer = File::options().write(true).open(&pipe).expect("opens");
    happens(&model);
    // The command may have ended by now.
    let _ = writer.write_all(&samples);
    drop(writer);
    let ended = ended(child);
    let out = folder.path().join("out");
    assert!(
        content(&out).is_empty() && names(&out).is_empty(),
        "something was written: {}",
        ended.1
    );
    ended
}

fn truncate(model: &Path) {
    File::options().write(true).open(model).expect("opens").set_len(0).expect("truncates");
}

fn rewrite(model: &Path) {
    // In place, as programs do that open a file anew: of the same length, with other weights.
    let mut bytes = fs::read(model).expect("reads");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    let mut file = File::options().write(true).open(model).expect("opens");
    file.write_all(&bytes).expect("writes");
}

#[test]
fn a_model_that_changes_after_it_was_read_is_an_error_of_the_file() {
    let compile = |model: &str, data: &str| -> Vec<String> {
        let out = Path::new(model).with_file_name("out").display().to_string();
        ["compile", model, "--target", "reference", "--data", data, "-o", &out]
            .map(str::to_owned)
            .into()
    };
    let run = |model: &str, data: &str| -> Vec<String> {
        let out = Path::new(model).with_file_name("out").display().to_string();
        ["run", model, "--input", data, "--limit", "3", "-o", &out].map(str::to_owned).into()
    };
    let eval = |model: &str, data: &str| -> Vec<String> {
        ["eval", model, "--data", data, "--limit", "3"].map(str::to_owned).into()
    };
    let mut taken = false;
    for command in [&compile as &dyn Fn(&str, &str) -> Vec<String>, &run, &eval] {
        for happens in [truncate as fn(&Path), rewrite] {
            let (code, text) = disturbed(command, happens);
            assert_eq!(code, Some(4), "{text}");
            let named = text.contains("model.onnx") && text.contains("changed while it was read");
            assert!(named || text.starts_with(SHRUNK), "{text}");
            assert_eq!(text.lines().filter(|l| l.starts_with("error")).count(), 1, "{text}");
            taken |= text.starts_with(SHRUNK);
        }
    }
    assert!(taken, "no command touched a page that was gone");
}

#[test]
fn without_maps_a_model_may_change() {
    let eval = |model: &str, data: &str| -> Vec<String> {
        ["eval", model, "--data", data, "--limit", "3", "--no-mmap"].map(str::to_owned).into()
    };
    for happens in [truncate as fn(&Path), rewrite] {
        let (code, text) = disturbed(eval, happens);
        assert_eq!(code, Some(0), "{text}");
    }
}

/// Data beyond 64 MB is mapped from an unnamed copy, or with `--no-mmap` not at all, and a command that
/// runs on it takes no notice of what happens to the file.
#[test]
fn large_data_is_never_mapped_under_its_name() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("large.npy");
    let samples = 1_100_000;
    let header =
        format!("{{'descr': '|u1', 'fortran_order': False, 'shape': ({samples}, 1, 8, 8), }}");
    let padded = format!("{header:<117}\n");
    let mut file = File::create(&data).expect("creates");
    file.write_all(b"\x93NUMPY\x01\x00v\x00").expect("writes");
    file.write_all(padded.as_bytes()).expect("writes");
    // Zeros that take no space.
    file.set_len(128 + samples * 64).expect("grows");
    let path = data.display().to_string();
    for more in [&[][..], &["--no-mmap"]] {
        let model = digits(MODEL);
        let fixed = ["run", &model, "--input", &path, "--limit", "30000"];
        let mut child = start(&[&fixed[..], more].concat());
        let maps = format!("/proc/{}/maps", child.id());
        let mut seen = String::new();
        while child.try_wait().expect("waits").is_none() {
            let maps = fs::read_to_string(&maps).unwrap_or_default();
            seen.extend(
                maps.lines().filter(|l| l.contains("large.npy")).map(|l| l.to_owned() + "\n"),
            );
            if !more.is_empty() {
                seen.extend(
                    maps.lines().filter(|l| l.contains(".onnx") || l.contains("(deleted)")),
                );
            }
            std::thread::sleep(std::time::Duration::from_millis(2));
        }
        assert_eq!(ended(child), (Some(0), String::new()));
        assert_eq!(seen, "", "{more:?}");
    }
}
