//! What reaches the disk: of several targets those that can, nothing over what is not snnc's, and folders
//! that are old or new whatever ends the program.

mod common;

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use common::{content, digits, ends, names, snnc};

/// A network that Akida does not take, and that all others do.
const MLP: &str = "digits_mlp_w4a4_qcdq.onnx";

fn compile<'a>(model: &'a str, targets: &'a str, out: &'a str) -> Vec<&'a str> {
    vec!["compile", model, "--target", targets, "-o", out]
}

#[test]
fn targets_that_can_are_delivered_and_the_others_keep_their_folders() {
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().display().to_string();
    let (cnn, mlp) = (digits("digits_cnn_w4a4_qcdq.onnx"), digits(MLP));
    ends(&compile(&cnn, "akida1,reference", &out), 0);
    let old = content(&folder.path().join("akida1"));
    let reference = content(&folder.path().join("reference"));
    let command = compile(&mlp, "akida1,reference,nir,akida2", &out);
    let none = ends(&[&command[..], &["--all-or-nothing"]].concat(), 3);
    assert!(none.contains("on akida1") && none.contains("on akida2"), "{none}");
    assert_eq!(names(folder.path()), ["akida1", "reference"]);
    assert_eq!(content(&folder.path().join("reference")), reference);
    let output = snnc(&command);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(3));
    assert!(text.contains("(reference, nir)"), "{text}");
    assert!(text.contains("akida1 is not written, and keeps its old folder"), "{text}");
    assert!(text.contains("akida2 is not written\n"), "{text}");
    assert_eq!(content(&folder.path().join("akida1")), old);
    assert_ne!(content(&folder.path().join("reference")), reference);
    assert_eq!(names(folder.path()), ["akida1", "nir", "reference"]);
    let json = snnc(&[&command[..], &["--format", "json"]].concat());
    assert_eq!(json.status.code(), Some(3));
    let rows: serde_json::Value = serde_json::from_slice(&json.stdout).expect("JSON alone");
    let written: Vec<bool> = (0..4).map(|i| rows[i]["folder"].is_string()).collect();
    assert_eq!(written, [false, true, true, false]);
    assert!(rows[0]["problems"][0]["reason"].is_string() && rows[0]["manifest"].is_null());
    assert_eq!(rows[1]["problems"], serde_json::json!([]));
}

#[test]
fn nothing_but_an_artefact_is_replaced() {
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().display().to_string();
    let mlp = digits(MLP);
    let command = compile(&mlp, "reference,nir", &out);
    ends(&command, 0);
    // Notes in an artefact's folder, and a changed file, stay.
    let notes = folder.path().join("reference/notes.txt");
    let network = folder.path().join("nir/network.nir");
    let old = fs::read(&network).expect("reads");
    fs::write(&notes, "years of work").expect("writes");
    fs::write(&network, "of another program").expect("writes");
    let before = content(folder.path());
    let text = ends(&command, 2);
    assert!(text.contains("notes.txt") && text.contains("network.nir"), "{text}");
    assert_eq!(content(folder.path()), before);
    fs::remove_file(&notes).expect("removes");
    fs::write(&network, old).expect("writes");
    // A manifest of another program makes no artefact.
    let mine = folder.path().join("loihi");
    fs::create_dir(&mine).expect("makes");
    fs::write(mine.join("manifest.yaml"), "title: a thesis\n").expect("writes");
    fs::write(mine.join("thesis.tex"), "years of work").expect("writes");
    let text = ends(&compile(&mlp, "reference,loihi", &out), 2);
    assert!(text.contains("thesis.tex"), "{text}");
    assert_eq!(names(&mine), ["manifest.yaml", "thesis.tex"]);
    // The same twice is no obstacle.
    ends(&command, 0);
    assert!(!names(folder.path()).iter().any(|name| name.starts_with(".snnc")));
}

#[test]
fn a_model_in_a_folder_that_would_be_replaced_stays() {
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().display().to_string();
    ends(&compile(&digits(MLP), "nir", &out), 0);
    let network = folder.path().join("nir/network.nir");
    let before = content(folder.path());
    let text = ends(&compile(&network.display().to_string(), "nir", &out), 2);
    assert!(text.contains("would be replaced"), "{text}");
    assert_eq!(content(folder.path()), before);
}

