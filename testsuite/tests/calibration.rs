//! Float networks as spikes: what every way loses, in one table.
//!
//! A part by default; with `SNNC_FULL` set all networks on all their images.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use comfy_table::{CellAlignment, Table, presets};
use snnc::calibration::{Budget, Calibration};
use snnc::calibration::{Cost, QuantiseOptions, Statistics, ThresholdMethod, sites};
use snnc::codings::{self, Initial};
use snnc::data::{Dataset, Scaling};
use snnc::driver::{CompileOptions, Model, compile};
use snnc::evaluate::Runner;
use snnc::feed::Given;
use snnc::import::{self, ImportOptions};
use snnc::passes::{self, Context};
use snnc_ir::Coding;
use snnc_testsuite::beside;

/// A float network and its data.
struct Network {
    model: &'static str,
    calibration: &'static str,
    test: &'static str,
    /// Accuracy of the float network on all its test images, by onnxruntime.
    float: f64,
}

const FASHION: Network = Network {
    model: "trained/fmnist_lenet_bn_float.onnx",
    calibration: "fashion-mnist-calibration-2000.npz",
    test: "fashion-mnist-test-10000.npz",
    float: 91.01,
};
const LENET: Network = Network {
    model: "snn-toolbox/mnist_lenet5_9914.onnx",
    calibration: "mnist-calibration-2000.npz",
    test: "mnist-test-10000.npz",
    float: 99.14,
};
const RESNET8: Network = Network {
    model: "cifar/cifar10_resnet8_nchw_float.onnx",
    calibration: "cifar10-calibration-200.npz",
    test: "cifar10-test-800.npz",
    float: 85.50,
};
const RESNET20: Network = Network {
    model: "cifar/cifar10_resnet20_bn_float.onnx",
    calibration: "cifar10-calibration-200.npz",
    test: "cifar10-test-800.npz",
    float: 89.75,
};

const DIGITS_CNN: Network = Network {
    model: "digits/digits_cnn_bn_float.onnx",
    calibration: "digits-train-1437.npz",
    test: "digits-test-360.npz",
    float: 99.44,
};
const DIGITS_MLP: Network = Network {
    model: "trained/mnist_mlp_float.onnx",
    calibration: "mnist-calibration-2000.npz",
    test: "mnist-test-10000.npz",
    float: 98.00,
};

fn full() -> bool {
    std::env::var_os("SNNC_FULL").is_some()
}

/// How a float network is said in spikes.
#[derive(Clone)]
struct Way {
    coding: Coding,
    timesteps: Option<usize>,
    initial: Option<Initial>,
    options: QuantiseOptions,
    budget: Option<f64>,
}

impl Way {
    fn bits(bits: u8) -> Way {
        let options = QuantiseOptions { payload_bits: bits, ..QuantiseOptions::default() };
        Way { coding: Coding::Graded, timesteps: None, initial: None, options, budget: None }
    }

    fn mean_bits(bits: f64) -> Way {
        Way { budget: Some(bits), ..Way::bits(4) }
    }

    /// Binary spikes as they stream through.
    fn rate(timesteps: usize) -> Way {
        let levels = Some(timesteps as i64);
        let options = QuantiseOptions { levels, ..QuantiseOptions::default() };
        let timesteps = Some(timesteps);
        Way { coding: Coding::Rate, timesteps, options, ..Way::bits(4) }
    }

    fn over(coding: Coding, timesteps: usize, bits: u8) -> Way {
        Way { coding, timesteps: Some(timesteps), ..Way::bits(bits) }
    }

    /// The 99.9th percentile of what is not 0 for every layer, potentials from 0: the default of
    /// snntoolbox.
    fn with_thresholds_of_snntoolbox(mut self) -> Way {
        self.options.method = ThresholdMethod::Percentile(0.999);
        self.options.each_channel = false;
        self.options.correct_biases = false;
        self.initial = Some(Initial::Zero);
        self
    }
}

/// What is asked of a row.
#[derive(Clone, Copy)]
enum Bound {
    /// At most so many points below the float network.
    Below(f64),
    /// Nothing by itself.
    Free,
}

struct Bench {
    table: Table,
    wrong: String,
    few: usize,
}

impl Bench {
    fn new(few: usize) -> Bench {
        let mut table = Table::new();
        table.load_style(presets::ASCII_MARKDOWN);
        table.set_header(["network", "way", "images", "float %", "spikes %", "asked"]);
        Bench { table, wrong: String::new(), few }
    }

