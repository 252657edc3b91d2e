//! Lava NetX and the interpreter, on the same files and input: every spike and every state of
//! every layer at every step must be equal.
//!
//! Needs `testsuite/peers/lava/setup.sh` to have run, or `SNNC_LAVA_PYTHON` to name a Python that
//! has lava-nc 0.10.0 and lava-dl 0.6.0; else one line says that this was skipped.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;
use snnc_backends::format::hdf5::{Hdf5Tree, Hdf5Value};
use snnc_backends::format::npy::NpyArray;
use snnc_backends::format::npz::Npz;
use snnc_backends::loihi::{Loihi, reset_periodically};
use snnc_backends::{MemoryFiles, Target};
use snnc_ir::{Graph, Neuron, NodeId, SigmaDeltaRole, SpikingOp, verify};
use snnc_runtime::spiking::{Network, Sample};

/// Random current-based networks.
const CURRENT_BASED: u64 = 44;
/// Random sigma-delta networks.
const SIGMA_DELTA: u64 = 16;
/// Steps of each run.
const STEPS: usize = 24;

/// Currents wrap into `-LIMIT + 1..=LIMIT`.
const LIMIT: i64 = 1 << 23;

/// SplitMix64 (Steele et al. 2014): small, and the same everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number from `low` to `high`, both included.
    fn range(&mut self, low: i64, high: i64) -> i64 {
        low + (self.next() % (high - low + 1) as u64) as i64
    }

    fn size(&mut self, low: usize, high: usize) -> usize {
        self.range(low as i64, high as i64) as usize
    }

    fn chance(&mut self, percent: u64) -> bool {
        self.next() % 100 < percent
    }

    fn pick<T: Copy>(&mut self, items: &[T]) -> T {
        items[self.next() as usize % items.len()]
    }

    fn many(&mut self, count: usize, low: i64, high: i64) -> Vec<i64> {
        (0..count).map(|_| self.range(low, high)).collect()
    }
}

/// A file, and what goes in.
struct Case {
    tree: Hdf5Tree,
    kind: &'static str,
    /// Shape of one step's input.
    shape: Vec<usize>,
    /// One frame, or one for each step.
    frames: Vec<Vec<i64>>,
    reset: Option<(usize, usize)>,
}

fn integers(shape: &[usize], values: &[i64]) -> Hdf5Value {
    let values: Vec<i32> = values.iter().map(|&v| v as i32).collect();
    NpyArray::from_i32(shape, &values).unwrap().into()
}

fn scalar(value: i64) -> Hdf5Value {
    NpyArray::from_i64([], &[value]).unwrap().into()
}

/// Writes layers one after the other, and follows the shape of what they send.
struct Writer<'a> {
    tree: Hdf5Tree,
    random: &'a mut Random,
    layers: usize,
    shape: Vec<usize>,
    sigma_delta: bool,
}

impl<'a> Writer<'a> {
    fn new(random: &'a mut Random, shape: Vec<usize>, sigma_delta: bool) -> Self {
        Writer { tree: Hdf5Tree::new(), random, layers: 0, shape, sigma_delta }
    }

    fn put(&mut self, name: &str, value: impl Into<Hdf5Value>) {
        self.tree.insert(&format!("layer/{}/{name}", self.layers), value.into()).unwrap();
    }

    fn input(&mut self, neuron: bool) {
        self.put("type", Hdf5Value::ascii_array("input"));
        let shape: Vec<i64> = self.shape.iter().map(|&d| d as i64).collect();
        self.put("shape", integers(&[shape.len()], &shape));
        if neuron {
            self.neuron(false);
        }
        self.layers += 1;
    }

