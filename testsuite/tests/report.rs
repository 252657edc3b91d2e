//! Reports: their figures are those of an evaluation, and browsers show them without asking for
//! anything.

use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};

use serde_json::Value;
use snnc::artefact::{open, write_all};
use snnc::data::{Dataset, Scaling};
use snnc::driver::{CompileOptions, Model, compile};
use snnc::energy::Profile;
use snnc::evaluate::{Runner, takes_reals};
use snnc::explore::{Exploration, Point};
use snnc::import::ImportOptions;
use snnc::passes::Context;
use snnc::report::{Subject, observe, page};

fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/digits").join(name)
}

/// Pages on an artefact with a run, without one, and on both and a model side by side; and what `eval`
/// says of the run.
struct Made {
    pages: [String; 3],
    evaluation: Value,
}

fn made() -> Made {
    let path = example("digits_cnn_w4a4_qcdq.onnx");
    let options = ImportOptions::default();
    let model = Model::load(&path, &options, &mut Context::default()).expect("a model");
    let target = snnc_backends::target("reference").expect("a target");
    let compiled = compile(&model, target, &CompileOptions::default()).expect("an artefact");
    let folder = tempfile::tempdir().expect("a folder");
    write_all(folder.path(), &[("reference".into(), compiled.files)]).expect("files");
    let artefact = open(&folder.path().join("reference")).expect("readable").expect("an artefact");
    let path = example("digits-test-360.npz");
    let data = Dataset::load(&path, Some(25)).expect("data");
    let source = artefact.source.as_ref().expect("the quantised network");
    let reals = takes_reals(source);
    let runner =
        Runner::spiking(&artefact.network, Some(source), reals, Scaling::default()).expect("runs");
    let (seen, histograms) =
        observe(&runner, &artefact.network, &data, &path, &|| {}).expect("a run");
    let evaluation = runner.evaluate(&data, &path).expect("a run");
    let whole = Subject {
        name: "one",
        artefact: Some(&artefact),
        evaluation: Some(&seen),
        histograms: &histograms,
    };
    for h in &histograms {
        let row = evaluation.per_layer.iter().find(|r| r.name == h.name).expect("a row");
        assert_eq!(h.rates.iter().sum::<u64>(), row.neurons as u64);
        let spikes: u64 = h.payloads.iter().map(|p| p.1).sum();
        let said = row.spikes_per_neuron * row.neurons as f64 * 25.0;
        assert!((said - spikes as f64).abs() < 1e-6, "{}: {said} {spikes}", h.name);
    }
    let bare = Subject { name: "without a <run>", evaluation: None, histograms: &[], ..whole };
    let model = Subject { name: "model", artefact: None, histograms: &[], ..whole };
    let pages = [page(&[whole]), page(&[bare]), page(&[whole, bare, model])];
    let evaluation = serde_json::to_value(&evaluation).expect("JSON");
    Made { pages, evaluation }
}

/// A page on an exploration: many points, close together, one of which the target does not hold.
fn explored() -> String {
    let point = |i: u32| Point {
        name: format!("binary by layers T={i}"),
        code: if i.is_multiple_of(2) { "rate" } else { "multi-level" },
        refused: (i == 3).then(|| "<a reason>".to_owned()),
        certificate: "proved".into(),
        payload_bits: vec![("conv1".into(), 2), ("conv2".into(), 4)],
        nan_scores: 0,
        top1: Some(90.0 + f64::from(i % 4)),
        timesteps: i as usize,
        latency: i as usize,
        spikes_per_neuron: 0.25,
        synaptic_operations: 1e5,
        energy_nj: Profile::all().iter().map(|p| (p.name.clone(), 1000.0 + f64::from(i))).collect(),
        image_bits: Some(100_000),
        cycles: Some(12345.5),
        cycles_between: Some(10000.0),
        dominated: i % 3 == 1,
    };
    let exploration = Exploration {
        model: "model.onnx".into(),
        target: "spleat".into(),
        samples: 10,
        cycle_samples: 5,
        profile: Profile::all()[0].name.clone(),
        points: (0..15).map(point).collect(),
        left_out: Vec::new(),
    };
    exploration.page()
}

/// The part of `text` between `start` and `end`, and the rest.
fn between<'a>(text: &'a str, start: &str, end: &str) -> Option<(&'a str, &'a str)> {
    text.split_once(start)?.1.split_once(end)
}

fn unescaped(text: &str) -> String {
    text.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&amp;", "&")
}

/// Every figure of a page stands where its key says in the objects kept in the page, digit for digit.
fn figures(page: &str) -> (usize, Value) {
    let (embedded, _) = between(page, "id=\"evaluations\">", "</script>").expect("the objects");
    let kept: Value = serde_json::from_str(embedded).expect("JSON");
    let (mut rest, mut figures) = (page, 0);
    while let Some((element, after)) = between(rest, "<data data-key=\"", ">") {
        let (key, value) = element.split_once("\" value=\"").expect("a value");
        let value = value.trim_end_matches('"');
        let pointer = format!("/{}", unescaped(key).replace('.', "/"));
        let known = kept.pointer(&pointer).unwrap_or_else(|| panic!("{pointer}"));
        // Both through the same reader of JSON, which may round the last digit.
        let value: Value = serde_json::from_str(value).expect("a number");
        assert_eq!(*known, value, "{pointer}");
        (figures, rest) = (figures + 1, after);
    }
    (figures, kept)
}