    /// Measures one way, adds its row, and returns its accuracy in percent.
    fn row(
        &mut self,
        shared: &Path,
        network: &Network,
        name: &str,
        way: &Way,
        bound: Bound,
    ) -> f64 {
        let images = if full() { usize::MAX } else { self.few };
        let (top1, images) = measured(shared, network, way, images);
        let asked = match bound {
            Bound::Below(points) => format!(">= {:.2}", network.float - points),
            Bound::Free => String::new(),
        };
        self.table.add_row([
            network.model.to_owned(),
            name.to_owned(),
            images.to_string(),
            format!("{:.2}", network.float),
            format!("{top1:.2}"),
            asked,
        ]);
        // A part of the images has another accuracy than all of them.
        if let Bound::Below(points) = bound
            && full()
            && top1 < network.float - points
        {
            writeln!(self.wrong, "{} {name}: {top1:.2}", network.model).unwrap();
        }
        top1
    }

    fn finish(mut self) {
        use std::io::Write;
        for column in self.table.column_iter_mut().skip(2) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        // To the terminal itself: output of tests that pass is not shown.
        let mut out = std::io::stderr();
        if !full() {
            writeln!(out, "a part of the networks and images: SNNC_FULL=1 takes all").unwrap();
        }
        writeln!(out, "{}", self.table).unwrap();
        assert!(self.wrong.is_empty(), "{}", self.wrong);
    }
}

fn model_of(shared: &Path, network: &Network, way: &Way) -> Model {
    let calibration = Calibration {
        data: Some(shared.join("data").join(network.calibration)),
        statistics: Some(statistics(shared, network)),
        options: way.options.clone(),
        budget: way.budget.map(|bits| Budget::Cost(Cost::AverageBits, bits)),
        candidates: (1..=8).collect(),
    };
    let path = shared.join("models").join(network.model);
    let mut context = Context::default();
    Model::load_calibrated(&path, &ImportOptions::default(), Some(&calibration), &mut context)
        .expect("the model converts")
}

/// Statistics of a network, gathered once.
fn statistics(shared: &Path, network: &Network) -> PathBuf {
    static FOLDER: OnceLock<tempfile::TempDir> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| tempfile::tempdir().unwrap());
    let file = folder.path().join(network.model.replace('/', "-"));
    if !file.exists() {
        std::fs::write(&file, gathered(shared, network, &[(0, 1)]).to_bytes()).unwrap();
    }
    file
}

/// Statistics of the parts `(i, n)` of the calibration set, merged.
fn gathered(shared: &Path, network: &Network, parts: &[(usize, usize)]) -> Statistics {
    let imported =
        import::load(&shared.join("models").join(network.model), &ImportOptions::default());
    let imported = imported.expect("the model is read");
    let sha256 = imported.digest.sha256().to_owned();
    let tensor = passes::canonicalise(imported.graph, &mut Context::default()).unwrap();
    let path = shared.join("data").join(network.calibration);
    let data = Dataset::load(&path, (!full()).then_some(200)).unwrap();
    let sites = sites(&tensor);
    let part = |&(i, n): &(usize, usize)| {
        let range = data.len() * i / n..data.len() * (i + 1) / n;
        let given = Given::default();
        let found =
            Statistics::gather(&tensor, &sites, (&data, &path), range, given, &|| ()).unwrap();
        Statistics { model: sha256.clone(), ..found }
    };
    let mut all = parts.iter().map(part);
    let mut merged = all.next().unwrap();
    all.for_each(|p| merged.merge(&p).unwrap());
    merged
}

fn measured(shared: &Path, network: &Network, way: &Way, images: usize) -> (f64, usize) {
    let model = model_of(shared, network, way);
    let target = snnc_backends::target("reference").expect("the target exists");
    let spikes =
        codings::Options { initial: way.initial, ..codings::Options::timesteps(way.timesteps) };
    let options = CompileOptions { coding: Some(way.coding), spikes, ..CompileOptions::default() };
    let compiled = compile(&model, target, &options).expect("compiles");
    let path = shared.join("data").join(network.test);
    let data = Dataset::load(&path, Some(images)).expect("the images are there");
    let runner = Runner::spiking(&compiled.network, None, true, Scaling::default()).expect("runs");
    let evaluation = runner.evaluate(&data, &path).expect("runs");
    (evaluation.top1.expect("labels"), data.len())
}