    fn neuron(&mut self, output: bool) {
        if self.sigma_delta {
            self.put("neuron/type", Hdf5Value::ascii("SDNN"));
            let threshold = self.random.pick(&[0, 0, 1, 3, 20]);
            self.put("neuron/vThMant", scalar(threshold));
            if output {
                self.put("neuron/sigma_output", scalar(1));
            }
            return;
        }
        let name = self.random.pick(&["CUBA", "LOIHI"]);
        self.put("neuron/type", Hdf5Value::utf8(name));
        for key in ["iDecay", "vDecay"] {
            let decay = match self.random.range(0, 3) {
                0 => 0,
                1 => 4096,
                _ => self.random.range(1, 4095),
            };
            self.put(&format!("neuron/{key}"), scalar(decay));
        }
        let threshold = self.random.range(1, 400);
        self.put("neuron/vThMant", scalar(threshold));
    }

    /// A matrix that NetX can load; some lose precision on the way, as in NetX.
    fn matrix(&mut self, targets: usize, sources: usize) -> Vec<i64> {
        loop {
            let (low, high) = self.random.pick(&[
                (-127, 127),
                (-127, 127),
                (-256, 254),
                (0, 255),
                (-60, 0),
                (-255, -2),
                (-400, 300),
                (-8, 8),
            ]);
            let mut w = self.random.many(targets * sources, low, high);
            if self.random.chance(30) {
                w.iter_mut().for_each(|w| *w &= !3);
            }
            let net = |w: &[i64]| {
                let mut random = Random(0);
                let mut writer = Writer::new(&mut random, vec![sources], false);
                writer.dense_with(targets, w, |_| {});
                read(&writer.tree).map(|_| ())
            };
            if w.iter().any(|&w| w != 0) && net(&w).is_ok() {
                return w;
            }
        }
    }

    fn dense_with(&mut self, targets: usize, weights: &[i64], more: impl FnOnce(&mut Self)) {
        let sources: usize = self.shape.iter().product();
        self.put("type", Hdf5Value::ascii_array("dense"));
        self.put("shape", integers(&[1], &[targets as i64]));
        self.put("weight", integers(&[targets, sources], weights));
        more(self);
        self.shape = vec![targets];
        self.layers += 1;
    }

    fn flatten_if_map(&mut self) {
        if self.shape.len() > 1 {
            self.put("type", Hdf5Value::ascii_array("flatten"));
            self.layers += 1;
            self.shape = vec![self.shape.iter().product()];
        }
    }

    fn bias(&mut self, targets: usize) {
        if self.random.chance(60) {
            let most = if self.sigma_delta { 20 } else { 200 };
            let bias = self.random.many(targets, -most, most);
            self.put("bias", integers(&[targets], &bias));
        }
    }

    fn dense(&mut self, output: bool) {
        self.flatten_if_map();
        let (targets, sources) = (self.random.size(1, 7), self.shape[0]);
        let weights = self.matrix(targets, sources);
        let delayed = !self.sigma_delta && self.random.chance(40);
        self.dense_with(targets, &weights, |w| {
            if delayed {
                let (shape, count) = match w.random.range(0, 3) {
                    0 => (vec![], 1),
                    1 => (vec![targets], targets),
                    2 => (vec![sources], sources),
                    _ => (vec![targets, sources], targets * sources),
                };
                let delays = w.random.many(count, 0, 6);
                w.put("delay", integers(&shape, &delays));
            }
            if !(output && w.sigma_delta) {
                w.bias(targets);
            }
            w.neuron(output);
        });
    }

    /// A last layer without neurons.
    fn read_out(&mut self) {
        self.flatten_if_map();
        let (targets, sources) = (self.random.size(1, 5), self.shape[0]);
        let weights = self.matrix(targets, sources);
        self.dense_with(targets, &weights, |_| {});
    }

    fn recurrent(&mut self) {
        self.flatten_if_map();
        let (targets, sources) = (self.random.size(1, 6), self.shape[0]);
        let weights = self.matrix(targets, sources);
        let among = self.matrix(targets, targets);
        self.put("type", Hdf5Value::ascii("dense_rec"));
        self.put("shape", integers(&[1], &[targets as i64]));
        self.put("weight", integers(&[targets, sources], &weights));
        self.put("weight_rec", integers(&[targets, targets], &among));
        self.bias(targets);
        self.neuron(false);
        self.shape = vec![targets];
        self.layers += 1;
    }