/// The manifest of an artefact for `reference`, with `change` applied.
fn with_manifest(change: impl Fn(&mut serde_yaml::Value, &Path)) -> String {
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().display().to_string();
    ends(&compile(&digits(MLP), "reference", &out), 0);
    let artefact = folder.path().join("reference");
    let file = artefact.join("manifest.yaml");
    let text = fs::read_to_string(&file).expect("reads");
    let mut manifest: serde_yaml::Value = serde_yaml::from_str(&text).expect("YAML");
    change(&mut manifest, &artefact);
    fs::write(&file, serde_yaml::to_string(&manifest).expect("YAML")).expect("writes");
    ends(&["inspect", &artefact.display().to_string()], 4)
}

#[test]
fn every_file_of_an_artefact_is_listed_with_its_sum_and_inside() {
    let none = with_manifest(|m, _| m["files"] = serde_yaml::Value::Sequence(Vec::new()));
    assert!(none.contains("does not list its entry file"), "{none}");
    let out = with_manifest(|m, folder| {
        fs::write(folder.join("../secret"), "the secret").expect("writes");
        m["files"][0]["path"] = "../secret".into();
    });
    assert!(out.contains("must stay inside") && !out.contains("the secret"), "{out}");
    #[cfg(unix)]
    {
        let link = with_manifest(|m, folder| {
            let path = m["files"][0]["path"].as_str().expect("a path").to_owned();
            fs::write(folder.join("../secret"), "the secret").expect("writes");
            fs::remove_file(folder.join(&path)).expect("removes");
            std::os::unix::fs::symlink("../secret", folder.join(&path)).expect("links");
        });
        assert!(link.contains("link out of") && !link.contains("the secret"), "{link}");
        let pipe = with_manifest(|m, folder| {
            let path = folder.join(m["files"][0]["path"].as_str().expect("a path"));
            fs::remove_file(&path).expect("removes");
            let made = Command::new("mkfifo").arg(&path).status().expect("mkfifo");
            assert!(made.success());
        });
        assert!(pipe.contains("no regular file"), "{pipe}");
    }
}

#[cfg(unix)]
#[test]
fn a_manifest_that_is_a_link_out_of_the_folder_is_not_shown() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("secret"), "password: hunter2").expect("writes");
    let artefact = folder.path().join("a");
    fs::create_dir(&artefact).expect("makes");
    std::os::unix::fs::symlink("../secret", artefact.join("manifest.yaml")).expect("links");
    for path in [artefact.clone(), artefact.join("manifest.yaml")] {
        let text = ends(&["inspect", &path.display().to_string()], 4);
        assert!(text.contains("link out of") && !text.contains("hunter2"), "{text}");
    }
}

#[test]
fn answers_go_over_no_input_and_in_the_place_of_no_device() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name).display().to_string();
    fs::copy(digits(MLP), at("model.onnx")).expect("copies");
    fs::copy(digits("digits_cnn_bn_float.onnx"), at("float.onnx")).expect("copies");
    fs::copy(digits("digits-test-360.npz"), at("x.npz")).expect("copies");
    let (model, float, data) = (at("model.onnx"), at("float.onnx"), at("x.npz"));
    ends(&compile(&model, "reference", &at("out")), 0);
    let artefact = at("out/reference");
    let stats = at("a.stats");
    ends(&["calibrate", &float, "--data", &data, "--limit", "4", "-o", &stats], 0);
    let before = content(folder.path());
    let inside = at("out/reference/answers.npz");
    let file = at("out/reference/network.snn");
    let run = ["run", &model, "--input", &data, "--limit", "2"];
    let of_artefact = ["run", &artefact, "--input", &data, "--limit", "2"];
    let commands: [(&[&str], &[&str]); 12] = [
        (&run, &["-o", &data]),
        (&run, &["-o", &model]),
        (&run, &["-o", "/dev/null"]),
        (&of_artefact, &["--trace", &data]),
        (&of_artefact, &["-o", &file]),
        (&of_artefact, &["-o", &inside]),
        (&of_artefact, &["-o", "same.npz", "--trace", "./same.npz"]),
        (&["calibrate", &float, "--data", &data, "--limit", "2"], &["-o", &float]),
        (&["calibrate", "--merge", &stats], &["-o", &stats]),
        (&["report", &artefact], &["-o", &file]),
        (&["report", &artefact, "--data", &data], &["-o", &at("page.html"), "--csv", &data]),
        (&["compare", &model, &artefact], &["--csv", &model]),
    ];
    for (command, output) in commands {
        ends(&[command, output].concat(), 2);
    }
    assert_eq!(content(folder.path()), before);
}

