//! The command line as users meet it: answers, exit codes, and one clear error for each fault.

mod common;

use std::path::Path;
use std::process::Command;

use common::{digits, fails, repository, snnc, stderr};

#[test]
fn faulty_models_are_one_clear_error() {
    let folder = tempfile::tempdir().expect("a folder");
    let input = tempfile::tempdir().expect("a folder");
    let out = folder.path().join("out").display().to_string();
    let good = std::fs::read(digits("digits_cnn_w4a4_qcdq.onnx")).expect("reads");
    let random: Vec<u8> =
        (0..4096u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    for (name, content) in
        [("truncated.onnx", &good[..good.len() / 2]), ("random.onnx", &random), ("empty.onnx", &[])]
    {
        let path = input.path().join(name);
        std::fs::write(&path, content).expect("writes");
        let path = path.display().to_string();
        let compile = ["compile", &path, "--target", "reference", "-o", &out];
        fails(&compile, 4, &[name], folder.path());
        for command in [["run", &path, "--input"], ["eval", &path, "--data"]] {
            let data = digits("digits-test-360.npz");
            fails(&[&command[..], &[&data]].concat(), 4, &[name], folder.path());
        }
        fails(&["inspect", &path], 4, &[name], folder.path());
    }
}

#[test]
fn wrong_usage_is_told_from_wrong_input() {
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().join("out").display().to_string();
    let (model, data) = (digits("digits_cnn_w4a4_qcdq.onnx"), digits("digits-test-360.npz"));
    let compile = |target: &'static str| {
        ["compile", &model, "--target", target, "-o", &out].map(str::to_owned)
    };
    let with = |target: &'static str, more: &[&str]| {
        compile(target).into_iter().chain(more.iter().map(|s| (*s).to_owned())).collect::<Vec<_>>()
    };
    let check = |arguments: Vec<String>, code: i32, words: &[&str]| {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        fails(&arguments, code, words, folder.path());
    };
    check(with("nothing,reference,neither", &[]), 2, &["--target", "nothing"]);
    check(with("nothing,reference,neither", &[]), 2, &["--target", "neither"]);
    check(with("reference", &["--code", "morse"]), 2, &["--coding", "morse"]);
    check(with("reference", &["--device", "x"]), 2, &["--device"]);
    check(with("reference", &["--data", "nowhere.npz"]), 4, &["nowhere.npz"]);
    check(with("reference", &["--config", "nowhere.yaml"]), 4, &["nowhere.yaml"]);
    check(with("spleat", &["--hw", "nowhere.yaml"]), 4, &["nowhere.yaml"]);
    fails(
        &["compile", "nowhere.onnx", "--target", "reference", "-o", &out],
        4,
        &["nowhere.onnx"],
        folder.path(),
    );
    fails(&["eval", "nowhere", "--data", &data], 4, &["nowhere"], folder.path());
    fails(&["run", &model, "--input", &model], 4, &["digits_cnn"], folder.path());
    fails(&["compile", &model, "-o", &out], 2, &[], folder.path());
    fails(&["unknown-command"], 2, &["unknown-command"], folder.path());
    fails(&["eval", &model, "--data", &data, "-j", "0"], 2, &["-j"], folder.path());
}

#[test]
fn foreign_folders_are_not_overwritten() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::create_dir_all(folder.path().join("reference")).expect("creates");
    std::fs::write(folder.path().join("reference/thesis.tex"), "years of work").expect("writes");
    let out = folder.path().display().to_string();
    let output = snnc(&[
        "compile",
        &digits("digits_mlp_w4a4_qcdq.onnx"),
        "--target",
        "reference",
        "-o",
        &out,
    ]);
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    assert!(folder.path().join("reference/thesis.tex").is_file());
}