    fn conv(&mut self) {
        let (c, h, w) = (self.shape[0], self.shape[1], self.shape[2]);
        let divisors: Vec<usize> = (1..=c).filter(|g| c % g == 0).collect();
        let groups = self.random.pick(&divisors);
        let targets = groups * self.random.size(1, 3);
        let (mut kernel, mut stride, mut padding, mut dilation) = ([1; 2], [1; 2], [0; 2], [1; 2]);
        let mut out = [0; 2];
        for (axis, cells) in [h, w].into_iter().enumerate() {
            loop {
                kernel[axis] = self.random.size(1, 3);
                stride[axis] = self.random.size(1, 2);
                padding[axis] = self.random.size(0, 2);
                dilation[axis] = self.random.size(1, 2);
                let extent = (kernel[axis] - 1) * dilation[axis] + 1;
                if let Some(room) = (cells + 2 * padding[axis]).checked_sub(extent) {
                    out[axis] = room / stride[axis] + 1;
                    break;
                }
            }
        }
        let shape = [targets, c / groups, kernel[0], kernel[1]];
        let weights = self.random.many(shape.iter().product(), -40, 40);
        self.put("type", Hdf5Value::ascii_array("conv"));
        self.put("shape", integers(&[3], &[targets, out[0], out[1]].map(|d| d as i64)));
        // slayer writes floats, and a fifth dimension of time.
        let reals: Vec<f32> = weights.iter().map(|&w| w as f32).collect();
        let five = [&shape[..], &[1]].concat();
        self.put("weight", NpyArray::from_f32(five, &reals).unwrap());
        for (name, pair) in [("stride", stride), ("padding", padding), ("dilation", dilation)] {
            if pair[0] == pair[1] && self.random.chance(50) {
                self.put(name, scalar(pair[0] as i64));
            } else {
                self.put(name, integers(&[2], &pair.map(|d| d as i64)));
            }
        }
        self.put("groups", scalar(groups as i64));
        self.bias(targets);
        self.neuron(false);
        self.shape = vec![targets, out[0], out[1]];
        self.layers += 1;
    }
}

fn read(tree: &Hdf5Tree) -> Result<Graph, snnc_backends::ReadError> {
    let content = tree.to_bytes().unwrap();
    Loihi.read(&MemoryFiles([("network.net".to_owned(), content.into())].into()), "network.net")
}

fn current_based(seed: u64) -> Case {
    let mut random = Random(seed);
    let map = seed.is_multiple_of(2);
    let shape = if map {
        vec![random.size(1, 4), random.size(3, 7), random.size(3, 7)]
    } else {
        vec![random.size(1, 9)]
    };
    let neurons = random.chance(40);
    let mut writer = Writer::new(&mut random, shape.clone(), false);
    if map || neurons {
        writer.input(neurons);
    }
    for _ in 0..writer.random.size(1, 2) {
        match (writer.shape.len(), writer.random.range(0, 3)) {
            (3, 0..=2) => writer.conv(),
            (1, 0) => writer.recurrent(),
            (3, _) if writer.layers == 1 && !neurons => writer.conv(),
            _ => writer.dense(false),
        }
    }
    // A read-out adds up a whole run here, and is not reset as in NetX.
    let reset = Random(!seed).chance(25).then_some((7, seed as usize % 3));
    if reset.is_none() && writer.random.chance(30) {
        writer.read_out();
    }
    let tree = writer.tree;
    let count: usize = shape.iter().product();
    let (kind, frames) = if neurons {
        ("bias", vec![random.many(count, -20, 300)])
    } else {
        let rate = random.range(10, 60) as u64;
        let spikes = |_| (0..count).map(|_| i64::from(random.chance(rate))).collect();
        ("spikes", (0..STEPS).map(spikes).collect())
    };
    Case { tree, kind, shape, frames, reset }
}

