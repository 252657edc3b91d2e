//! Random networks in the format, as its makers' tools and ours might write them.

use snnc_backends::format::hdf5::{Hdf5Tree, Hdf5Value};
use snnc_backends::format::npy::NpyArray;

use super::netx::{Case, read};

/// Steps of each run.
const STEPS: usize = 24;

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
                read(&writer.tree.to_bytes().unwrap()).map(|_| ())
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

/// Current-based neurons behind spikes, or behind input neurons.
pub fn current_based(seed: u64) -> Case {
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
    let content = writer.tree.to_bytes().unwrap();
    let count: usize = shape.iter().product();
    let (kind, frames) = if neurons {
        ("bias", vec![random.many(count, -20, 300)])
    } else {
        let rate = random.range(10, 60) as u64;
        let spikes = |_| (0..count).map(|_| i64::from(random.chance(rate))).collect();
        ("spikes", (0..STEPS).map(spikes).collect())
    };
    Case { content, kind, shape, frames, steps: STEPS, reset }
}

/// Sigma-delta neurons behind numbers that change.
pub fn sigma_delta(seed: u64) -> Case {
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
    let content = writer.tree.to_bytes().unwrap();
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
    Case { content, kind: "values", shape, frames, steps: STEPS, reset: None }
}
