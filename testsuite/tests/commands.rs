//! Every command of the table in `docs/commands.md` runs as it is written there, with files and names in the place of its words.

use std::collections::BTreeMap;
use std::path::Path;

use snnc_backends::format::npy::NpyArray;
use snnc_backends::format::npz::{Compression, Npz, NpzWriter};
use snnc_testsuite::command::snnc;
use snnc_testsuite::{digits, repository};

fn shown(path: &Path) -> String {
    path.display().to_string()
}

/// The commands in the first column of the table.
fn commands() -> Vec<String> {
    let page = std::fs::read_to_string(repository().join("docs/commands.md")).expect("reads");
    let cell = |line: &str| {
        let (command, _) = line.strip_prefix("| `snnc ")?.split_once("` |")?;
        Some(command.replace("\\|", "|"))
    };
    page.lines().filter_map(cell).collect()
}

/// A command with all that is optional, in the words of a command line; of alternatives the first.
fn written_out(command: &str, values: &BTreeMap<&str, String>) -> Vec<String> {
    let value = |word: &str| {
        let first = word.split('|').next().unwrap_or_default();
        values.get(first).cloned().unwrap_or_else(|| first.to_owned())
    };
    let plain: String = command.chars().filter(|c| !"[]".contains(*c)).collect();
    let words = plain.split_whitespace().filter(|word| *word != "..");
    words
        .map(|word| {
            let parts = word.trim_end_matches("..").split(',').map(value);
            parts.collect::<Vec<_>>().join(",")
        })
        .collect()
}

#[test]
fn words_of_commands_are_replaced() {
    let values = [("A", "a".to_owned()), ("NAME", "n".to_owned())].into();
    let written = |command| written_out(command, &values).join(" ");
    assert_eq!(written("x A|B --target NAME[,NAME..] [-o B ..]"), "x a --target n,n -o B");
}

/// A few samples of the digits.
fn samples(path: &Path) {
    let npz = Npz::open(std::fs::read(digits("digits-test-360.npz")).expect("reads")).expect("npz");
    let take =
        |name: &str| npz.get(name).expect("reads").expect("is there").to_i64().expect("codes");
    let (x, y) = (take("x"), take("y"));
    let x: Vec<f32> = x[..4 * 64].iter().map(|&v| v as f32 / 255.0).collect();
    let mut writer = NpzWriter::new(Compression::Stored);
    writer.add("x", &NpyArray::from_f32([4, 1, 8, 8], &x).expect("fits")).expect("adds");
    writer.add("y", &NpyArray::from_i64([4], &y[..4]).expect("fits")).expect("adds");
    std::fs::write(path, writer.finish().expect("ends")).expect("writes");
}

/// A recording in the form of N-MNIST: x, y, polarity and 23 bits of microseconds.
fn recording(path: &Path) {
    let event = |i: u32| {
        let time = i * 97;
        let polarity = if i.is_multiple_of(3) { 0x80 } else { 0 };
        [
            (i * 7 % 34) as u8,
            (i * i % 34) as u8,
            polarity | (time >> 16) as u8,
            (time >> 8) as u8,
            time as u8,
        ]
    };
    std::fs::write(path, (0..500).flat_map(event).collect::<Vec<u8>>()).expect("writes");
}

fn runs(arguments: &[&str]) {
    let outcome = snnc(arguments);
    assert_eq!(outcome.code, 0, "snnc {}: {:?}", arguments.join(" "), outcome.errors);
}

#[test]
fn every_command_of_the_table_runs() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    let model = shown(&digits("digits_mlp_w4a4_qcdq.onnx"));
    samples(&at("d.npz"));
    recording(&at("recording.bin"));
    let leaky = NpyArray::from_f32([1, 5, 2], &[1.0; 10]).expect("fits");
    std::fs::write(at("x.npy"), leaky.to_bytes().expect("an array")).expect("writes");
    let first = shown(&at("artefacts"));
    runs(&["compile", &model, "--target", "reference,loihi", "-o", &first]);
    let events = shown(&repository().join("testsuite/cases/events/events.onnx"));
    let second = shown(&at("events"));
    runs(&["compile", &events, "--target", "loihi", "-o", &second]);
    let mut values: BTreeMap<&str, String> = [
        ("MODEL.onnx", model.clone()),
        ("MODEL", model.clone()),
        ("ARTEFACT", shown(&at("artefacts/reference"))),
        ("A", shown(&at("artefacts/reference"))),
        ("B", shown(&at("artefacts/loihi"))),
        ("D.npz", shown(&at("d.npz"))),
        ("X.npz", shown(&at("d.npz"))),
        ("X.npy", shown(&at("x.npy"))),
        ("OUT.npz", shown(&at("out.npz"))),
        ("TRACE.npz", shown(&at("trace.npz"))),
        ("T.csv", shown(&at("t.csv"))),
        ("REPORT.html", shown(&at("report.html"))),
        ("S.stats", shown(&at("s.stats"))),
        ("RECORDING.bin", shown(&at("recording.bin"))),
        ("NETWORK.nir", shown(&repository().join("compiler/tests/data/leaky.nir"))),
        ("I/N", "1/2".into()),
        ("S", "1e-4".into()),
        ("K", "8".into()),
        ("FUNCTION", "swish".into()),
        ("SHELL", "bash".into()),
    ]
    .into();
    let commands = commands();
    for (number, command) in commands.iter().enumerate() {
        values.insert("DIR", shown(&at(&format!("out{number}"))));
        let name = if command.starts_with("dump") { "graded" } else { "spleat" };
        values.insert("NAME", name.into());
        let of_events = command.contains("RECORDING");
        let artefact = if of_events { "events/loihi" } else { "artefacts/reference" };
        values.insert("ARTEFACT", shown(&at(artefact)));
        let float = command.starts_with("calibrate");
        let float = if float { shown(&digits("digits_cnn_bn_float.onnx")) } else { model.clone() };
        values.insert("MODEL.onnx", float);
        let arguments = written_out(command, &values);
        let mut arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        // Where two artefacts part is found, and exits so.
        if command.starts_with("diff") {
            arguments[2] = arguments[1];
        }
        runs(&arguments);
    }
    assert!(!Path::new("out").exists(), "a command of the table writes to the current folder");
    let help = snnc(&["--help"]).answer;
    let (_, list) = help.split_once("Commands:").expect("help lists commands");
    let (list, _) = list.split_once("Options:").expect("and then options");
    // What a line is too short for goes on further to the right.
    let named = list.lines().filter_map(|line| line.strip_prefix("  "));
    let named = named.filter(|line| !line.starts_with(' '));
    for line in named.filter_map(|line| line.split_whitespace().next()) {
        let listed = commands.iter().any(|c| c.split_whitespace().next() == Some(line));
        assert!(listed || line == "help", "`snnc {line}` is not in the table of docs/commands.md");
    }
}