fn sigma_delta(seed: u64) -> Case {
    let mut random = Random(seed << 32);
    let map = seed.is_multiple_of(2);
    let shape = if map {
        vec![random.size(1, 3), random.size(3, 6), random.size(3, 6)]
    } else {
        vec![random.size(1, 9)]
    };
    let mut writer = Writer::new(&mut random, shape.clone(), true);
    writer.input(true);
    for _ in 0..writer.random.size(1, 2) {
        if writer.shape.len() == 3 && writer.random.chance(80) {
            writer.conv();
        } else {
            writer.dense(false);
        }
    }
    writer.dense(true);
    let tree = writer.tree;
    let count: usize = shape.iter().product();
    let mut frames = vec![random.many(count, -60, 60)];
    for _ in 1..STEPS {
        let mut frame = frames.last().unwrap().clone();
        for x in &mut frame {
            if random.chance(30) {
                *x = (*x + random.range(-30, 30)).clamp(-90, 90);
            }
        }
        frames.push(frame);
    }
    Case { tree, kind: "values", shape, frames, reset: None }
}

/// Spikes and states of the populations, by the names that `run.py` gives them.
fn interpreted(case: &Case) -> BTreeMap<String, Vec<Vec<i64>>> {
    let mut graph = read(&case.tree).unwrap();
    graph.timing.timesteps = STEPS;
    if let Some((interval, offset)) = case.reset {
        reset_periodically(&mut graph, interval, offset);
    }
    let values = case.kind == "values";
    if let Some(snnc_ir::Op::Spiking(SpikingOp::Encoder(e))) =
        graph.inputs().first().map(|&id| &mut graph[id].op).filter(|_| values)
    {
        e.presentation = snnc_ir::Presentation::InTime;
    }
    let graph = verify(graph).unwrap();
    let populations: Vec<NodeId> = graph
        .order()
        .unwrap()
        .into_iter()
        .filter(|&id| matches!(graph[id].as_spiking(), Some(SpikingOp::Population(_))))
        .collect();
    let place = |id: NodeId| populations.iter().position(|&p| p == id);
    let sample = match case.kind {
        "bias" => Sample::Codes(case.frames[0].clone()),
        _ => Sample::InTime(case.frames.clone()),
    };
    let mut sent: BTreeMap<String, Vec<Vec<i64>>> = BTreeMap::new();
    let mut states: BTreeMap<String, Vec<Vec<i64>>> = BTreeMap::new();
    Network::new(&graph)
        .unwrap()
        .run_with_states(
            &[sample],
            &mut |id, _, value| {
                let Some(SpikingOp::Population(p)) = graph[id].as_spiking() else { return };
                let i = place(id).unwrap();
                let silent = matches!(p.neuron, Neuron::Accumulate);
                let shown = if silent { vec![0; value.len()] } else { value.to_vec() };
                sent.entry(format!("spikes.{i}")).or_default().push(shown);
            },
            &mut |id, _, state| {
                let i = place(id).unwrap();
                let Some(SpikingOp::Population(p)) = graph[id].as_spiking() else { return };
                let mut put = |name: &str, values: Vec<i64>| {
                    states.entry(format!("{name}.{i}")).or_default().push(values);
                };
                match &p.neuron {
                    // NetX's stand-in adds up the same sums, shifted by 6 and wrapped to 24 bits.
                    Neuron::Accumulate => {
                        let u = |v: &i64| ((v << 6) - 1 + LIMIT).rem_euclid(2 * LIMIT) + 1 - LIMIT;
                        put("u", state.potential.iter().map(u).collect());
                        let v = |v: &i64| u(v).clamp(1 - LIMIT, LIMIT - 1);
                        put("v", state.potential.iter().map(v).collect());
                    }
                    Neuron::CurrentBased(_) => {
                        // The input's bias comes as current here, and not at all in NetX.
                        if !(case.kind == "bias" && i == 0) {
                            put("u", state.second.to_vec());
                        }
                        put("v", state.potential.to_vec());
                    }
                    Neuron::SigmaDelta(n) => {
                        if n.role != SigmaDeltaRole::Delta {
                            put("sigma", state.potential.to_vec());
                        }
                        if n.role != SigmaDeltaRole::Sigma {
                            put("act", state.second.to_vec());
                            put("residue", state.residue.to_vec());
                        }
                    }
                    _ => {}
                }
            },
        )
        .unwrap();
    sent.extend(states);
    sent
}