#[test]
#[cfg_attr(not(shared), ignore = "../shared was not there when this was built")]
fn few_bits_and_few_timesteps_lose_little() {
    let shared = beside();
    let mut bench = Bench::new(100);
    let fashion = [
        ("graded, 4 bits, T=1", Way::bits(4), 0.5),
        ("multi-level, T=4", Way::over(Coding::MultiLevel, 4, 4), 1.0),
        ("few-spikes, T=4", Way::over(Coding::FewSpikes, 4, 4), 1.0),
        ("rate, T=32", Way::rate(32), 0.5),
    ];
    for (name, way, points) in &fashion[..if full() { 4 } else { 2 }] {
        bench.row(&shared, &FASHION, name, way, Bound::Below(*points));
    }
    let way = Way::over(Coding::FewSpikes, 4, 4);
    bench.row(&shared, &LENET, "few-spikes, T=4", &way, Bound::Below(0.3));
    if full() {
        for (bits, points) in [(8, 0.3), (6, 1.0), (5, 2.0)] {
            let name = format!("graded, {bits} bits");
            bench.row(&shared, &RESNET8, &name, &Way::bits(bits), Bound::Below(points));
        }
        for (bits, points) in [(8, 0.5), (6, 1.0)] {
            let name = format!("graded, {bits} bits");
            bench.row(&shared, &RESNET20, &name, &Way::bits(bits), Bound::Below(points));
        }
    }
    bench.finish();
}

#[test]
#[cfg_attr(not(shared), ignore = "../shared was not there when this was built")]
fn the_default_beats_percentiles_from_zero_at_every_latency() {
    let shared = beside();
    let mut bench = Bench::new(100);
    let latencies: &[usize] = if full() { &[1, 2, 4, 8] } else { &[2, 4] };
    for &t in latencies {
        let name = format!("rate, T={t}");
        let own = bench.row(&shared, &FASHION, &name, &Way::rate(t), Bound::Free);
        let name = format!("rate, T={t}, 99.9 percentile, from 0");
        let other = Way::rate(t).with_thresholds_of_snntoolbox();
        let other = bench.row(&shared, &FASHION, &name, &other, Bound::Free);
        if own <= other || (t == 4 && own < other + 10.0) {
            writeln!(bench.wrong, "T={t}: {own:.2} against {other:.2}").unwrap();
        }
    }
    bench.finish();
}

#[test]
#[cfg_attr(not(shared), ignore = "../shared was not there when this was built")]
fn allocated_bits_are_worth_more_than_equal_ones() {
    let shared = beside();
    let mut bench = Bench::new(100);
    let mut within = 0;
    let all = [&DIGITS_CNN, &DIGITS_MLP, &FASHION, &LENET, &RESNET8];
    let networks = if full() { all.as_slice() } else { &all[..1] };
    for network in networks {
        let mut row = |name: &str, way: &Way| bench.row(&shared, network, name, way, Bound::Free);
        let two = row("graded, 2 bits", &Way::bits(2));
        let mixed = row("graded, 2.25 bits in the mean", &Way::mean_bits(2.25));
        let three = row("graded, 3 bits", &Way::bits(3));
        if full() && mixed < two {
            writeln!(bench.wrong, "{}: {mixed:.2} against {two:.2}", network.model).unwrap();
        }
        within += usize::from(mixed >= three - 0.3);
    }
    if full() && within < 2 {
        writeln!(bench.wrong, "within 0.3 points of 3 bits on {within} networks").unwrap();
    }
    bench.finish();
}

#[test]
#[cfg_attr(not(shared), ignore = "../shared was not there when this was built")]
fn four_parts_give_the_thresholds_of_one_pass() {
    let shared = beside();
    let network = if full() { &FASHION } else { &RESNET8 };
    let whole = gathered(&shared, network, &[(0, 1)]);
    let merged = gathered(&shared, network, &[(2, 4), (0, 4), (3, 4), (1, 4)]);
    assert_eq!(whole.to_bytes(), merged.to_bytes());
    let three = gathered(&shared, network, &[(0, 4), (1, 4), (2, 4)]);
    assert_ne!(whole.to_bytes(), three.to_bytes());
}