#[test]
fn figures_are_those_of_an_evaluation() {
    let Made { pages, mut evaluation } = made();
    let object = evaluation.as_object_mut().expect("an object");
    object.shift_remove("seconds");
    object.shift_remove("samples_per_second");
    let [whole, bare, all] = &pages;
    assert!(figures(whole).0 > 150, "{}", figures(whole).0);
    assert!(figures(all).0 > 300, "{}", figures(all).0);
    assert!(!bare.contains("<data"), "no run, no figures");
    let (embedded, _) = between(whole, "id=\"evaluations\">", "</script>").expect("the objects");
    assert_eq!(embedded.replace("\\u003c", "<"), Value::from(vec![evaluation.clone()]).to_string());
    let (embedded, _) = between(all, "id=\"evaluations\">", "</script>").expect("the objects");
    let three = Value::from(vec![evaluation.clone(), Value::Null, evaluation]);
    assert_eq!(embedded.replace("\\u003c", "<"), three.to_string());
}

/// A figure that is not the evaluation's is found.
#[test]
#[should_panic(expected = "/0/top1")]
fn a_changed_figure_is_found() {
    let page = &made().pages[0];
    figures(&page.replacen("data-key=\"0.top1\" value=\"1", "data-key=\"0.top1\" value=\"9", 1));
}

#[test]
fn pages_ask_for_nothing_and_are_the_same_twice() {
    let Made { pages, .. } = made();
    assert_eq!(pages, made().pages);
    for page in pages.iter().chain([&explored()]) {
        for word in [" src=", "url(", "@import", "<script>", "<link rel=\"stylesheet", "<run>"] {
            assert!(!page.contains(word), "{word}");
        }
        let links: Vec<&str> = page.match_indices("href=\"").map(|(i, _)| &page[i + 6..]).collect();
        assert!(links.iter().all(|l| l.starts_with("data:,\"") || l.starts_with('#')));
        assert!(page.contains("default-src 'none'"));
        assert!(page.contains("prefers-color-scheme: dark"));
    }
    // Every profile's name stands where its joules stand.
    for profile in Profile::all() {
        assert!(pages[0].contains(&format!("Profile {}: ", profile.name)));
        assert!(pages[2].contains(&format!("nJ, {}", profile.name)));
    }
}

/// The first of some programs that is installed; tests that need one are ignored where `build.rs` found none.
fn installed(names: &[&str]) -> String {
    let runs = |name: &&&str| {
        Command::new(name).arg("--version").output().is_ok_and(|o| o.status.success())
    };
    names.iter().find(runs).map(|name| (*name).to_owned()).expect("it was there at build time")
}

/// A proxy that answers nothing and remembers what it was asked for: all that leaves a browser.
struct Trap {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Trap {
    fn set() -> Trap {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let asked = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&asked);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let mut line = String::new();
                let _ = BufReader::new(stream).read_line(&mut line);
                kept.lock().expect("no panic holds it").push(line);
            }
        });
        Trap { address, asked }
    }

    /// What was asked for, but for what the browser asks of its maker, whatever it shows.
    fn asked(&self) -> Vec<String> {
        let own =
            |line: &&String| !["google.com", "googleapis.com"].iter().any(|w| line.contains(w));
        self.asked.lock().expect("no panic holds it").iter().filter(own).cloned().collect()
    }
}

/// What a browser wrote, and what it asked the network for.
struct Shown {
    dom: String,
    log: String,
    success: bool,
    asked: Vec<String>,
}

fn chromium(program: &str, folder: &Path, arguments: &[&str]) -> Shown {
    let fixed = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-quic",
        "--disable-sync",
        "--hide-scrollbars",
        "--enable-logging=stderr",
        "--proxy-bypass-list=<-loopback>",
    ];
    let trap = Trap::set();
    let output = Command::new(program)
        .args(fixed)
        .arg(format!("--user-data-dir={}", folder.join("profile").display()))
        .arg(format!("--proxy-server=http://{}", trap.address))
        .args(arguments)
        .output()
        .expect("a browser");
    Shown {
        dom: String::from_utf8_lossy(&output.stdout).into_owned(),
        log: String::from_utf8_lossy(&output.stderr).into_owned(),
        success: output.status.success(),
        asked: trap.asked(),
    }
}