/// The Python that has Lava, or a line that says there is none.
fn lava_python() -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let python = std::env::var_os("SNNC_LAVA_PYTHON")
        .map_or_else(|| root.join("target/peers/lava/bin/python"), PathBuf::from);
    if python.is_file() {
        return Some(python);
    }
    #[allow(clippy::print_stderr)]
    {
        eprintln!("skipped: Lava is not installed (testsuite/peers/lava/setup.sh)");
    }
    None
}

/// Runs the cases in NetX, and compares.
fn compare(python: &Path, cases: Vec<(String, Case)>) {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str, end: &str| folder.path().join(format!("{name}.{end}"));
    let mut jobs = Vec::new();
    for (name, case) in &cases {
        std::fs::write(path(name, "net"), case.tree.to_bytes().unwrap()).unwrap();
        let mut shape = case.shape.clone();
        if case.kind != "bias" {
            shape.insert(0, case.frames.len());
        }
        let input = NpyArray::from_i64(shape, &case.frames.concat()).unwrap();
        std::fs::write(path(name, "npy"), input.to_bytes().unwrap()).unwrap();
        let mut job = json!({
            "net": path(name, "net"), "input": path(name, "npy"), "kind": case.kind,
            "steps": STEPS, "output": path(name, "npz"), "may_warn": true,
        });
        if let Some((interval, offset)) = case.reset {
            job["reset"] = json!([interval, offset]);
        }
        jobs.push(job);
    }
    let list = folder.path().join("jobs.json");
    std::fs::write(&list, serde_json::to_vec(&jobs).unwrap()).unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers/lava/run.py");
    let output = Command::new(python).arg(script).arg(&list).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");

    let mut spikes = 0;
    for (name, case) in &cases {
        let npz = Npz::open(std::fs::read(path(name, "npz")).unwrap()).unwrap();
        let ours = interpreted(case);
        for (key, frames) in &ours {
            let theirs = npz.get(key).unwrap().unwrap_or_else(|| panic!("{name}: no {key}"));
            let theirs = theirs.to_i64().unwrap();
            let each = frames[0].len();
            for (t, frame) in frames.iter().enumerate() {
                let there = &theirs[t * each..(t + 1) * each];
                assert_eq!(frame, there, "{name}: {key} at step {t}");
            }
            if key.starts_with("spikes") {
                spikes += frames.iter().flatten().filter(|&&s| s != 0).count();
            }
        }
        let layers = npz.names().filter(|n| n.starts_with("spikes")).count();
        assert_eq!(layers, ours.keys().filter(|k| k.starts_with("spikes")).count(), "{name}");
    }
    assert!(spikes > 100 * cases.len(), "only {spikes} spikes were compared");
}

#[test]
fn current_based_networks_run_as_in_netx() {
    let Some(python) = lava_python() else { return };
    compare(&python, (0..CURRENT_BASED).map(|s| (format!("lif-{s}"), current_based(s))).collect());
}

#[test]
fn sigma_delta_networks_run_as_in_netx() {
    let Some(python) = lava_python() else { return };
    compare(&python, (0..SIGMA_DELTA).map(|s| (format!("sdnn-{s}"), sigma_delta(s))).collect());
}
