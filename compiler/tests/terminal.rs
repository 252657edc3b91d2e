//! What a terminal of 80 columns shows: no table and no line is wider, and pipes get all columns.

#![cfg(target_os = "linux")]

mod common;

use std::ffi::OsStr;
use std::fs::File;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::{Command, Stdio};

use common::{digits, repository, snnc};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

/// Standard output of a command in a terminal of the given width in columns.
fn in_terminal(columns: u16, arguments: &[&str]) -> String {
    let near = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a pseudoterminal");
    grantpt(&near).and_then(|()| unlockpt(&near)).expect("it can be opened");
    let name = ptsname(&near, Vec::new()).expect("it has a name");
    let far = Path::new(OsStr::from_bytes(name.as_bytes()));
    let far = File::options().read(true).write(true).open(far).expect("it opens");
    let size = Winsize { ws_row: 24, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    tcsetwinsize(&far, size).expect("it has a size");
    let mut child = Command::new(env!("CARGO_BIN_EXE_snnc"))
        .args(arguments)
        .current_dir(repository())
        .env_remove("COLUMNS")
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .stdout(far)
        .spawn()
        .expect("snnc starts");
    let (mut near, mut shown, mut some) = (File::from(near), Vec::new(), [0; 4096]);
    // Reading fails once the last writer has gone.
    while let Ok(n @ 1..) = near.read(&mut some) {
        shown.extend_from_slice(&some[..n]);
    }
    child.wait().expect("it ends");
    String::from_utf8_lossy(&shown).replace("\r\n", "\n")
}

fn widest(text: &str) -> usize {
    text.lines().map(|line| line.chars().count()).max().unwrap_or_default()
}

/// Lines of a text block of README, after a line that holds `before`.
fn block_after(before: &str) -> String {
    let readme = std::fs::read_to_string(repository().join("README.md")).expect("reads");
    let (_, rest) = readme.split_once(before).expect("README holds it");
    let (_, block) = rest.split_once("```text\n").expect("a block follows");
    block.split_once("```").expect("and ends").0.to_owned()
}

#[test]
fn every_table_fits_80_columns() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name).display().to_string();
    let (model, data, out) =
        (digits("digits_cnn_w4a4_qcdq.onnx"), digits("digits-test-360.npz"), at("out"));
    let float = digits("digits_cnn_bn_float.onnx");
    let (spleat, loihi) = (format!("{out}/spleat"), format!("{out}/loihi"));
    let few = ["--data", &data, "--limit", "4"];
    let compile = ["compile", &model, "--target", "loihi,spleat", "--data", &data, "-o", &out];
    let (answers, statistics) = (at("y.npz"), at("s.stats"));
    let calibrate = ["calibrate", &float, "--data", &data, "--limit", "20", "--sensitivity"];
    let explore = ["explore", &float, "--cycle-samples", "1"];
    let commands: [Vec<&str>; 13] = [
        compile.to_vec(),
        vec!["targets"],
        vec!["targets", "loihi"],
        vec!["passes"],
        vec!["inspect", &model],
        vec!["inspect", &float],
        vec!["inspect", &out],
        vec!["run", &loihi, "--input", &data, "--limit", "2", "--trace", &answers],
        [&["eval", &loihi][..], &few].concat(),
        [&["verify", &spleat, "--against", &model][..], &few].concat(),
        [&["compare", &spleat, &loihi][..], &few].concat(),
        [&calibrate[..], &["-o", &statistics]].concat(),
        [&explore[..], &few].concat(),
    ];
    for command in commands {
        let text = in_terminal(80, &command);
        assert!(!text.trim().is_empty(), "{command:?}");
        assert!(widest(&text) <= 80, "snnc {}: {}\n{text}", command.join(" "), widest(&text));
    }
    // All columns where they are asked for, and in a pipe.
    let wide = in_terminal(80, &["inspect", &spleat, "--wide"]);
    let piped = String::from_utf8_lossy(&snnc(&["inspect", &spleat]).stdout).into_owned();
    assert_eq!(wide, piped);
    assert!(widest(&wide) > 80, "{wide}");
}

#[test]
fn the_table_of_the_readme_is_what_its_first_command_shows() {
    let readme = std::fs::read_to_string(repository().join("README.md")).expect("reads");
    let prefix = "cargo run --release --bin snnc -- ";
    let command = readme.lines().find_map(|line| line.strip_prefix(prefix)).expect("a command");
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().join("out").display().to_string();
    let mut arguments: Vec<&str> = command.split_whitespace().collect();
    *arguments.last_mut().expect("the folder") = &out;
    let shown = in_terminal(80, &arguments);
    let stated = block_after(prefix);
    assert!(shown.starts_with(&stated), "shown:\n{shown}\nstated:\n{stated}");
}

#[test]
fn short_help_fits_60_lines_and_ends_with_an_example() {
    let help = String::from_utf8_lossy(&snnc(&["--help"]).stdout).into_owned();
    let (_, list) = help.split_once("Commands:").expect("help lists commands");
    let (list, _) = list.split_once("\n\n").expect("and then options");
    let named = list.lines().filter_map(|line| line.strip_prefix("  "));
    let names =
        named.filter(|line| !line.starts_with(' ')).filter_map(|l| l.split_whitespace().next());
    for name in names.filter(|&name| name != "help") {
        let text = String::from_utf8_lossy(&snnc(&[name, "-h"]).stdout).into_owned();
        assert!(text.lines().count() <= 60, "{name}: {} lines\n{text}", text.lines().count());
        assert!(text.contains("Example"), "{name}: {text}");
    }
}