/// Measures both pages in frames as wide as a desk's and a hand's screen.
fn wrapper(pages: &[&str]) -> String {
    let mut body = String::new();
    for page in pages {
        let source = page.replace('&', "&amp;").replace('"', "&quot;");
        for width in [1280, 390] {
            body += &format!("<iframe width={width} height=900 srcdoc=\"{source}\"></iframe>");
        }
    }
    format!(
        "<!doctype html><meta charset=utf-8><style>iframe {{ border: 0 }}</style>{body}<pre></pre>
<script>
onload = () => {{
  document.querySelector('pre').textContent = [...document.querySelectorAll('iframe')].map(f => {{
    const root = f.contentDocument.documentElement;
    return 'measured ' + f.width + ' ' + root.scrollWidth + ' ' + root.scrollHeight;
  }}).join('\\n');
}};
</script>"
    )
}

#[test]
#[cfg_attr(not(chromium), ignore = "chromium was not installed when this was built")]
fn a_browser_shows_pages_without_errors_requests_or_overflow() {
    let program = installed(&["chromium", "chromium-browser", "google-chrome"]);
    let [page, _, comparison] = made().pages;
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    let file = |name: &str| format!("file://{}", at(name).display());
    std::fs::write(at("page.html"), &page).expect("a file");
    std::fs::write(at("wrapper.html"), wrapper(&[&page, &comparison, &explored()]))
        .expect("a file");
    for width in [1280, 390] {
        let picture = at(&format!("{width}.png"));
        let screenshot = format!("--screenshot={}", picture.display());
        let size = format!("--window-size={width},2000");
        let seen = chromium(&program, folder.path(), &[&screenshot, &size, &file("page.html")]);
        assert!(seen.success && !seen.log.contains("CONSOLE"), "{}", seen.log);
        assert!(seen.asked.is_empty(), "{:?}", seen.asked);
        let png = std::fs::read(picture).expect("a picture");
        assert_eq!(png.get(16..20), Some(&u32::to_be_bytes(width)[..]), "width of the picture");
    }
    let seen = chromium(&program, folder.path(), &["--dump-dom", &file("wrapper.html")]);
    assert!(
        !seen.log.contains("CONSOLE") && seen.asked.is_empty(),
        "{} {:?}",
        seen.log,
        seen.asked
    );
    // Behind the `pre`: the script that measures says the word too.
    let (measured, _) = between(&seen.dom, "<pre>", "<script>").expect("measures");
    let lines: Vec<Vec<u32>> = measured
        .lines()
        .filter_map(|l| l.split_once("measured ").map(|(_, numbers)| numbers))
        .map(|l| {
            let numbers = l.trim_end_matches("</pre>").split_whitespace();
            numbers.filter_map(|n| n.trim_end_matches("</pre>").parse().ok()).collect()
        })
        .collect();
    assert_eq!(lines.len(), 6, "{}", seen.log);
    for line in lines {
        let [width, needed, height] = line[..] else { panic!("{line:?}") };
        assert!(needed <= width, "{needed} pixels do not fit into {width}");
        assert!(height > 900, "the page is there");
    }
}

/// A page that is too wide, asks for a file or complains is found to.
#[test]
#[cfg_attr(not(chromium), ignore = "chromium was not installed when this was built")]
fn the_measures_find_overflow_requests_and_errors() {
    let program = installed(&["chromium", "chromium-browser", "google-chrome"]);
    let folder = tempfile::tempdir().expect("a folder");
    let page = "<!doctype html><p style=\"width: 700px\">wide<img src=\"http://example.invalid/x.png\"><script>console.error('no')</script>";
    std::fs::write(folder.path().join("w.html"), wrapper(&[page])).expect("a file");
    let file = format!("file://{}", folder.path().join("w.html").display());
    let seen = chromium(&program, folder.path(), &["--dump-dom", &file]);
    assert!(seen.dom.contains("measured 1280 1280") && seen.dom.contains("measured 390 708"));
    assert!(seen.log.contains("CONSOLE"), "{}", seen.log);
    assert!(seen.asked.iter().any(|line| line.contains("/x.png")), "{:?}", seen.asked);
}

#[test]
#[cfg_attr(
    not(validator),
    ignore = "no HTML validator (html-validate or vnu) was installed when this was built"
)]
fn a_validator_accepts_pages() {
    let program = installed(&["html-validate", "vnu"]);
    let [with_run, bare, all] = made().pages;
    let folder = tempfile::tempdir().expect("a folder");
    let rules = r#"{"root": true, "extends": ["html-validate:standard"]}"#;
    std::fs::write(folder.path().join(".htmlvalidate.json"), rules).expect("a file");
    let validate = |name: &str, text: &str| {
        let file = folder.path().join(name);
        std::fs::write(&file, text).expect("a file");
        Command::new(&program).arg(&file).output().expect("a validator")
    };
    let explored = explored();
    let pages =
        [("run.html", &with_run), ("bare.html", &bare), ("all.html", &all), ("e.html", &explored)];
    for (name, text) in pages {
        let said = validate(name, text);
        let message = String::from_utf8_lossy(&said.stdout);
        assert!(said.status.success(), "{name}: {message}");
    }
    let broken = with_run.replacen("</table>", "", 1);
    assert!(!validate("broken.html", &broken).status.success(), "a broken page is refused");
}