#[test]
fn eval_and_verify_agree_on_what_compile_wrote() {
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().join("out").display().to_string();
    let (model, data) = (digits("digits_mlp_w4a4_qcdq.onnx"), digits("digits-test-360.npz"));
    let output = snnc(&["compile", &model, "--target", "reference,spleat,loihi", "-o", &out]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    for (target, proved) in [("reference", true), ("spleat", true), ("loihi", false)] {
        let artefact = format!("{out}/{target}");
        let output = snnc(&["eval", &artefact, "--data", &data, "--format", "json"]);
        let answer: serde_json::Value =
            serde_json::from_slice(&output.stdout).expect("JSON alone on stdout");
        assert_eq!(answer["samples"], 360);
        assert_eq!(answer["mismatches_vs_reference"] == 0, proved, "{target}: {answer}");
        for key in ["top1", "top5", "timesteps", "latency", "spikes_per_neuron", "sparsity"] {
            assert!(answer[key].is_number(), "{key}");
        }
        let verify = ["verify", &artefact, "--against", &model, "--data", &data, "--limit", "50"];
        assert_eq!(snnc(&verify).status.code(), Some(i32::from(!proved)), "{target}");
        let allowed = [&verify[..], &["--allow-approximate"]].concat();
        assert_eq!(snnc(&allowed).status.code(), Some(0), "{target}");
    }
    // Another network than the one compiled is no equal of it.
    let other = digits("digits_cnn_w4a4_qcdq.onnx");
    let output = snnc(&["verify", &format!("{out}/reference"), "--against", &other]);
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
}

#[test]
fn run_writes_answers_and_traces_that_numpy_reads() {
    use snnc_backends::format::npz::Npz;
    let folder = tempfile::tempdir().expect("a folder");
    let (model, data) = (digits("digits_mlp_w4a4_qcdq.onnx"), digits("digits-test-360.npz"));
    let out = folder.path().join("out").display().to_string();
    assert!(snnc(&["compile", &model, "--target", "reference", "-o", &out]).status.success());
    let (answers, trace) = (folder.path().join("a.npz"), folder.path().join("t.npz"));
    let output = snnc(&[
        "run",
        &format!("{out}/reference"),
        "--input",
        &data,
        "--limit",
        "7",
        "-o",
        &answers.display().to_string(),
        "--trace",
        &trace.display().to_string(),
    ]);
    assert!(output.status.success(), "{}", stderr(&output));
    let read = |path: &Path| Npz::open(std::fs::read(path).expect("reads")).expect("opens");
    let array = |npz: &Npz, name: &str| npz.get(name).expect("decodes").expect(name);
    let answers = read(&answers);
    assert_eq!(array(&answers, "output").shape, [7, 10]);
    assert_eq!(array(&answers, "codes").shape, [7, 10]);
    assert_eq!(array(&answers, "prediction").shape, [7]);
    let trace = read(&trace);
    assert_eq!(array(&trace, "fc1").shape, [7, 1, 64]);
    let largest = array(&trace, "fc1").to_i64().expect("integers").into_iter().max();
    assert!(largest.is_some_and(|m| (1..=15).contains(&m)), "4-bit payloads: {largest:?}");
}

#[test]
fn the_first_command_of_the_readme_works_as_printed() {
    let readme = std::fs::read_to_string(repository().join("README.md")).expect("reads");
    let prefix = "cargo run --release --bin snnc -- ";
    let command =
        readme.lines().find_map(|l| l.strip_prefix(prefix)).expect("the README has the command");
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().join("out").display().to_string();
    let mut arguments: Vec<&str> = command.split_whitespace().collect();
    let last = arguments.len() - 1;
    assert_eq!(arguments[last - 1], "-o");
    arguments[last] = &out;
    let output = Command::new(env!("CARGO_BIN_EXE_snnc"))
        .args(&arguments)
        .current_dir(repository())
        .output();
    let output = output.expect("snnc starts");
    assert!(output.status.success(), "{}", stderr(&output));
    let table = String::from_utf8_lossy(&output.stdout).into_owned();
    let (_, targets) = command.split_once("--target ").expect("the command names targets");
    let targets: Vec<&str> =
        targets.split_whitespace().take(1).flat_map(|t| t.split(',')).collect();
    assert!(targets.len() > 4, "{targets:?}");
    for target in targets {
        let row = table.lines().find(|l| l.trim_start().starts_with(target));
        assert!(row.is_some_and(|r| r.contains("99.44")), "{target}: {table}");
    }
}

#[test]
fn shards_of_a_calibration_set_merge_to_the_last_bit() {
    let folder = tempfile::tempdir().expect("a folder");
    let (model, data) = (digits("digits_cnn_bn_float.onnx"), digits("digits-test-360.npz"));
    let at = |name: &str| folder.path().join(name).display().to_string();
    let whole = at("whole");
    assert!(snnc(&["calibrate", &model, "--data", &data, "-o", &whole]).status.success());
    let parts: Vec<String> = (1..=4).map(|i| at(&format!("part{i}"))).collect();
    for (i, part) in parts.iter().enumerate() {
        let shard = format!("{}/4", i + 1);
        let output = snnc(&["calibrate", &model, "--data", &data, "--shard", &shard, "-o", part]);
        assert!(output.status.success(), "{}", stderr(&output));
    }
    let merged = at("merged");
    let merge = ["calibrate", "--merge", &parts[3], &parts[0], &parts[2], &parts[1], "-o", &merged];
    assert!(snnc(&merge).status.success());
    let read = |path: &str| std::fs::read(path).expect("reads");
    assert!(read(&whole) == read(&merged), "four shards give what one pass gives");
    assert!(read(&whole) != read(&parts[0]));
    // What was gathered serves in place of the data; statistics of another model do not.
    let out = at("out");
    let compile = |model: &str| {
        snnc(&["compile", model, "--target", "reference", "--statistics", &merged, "-o", &out])
    };
    assert!(compile(&model).status.success());
    let other = folder.path().join("other.onnx");
    let mut bytes = read(&model);
    bytes.extend_from_slice(&[0x2a, 0]); // an empty producer version: another file, the same network
    std::fs::write(&other, bytes).expect("writes");
    assert_eq!(compile(&other.display().to_string()).status.code(), Some(4));
    let without = snnc(&["compile", &model, "--target", "reference", "-o", &out]);
    assert_eq!(without.status.code(), Some(3), "{}", stderr(&without));
    assert!(stderr(&without).contains("--data"));
}

#[test]
fn every_joule_comes_with_the_name_of_its_profile() {
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().join("out").display().to_string();
    let (model, data) = (digits("digits_cnn_w4a4_qcdq.onnx"), digits("digits-test-360.npz"));
    let compiled = snnc(&["compile", &model, "--target", "spleat", "--data", &data, "-o", &out]);
    assert!(compiled.status.success(), "{}", stderr(&compiled));
    let artefact = format!("{out}/spleat");
    let eval = |more: &[&str]| {
        let output = snnc(&[&["eval", &artefact, "--data", &data], more].concat());
        assert!(output.status.success(), "{}", stderr(&output));
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let found: serde_json::Value =
        serde_json::from_str(&eval(&["--format", "json"])).expect("JSON");
    let manifest = std::fs::read_to_string(format!("{artefact}/manifest.yaml")).expect("reads");
    let manifest: serde_json::Value = serde_yaml::from_str(&manifest).expect("YAML");
    let energy = found["energy_nj"].as_object().expect("an object");
    let names: Vec<&str> = snnc::energy::Profile::all().iter().map(|p| p.name.as_str()).collect();
    assert!(names.iter().all(|n| energy.contains_key(*n)) && energy.len() == names.len());
    for (name, value) in energy {
        let stated = manifest["energy_nj"][name].as_f64().expect("in the manifest");
        assert!((stated / value.as_f64().expect("a number") - 1.0).abs() < 1e-15, "{name}");
    }
    let rows = found["per_layer"].as_array().expect("rows");
    let row = rows.iter().find(|r| r["name"] == "conv2").expect("a row");
    for name in &names {
        let own = &row["energy"][name];
        let terms = own["terms_nj"].as_object().expect("terms").values();
        let sum: f64 = terms.filter_map(serde_json::Value::as_f64).sum();
        assert!((sum / own["total_nj"].as_f64().expect("a number") - 1.0).abs() < 1e-12, "{name}");
        assert!(own["operations"]["mac"].is_number() && own["operations"]["acc"].is_number());
    }
    assert!(row["synaptic_operations"].is_number());
    // The text: one row for each profile, and the chosen one in detail.
    let text = eval(&["--profile", "hardware", "--progress", "never"]);
    assert!(names.iter().all(|n| text.contains(n)), "{text}");
    assert!(text.contains("profile hardware: "), "{text}");
    let wrong = snnc(&["eval", &artefact, "--data", &data, "--profile", "guess"]);
    assert_eq!(wrong.status.code(), Some(2));
    assert!(stderr(&wrong).contains("qualia-louis"), "{}", stderr(&wrong));
}

#[test]
fn bars_are_drawn_on_terminals_only_unless_asked_for() {
    let (model, data) = (digits("digits_cnn_w4a4_qcdq.onnx"), digits("digits-test-360.npz"));
    let eval = ["eval", &model, "--data", &data, "--limit", "20", "--format", "json"];
    let quiet = snnc(&eval);
    assert!(quiet.status.success() && stderr(&quiet).is_empty(), "{}", stderr(&quiet));
    let never = snnc(&[&eval[..], &["--progress", "never"]].concat());
    assert!(never.status.success() && stderr(&never).is_empty());
    let always = snnc(&[&eval[..], &["--progress", "always"]].concat());
    assert!(always.status.success() && stderr(&always).contains("/20"), "{}", stderr(&always));
    assert_eq!(snnc(&[&eval[..], &["--progress", "maybe"]].concat()).status.code(), Some(2));
}

/// The text of a JSON object without white space, up to how long the run took.
fn timeless(json: &str) -> String {
    let text: String = json.split_whitespace().collect();
    text.split(",\"seconds\"").next().unwrap_or_default().to_owned()
}

#[test]
fn reports_and_comparisons_hold_what_eval_says() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name).display().to_string();
    let (model, data) = (digits("digits_cnn_w4a4_qcdq.onnx"), digits("digits-test-360.npz"));
    let compile = |code: &str, out: &str| {
        let output = snnc(&["compile", &model, "--target", "reference", "--code", code, "-o", out]);
        assert!(output.status.success(), "{}", stderr(&output));
    };
    let (one, two) = (at("one"), at("two"));
    compile("graded", &one);
    compile("rate-sync", &two);
    let (one, two) = (format!("{one}/reference"), format!("{two}/reference"));
    let stdout = |arguments: &[&str]| {
        let run = ["--data", &data, "--limit", "40", "-q"];
        let output = snnc(&[arguments, &run].concat());
        assert!(output.status.success(), "{arguments:?}: {}", stderr(&output));
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let networks = [one.as_str(), two.as_str(), model.as_str()];
    let said = networks.map(|n| timeless(&stdout(&["eval", n, "--format", "json"])));
    let (html, csv) = (at("r.html"), at("r.csv"));
    let whole = stdout(&[&["report"], &networks[..], &["-o", &html, "--csv", &csv]].concat());
    assert!(whole.is_empty());
    let page = std::fs::read_to_string(&html).expect("a page");
    let kept = page.split("id=\"evaluations\">").nth(1).expect("objects");
    let kept = kept.split("</script>").next().expect("an end");
    let expected: Vec<String> = said.iter().map(|s| format!("{s}}}")).collect();
    assert_eq!(kept, format!("[{}]", expected.join(",")), "eval's figures, digit for digit");
    let text = stdout(&[&["compare"], &networks[..]].concat());
    let table = std::fs::read_to_string(&csv).expect("a table");
    for profile in snnc::energy::Profile::all() {
        let row = format!("nJ, {}", profile.name);
        assert!(text.contains(&row), "{text}");
        let key = "\"energy_nj\":{";
        let line = table.lines().find(|l| l.starts_with(&format!("\"{row}\""))).expect("a row");
        for (said, cell) in
            said.iter().zip(line.rsplit(',').take(3).collect::<Vec<_>>().iter().rev())
        {
            let object = said.split(key).nth(1).and_then(|s| s.split('}').next()).expect("energy");
            assert!(object.contains(&format!("\"{}\":{cell}", profile.name)), "{line}: {object}");
        }
    }
    let both = stdout(&[&["compare", "--format", "json"], &networks[..]].concat());
    let both: serde_json::Value = serde_json::from_str(&both).expect("JSON");
    assert_eq!(both.as_array().map(Vec::len), Some(3));
    let nowhere = snnc(&["report", &one, "nowhere", "-o", &html]);
    assert_eq!(nowhere.status.code(), Some(4));
}

#[test]
fn signed_rates_say_when_they_settled_and_a_trace_shows_spikes_in_time() {
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().join("out").display().to_string();
    let (model, data) = (digits("digits_cnn_w4a4_qcdq.onnx"), digits("digits-test-360.npz"));
    let compile = |code: &str| {
        let compile = ["compile", &model, "--target", "reference", "--code", code, "-o", &out];
        let compiled = snnc(&compile);
        assert!(compiled.status.success(), "{}", stderr(&compiled));
    };
    compile("signed-rate");
    let artefact = format!("{out}/reference");
    let trace = folder.path().join("trace.npz").display().to_string();
    let run = ["run", &artefact, "--input", &data, "--limit", "2", "--settle"];
    let output = snnc(&[&run[..], &["--format", "json"]].concat());
    let found: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    // 15 timesteps of input, then the deeper layers come to rest.
    let settled = found["settled"].as_array().expect("one for each sample");
    assert!(settled.len() == 2 && settled.iter().all(|t| (15..40).contains(&t.as_u64().unwrap())));
    let text = snnc(&[&run[..], &["--trace", &trace]].concat());
    let text = String::from_utf8_lossy(&text.stdout).into_owned();
    assert!(text.contains("settled after") && text.contains("spikes of"), "{text}");
    assert!(text.contains("conv3") && text.contains("t=14"), "{text}");
    compile("graded");
    let refused = snnc(&run);
    assert_eq!(refused.status.code(), Some(2));
    assert!(stderr(&refused).contains("signed-rate"), "{}", stderr(&refused));
}

#[test]
fn verify_takes_the_reading_of_the_reference() {
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().join("out").display().to_string();
    let model = digits("digits_cnn_w4a4_qcdq.onnx");
    let compiled = snnc(&["compile", &model, "--target", "reference", "-o", &out]);
    assert!(compiled.status.success(), "{}", stderr(&compiled));
    let artefact = format!("{out}/reference");
    let verify = |reading: &str| {
        let output = snnc(&["verify", &artefact, "--against", &model, "--reference", reading]);
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let (code, text) = verify("ort");
    assert_eq!(code, Some(0), "{text}");
    assert!(matches!(verify("real").0, Some(0 | 1)));
    assert_eq!(verify("guess").0, Some(2));
}

#[test]
fn few_spikes_neurons_are_shown_and_fitted() {
    let fit = |arguments: &[&str]| {
        let output = snnc(&[&["fit"], arguments, &["--format", "json"]].concat());
        assert!(output.status.success(), "{}", stderr(&output));
        serde_json::from_slice::<serde_json::Value>(&output.stdout).expect("JSON")
    };
    let published = fit(&["sigmoid", "--range=-10,10"]);
    assert!(published["published"] == true && published["worth"].as_array().unwrap().len() == 12);
    let arguments = ["tanh", "--timesteps", "4", "--trials", "50", "--range=-2,2"];
    assert_eq!(fit(&arguments), fit(&arguments));
    let folder = tempfile::tempdir().expect("a folder");
    fails(&["fit", "tanh"], 2, &["tanh", "published"], folder.path());
    fails(&["fit", "cosine"], 2, &["cosine"], folder.path());
    fails(&["fit", "tanh", "--timesteps", "99"], 2, &["--timesteps", "32"], folder.path());
    fails(&["fit", "tanh", "--timesteps", "4", "--range", "2"], 2, &["--range"], folder.path());
}

#[test]
fn explorations_say_all_of_every_point() {
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().join("out").display().to_string();
    let (model, data) = (digits("digits_cnn_bn_float.onnx"), digits("digits-test-360.npz"));
    let explore = ["explore", &model, "--data", &data, "--limit", "8", "--cycle-samples", "1"];
    let output = snnc(&[&explore[..], &["-q", "-o", &out]].concat());
    assert!(output.status.success(), "{}", stderr(&output));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let read = |name: &str| std::fs::read_to_string(format!("{out}/{name}")).expect("a file");
    let (csv, page) = (read("explore.csv"), read("explore.html"));
    let found: serde_json::Value = serde_json::from_str(&read("explore.json")).expect("JSON");
    let points = found["points"].as_array().expect("points");
    assert_eq!(csv.lines().count(), points.len() + 1);
    for name in ["top-1 %", "latency", "spikes/neuron", "synaptic ops", "image bits", "cycles"] {
        assert!(csv.lines().next().is_some_and(|l| l.contains(name)), "{csv}");
    }
    for profile in snnc::energy::Profile::all() {
        assert!(text.contains(&format!("nJ, {}", profile.name)), "{text}");
    }
    for point in points {
        let name = point["name"].as_str().expect("a name");
        assert!(text.contains(name) && page.contains(name), "{name}");
        // What spleat holds has an image and cycles; what it does not, a reason.
        let held = point["refused"].is_null();
        assert_eq!(point["image_bits"].is_u64(), held, "{point}");
        assert_eq!(point["cycles"].is_f64(), held, "{point}");
    }
    let point = |name: &str| points.iter().find(|p| p["name"] == name).expect("a point");
    // One binary timestep is one level: the same network in two codings.
    let (binary, single) = (point("binary T=1"), point("multi-level N=1 T=1"));
    for key in ["top1", "spikes_per_neuron", "synaptic_operations", "cycles", "image_bits"] {
        assert_eq!(binary[key], single[key], "{key}");
    }
    assert!(points.iter().any(|p| p["dominated"] == true) && page.contains("dominated"));
}

#[test]
fn rates_reset_start_and_leak_as_asked_and_other_codings_refuse_to() {
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().join("out").display().to_string();
    let (model, data) = (digits("digits_cnn_w4a4_qcdq.onnx"), digits("digits-test-360.npz"));
    let mismatches = |more: &[&str]| {
        let compile = ["compile", &model, "--target", "reference", "-o", &out, "--code", "rate"];
        let compiled = snnc(&[&compile[..], more].concat());
        assert!(compiled.status.success(), "{}", stderr(&compiled));
        let artefact = format!("{out}/reference");
        let eval = ["eval", &artefact, "--data", &data, "--limit", "8", "--format", "json"];
        let found: serde_json::Value = serde_json::from_slice(&snnc(&eval).stdout).expect("JSON");
        found["mismatches_vs_reference"].as_u64().expect("a number")
    };
    let best = mismatches(&[]);
    for worse in [&["--initial", "zero"], &["--reset", "hard"], &["--leak", "3"]] {
        assert!(mismatches(worse) > best, "{worse:?}");
    }
    let empty = tempfile::tempdir().expect("a folder");
    let out = empty.path().join("out").display().to_string();
    let refuse = |code: &str, more: &[&str], word: &str| {
        let compile = ["compile", &model, "--target", "reference", "-o", &out, "--code", code];
        fails(&[&compile[..], more].concat(), 2, &[more[0], word], empty.path());
    };
    refuse("graded", &["--reset", "hard"], "graded");
    refuse("multi-level", &["--leak", "2"], "multi-level");
    refuse("rate", &["--reset", "sideways"], "sideways");
    refuse("rate", &["--initial", "full"], "full");
    refuse("rate", &["--leak", "60"], "1 to 30");
}

#[test]
fn biases_of_float_models_come_with_every_timestep() {
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().join("out").display().to_string();
    let (model, data) = (digits("digits_cnn_bn_float.onnx"), digits("digits-test-360.npz"));
    let compile = ["compile", &model, "--target", "reference", "--data", &data, "-o", &out];
    let coding = ["--payload-bits", "4", "--code", "multi-level", "--timesteps", "2"];
    let compiled = snnc(&[&compile[..], &coding].concat());
    assert!(compiled.status.success(), "{}", stderr(&compiled));
    let artefact = format!("{out}/reference");
    let eval = ["eval", &artefact, "--data", &data, "--limit", "20", "--format", "json"];
    let found: serde_json::Value = serde_json::from_slice(&snnc(&eval).stdout).expect("JSON");
    for row in found["per_layer"].as_array().expect("rows") {
        // A bias that came once would leave a handful of decibels.
        let Some(sqnr) = row["sqnr_db"].as_f64() else { continue };
        assert!(sqnr > 12.0, "{}: {sqnr} dB", row["name"]);
    }
    assert!(found["top1"].as_f64().expect("labels") >= 95.0, "{}", found["top1"]);
}