/// Compiles `model` for every target, kills it after `wait`, and says whether it was killed.
#[cfg(unix)]
fn killed(model: &str, out: &str, wait: Duration) -> bool {
    let mut child = Command::new(env!("CARGO_BIN_EXE_snnc"))
        .args(compile(model, "loihi,spleat,nir,reference", out))
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .expect("snnc starts");
    std::thread::sleep(wait);
    let killed = child.try_wait().expect("waits").is_none();
    child.kill().expect("kills");
    child.wait().expect("waits");
    killed
}

/// Kills `compile` into artefacts at moments spread over its time, most of them where it writes: as many as
/// `SNNC_KILLS` says, a few without.
#[cfg(unix)]
#[test]
fn after_a_kill_each_folder_is_old_or_new() {
    let kills: u32 = std::env::var("SNNC_KILLS").ok().and_then(|n| n.parse().ok()).unwrap_or(6);
    let folder = tempfile::tempdir().expect("a folder");
    let [out, old, new] =
        ["out", "old", "new"].map(|n| folder.path().join(n).display().to_string());
    let (first, second) = (digits(MLP), digits("digits_cnn_w4a4_qcdq.onnx"));
    let targets = "loihi,spleat,nir,reference";
    ends(&compile(&first, targets, &old), 0);
    let start = Instant::now();
    ends(&compile(&second, targets, &new), 0);
    let whole = start.elapsed();
    ends(&compile(&first, targets, &out), 0);
    let relative = |root: &str, target: &str| -> Vec<_> {
        let root = Path::new(root).join(target);
        let all = content(&root).into_iter();
        all.map(|(path, c)| (path.strip_prefix(&root).expect("inside").to_owned(), c)).collect()
    };
    let mut died = 0;
    for kill in 0..kills {
        // Every second one in the last fifth.
        let part = f64::from(kill / 2 + 1) / f64::from(kills / 2 + 1);
        let part = if kill % 2 == 0 { part } else { 0.8 + 0.25 * part };
        died += u32::from(killed(&second, &out, whole.mul_f64(part)));
        for target in targets.split(',') {
            let found = relative(&out, target);
            let whole = found == relative(&old, target) || found == relative(&new, target);
            assert!(whole, "kill {kill} at {part}: {target} is neither old nor new");
        }
        // The next run finishes or forgets, and cleans up.
        ends(&compile(&first, "reference", &out), 0);
        assert_eq!(names(Path::new(&out)), ["loihi", "nir", "reference", "spleat"]);
        ends(&compile(&first, targets, &out), 0);
    }
    assert!(died > 0, "no run was killed");
}

/// Whether whoever started this process has it ignore `signal`, as shells do with SIGINT in the background.
#[cfg(target_os = "linux")]
fn ignored(signal: i32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux says");
    let bits = status.lines().find_map(|line| line.strip_prefix("SigIgn:")).expect("Linux says");
    u64::from_str_radix(bits.trim(), 16).expect("a mask") >> (signal - 1) & 1 == 1
}

/// A signal to end leaves nothing unfinished behind, and ends the program as signals do; one that was
/// ignored when the program started stays ignored.
#[cfg(target_os = "linux")]
#[test]
fn a_signal_leaves_nothing_behind() {
    use std::os::unix::process::ExitStatusExt;
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().display().to_string();
    let model = digits("digits_cnn_w4a4_qcdq.onnx");
    for (signal, number) in [("-INT", 2), ("-TERM", 15)] {
        let mut ended = false;
        for wait in [30, 60, 120, 240, 10, 5] {
            let mut child = Command::new(env!("CARGO_BIN_EXE_snnc"))
                .args(compile(&model, "all", &out))
                .stdout(std::process::Stdio::null())
                .stderr(std::process::Stdio::null())
                .spawn()
                .expect("snnc starts");
            std::thread::sleep(Duration::from_millis(wait));
            let id = child.id().to_string();
            Command::new("kill").args([signal, &id]).status().expect("kill");
            let status = child.wait().expect("waits");
            assert!(!names(folder.path()).iter().any(|name| name.starts_with(".snnc")));
            ended |= status.signal() == Some(number);
        }
        assert_eq!(ended, !ignored(number), "{signal}");
    }
}
