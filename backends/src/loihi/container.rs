//! The HDF5 form of a [`Net`].

use super::net::{Conv, DEFAULT_INPUT_WEIGHT, Dense, HostEncoding, Layer, Net, Neurons};
use crate::ReadError;
use crate::format::hdf5::{Hdf5Error, Hdf5Tree, Hdf5Value};
use crate::format::npy::{NpyArray, NpyError, NpyType};

/// Writes the file. Equal networks give equal bytes.
pub(super) fn write(net: &Net) -> Result<Vec<u8>, Hdf5Error> {
    let mut tree = Hdf5Tree::new();
    for (i, layer) in net.layers.iter().enumerate() {
        tree.insert(&format!("layer/{i}"), layer_group(layer)?)?;
    }
    if let Some(timesteps) = net.timesteps {
        let mut put = Writer::at(&mut tree, "simulation/");
        put.integer("Ts", 1)?;
        put.integer("tSample", timesteps as i64)?;
    }
    tree.to_bytes()
}

/// Puts datasets of the types that NetX reads without conversion below one path.
struct Writer<'a> {
    tree: &'a mut Hdf5Tree,
    prefix: &'static str,
}

impl<'a> Writer<'a> {
    fn at(tree: &'a mut Hdf5Tree, prefix: &'static str) -> Self {
        Writer { tree, prefix }
    }

    fn put(&mut self, name: &str, value: Hdf5Value) -> Result<(), Hdf5Error> {
        self.tree.insert(&format!("{}{name}", self.prefix), value)
    }

    fn array(&mut self, name: &str, array: Result<NpyArray, NpyError>) -> Result<(), Hdf5Error> {
        let path = format!("{}{name}", self.prefix);
        let array = array.map_err(|source| Hdf5Error::Value { path, source })?;
        self.put(name, array.into())
    }

    fn integer(&mut self, name: &str, value: i64) -> Result<(), Hdf5Error> {
        self.array(name, NpyArray::from_i64([], &[value]))
    }

    fn sizes(&mut self, name: &str, values: &[usize]) -> Result<(), Hdf5Error> {
        let values: Vec<i64> = values.iter().map(|&v| v as i64).collect();
        self.array(name, NpyArray::from_i64([values.len()], &values))
    }

    /// Weights and biases; the emitter has checked that they are small.
    fn small(&mut self, name: &str, shape: &[usize], values: &[i64]) -> Result<(), Hdf5Error> {
        let values: Vec<i32> = values.iter().map(|&v| v as i32).collect();
        self.array(name, NpyArray::from_i32(shape, &values))
    }
}

fn layer_group(layer: &Layer) -> Result<Hdf5Tree, Hdf5Error> {
    let mut group = Hdf5Tree::new();
    let mut put = Writer::at(&mut group, "");
    let kind = match layer {
        Layer::Input { .. } => "input",
        Layer::Dense(d) if d.recurrent.is_some() => "dense_rec",
        Layer::Dense(_) => "dense",
        Layer::Conv(_) => "conv",
        Layer::Flatten => "flatten",
    };
    put.put("type", Hdf5Value::ascii_array(kind))?;
    match layer {
        Layer::Input { shape, neuron } => {
            put.sizes("shape", shape)?;
            if let Some((neurons, host)) = neuron {
                put.array("weight", NpyArray::from_f64([1], &[host.weight]))?;
                put.array("bias", NpyArray::from_f64([1], &[host.bias]))?;
                neuron_group(&mut group, neurons)?;
            }
        }
        Layer::Dense(d) => {
            let targets: usize = d.shape.iter().product();
            put.sizes("shape", &d.shape)?;
            put.small("weight", &[targets, d.sources], &d.weights)?;
            if let Some(recurrent) = &d.recurrent {
                put.small("weight_rec", &[targets, targets], recurrent)?;
            }
            if !d.bias.is_empty() {
                put.small("bias", &[d.bias.len()], &d.bias)?;
            }
            if !d.delays.is_empty() {
                let delays: Vec<i64> = d.delays.iter().map(|&v| v.into()).collect();
                put.small("delay", &[targets, d.sources], &delays)?;
            }
            if let Some(neurons) = &d.neuron {
                neuron_group(&mut group, neurons)?;
            }
        }
        Layer::Conv(c) => {
            put.sizes("shape", &c.shape)?;
            put.small("weight", &c.weight_shape, &c.weights)?;
            put.sizes("stride", &c.stride)?;
            put.sizes("padding", &c.padding)?;
            put.sizes("dilation", &c.dilation)?;
            // NetX indexes with this one: an array of one element would not do.
            put.integer("groups", c.groups as i64)?;
            if !c.bias.is_empty() {
                put.small("bias", &[c.bias.len()], &c.bias)?;
            }
            neuron_group(&mut group, &c.neuron)?;
        }
        Layer::Flatten => {}
    }
    Ok(group)
}

fn neuron_group(layer: &mut Hdf5Tree, neurons: &Neurons) -> Result<(), Hdf5Error> {
    let mut put = Writer::at(layer, "neuron/");
    match *neurons {
        Neurons::CurrentBased { current_decay, voltage_decay, threshold } => {
            put.put("type", Hdf5Value::ascii("CUBA"))?;
            put.integer("iDecay", current_decay)?;
            put.integer("vDecay", voltage_decay)?;
            put.integer("vThMant", threshold)
        }
        Neurons::SigmaDelta { threshold, output } => {
            put.put("type", Hdf5Value::ascii("SDNN"))?;
            put.integer("vThMant", threshold)?;
            if output {
                let yes = NpyArray::new(NpyType::Bool, [], vec![1u8]);
                put.array("sigma_output", yes)?;
            }
            Ok(())
        }
    }
}

/// Whether the file has the group in which NetX looks for layers.
pub(super) fn has_layers(bytes: &[u8]) -> bool {
    let tree = Hdf5Tree::read(bytes::Bytes::copy_from_slice(bytes));
    tree.is_ok_and(|t| t.group("layer").is_ok())
}

/// Reads a file; `name` is for messages.
pub(super) fn read(bytes: bytes::Bytes, name: &str) -> Result<Net, ReadError> {
    let place = |place: String| Place { file: name.to_owned(), place };
    let tree = Hdf5Tree::read(bytes).map_err(|e| place("file".into()).malformed(e.to_string()))?;
    let numbered =
        tree.group("layer").map_err(|e| place("layer".into()).malformed(e.to_string()))?;
    let mut layers = Vec::new();
    for (expected, (number, _)) in numbered.iter_numbered().enumerate() {
        let at = place(format!("layer/{number}"));
        if number != expected as u64 {
            return Err(at.malformed(format!("layers count from 0; layer {expected} is missing")));
        }
        let group = tree.group(&at.place).map_err(|e| at.malformed(e.to_string()))?;
        layers.push(Reader { group, at: &at }.layer()?);
    }
    if layers.is_empty() {
        return Err(place("layer".into()).malformed("there is no layer"));
    }
    let at = place("simulation".into());
    let timesteps =
        match tree.get("simulation/tSample") {
            Some(_) => {
                let value = tree.scalar_i64("simulation/tSample");
                let value = value.map_err(|e| at.malformed(e.to_string()))?;
                Some(usize::try_from(value).ok().filter(|&t| t > 0).ok_or_else(|| {
                    at.malformed(format!("tSample must be positive, not {value}"))
                })?)
            }
            None => None,
        };
    Ok(Net { layers, timesteps })
}

/// Where in a file something is wrong.
pub(super) struct Place {
    /// The file.
    pub file: String,
    /// Path within it.
    pub place: String,
}

impl Place {
    /// What is there is not what the format asks for.
    pub fn malformed(&self, reason: impl Into<String>) -> ReadError {
        ReadError::Malformed {
            file: self.file.clone(),
            place: self.place.clone(),
            reason: reason.into(),
        }
    }

    /// What is there is legal, but not read.
    pub fn unsupported(&self, what: impl Into<String>) -> ReadError {
        ReadError::Unsupported {
            file: self.file.clone(),
            place: self.place.clone(),
            what: what.into(),
        }
    }
}

struct Reader<'a> {
    group: &'a Hdf5Tree,
    at: &'a Place,
}

impl Reader<'_> {
    fn layer(&self) -> Result<Layer, ReadError> {
        match self.text("type")?.as_str() {
            "input" => self.input(),
            "dense" if self.has("weight/imag") => Err(self.at.unsupported("a complex dense layer")),
            kind @ ("dense" | "dense_rec") => self.dense(kind == "dense_rec").map(Layer::Dense),
            "conv" => self.conv().map(Layer::Conv),
            "flatten" => Ok(Layer::Flatten),
            other => Err(self.at.unsupported(format!("a layer of type `{other}`"))),
        }
    }

    fn input(&self) -> Result<Layer, ReadError> {
        let real = |path: &str, default: f64| match self.has(path) {
            false => Ok(default),
            true => match self.reals(path)?.as_slice() {
                [value] => Ok(*value),
                other => Err(self.at.malformed(format!("{path} has {} values", other.len()))),
            },
        };
        let neuron = match self.has("neuron") {
            false => None,
            true => {
                let host = HostEncoding {
                    weight: real("weight", DEFAULT_INPUT_WEIGHT)?,
                    bias: real("bias", 0.0)?,
                };
                Some((self.neurons()?, host))
            }
        };
        Ok(Layer::Input { shape: self.sizes("shape")?, neuron })
    }

    fn dense(&self, recurrent: bool) -> Result<Dense, ReadError> {
        let shape = self.sizes("shape")?;
        let targets = self.product(&shape)?;
        let (_, weights) = self.integers("weight")?;
        if targets == 0 || weights.is_empty() || weights.len() % targets != 0 {
            let count = weights.len();
            return Err(self.at.malformed(format!("{count} weights for {targets} neurons")));
        }
        let sources = weights.len() / targets;
        let recurrent = match recurrent {
            false => None,
            true => {
                let (_, r) = self.integers("weight_rec")?;
                if Some(r.len()) != targets.checked_mul(targets) {
                    let count = r.len();
                    return Err(self
                        .at
                        .malformed(format!("{count} recurrent weights among {targets} neurons")));
                }
                Some(r)
            }
        };
        let bias = self.optional("bias")?;
        if !matches!(bias.len(), 0 | 1) && bias.len() != targets {
            return Err(self.at.malformed(format!("{} biases for {targets} neurons", bias.len())));
        }
        let delays = self.delays(targets, sources)?;
        let neuron = if self.has("neuron") { Some(self.neurons()?) } else { None };
        Ok(Dense { shape, sources, weights, recurrent, bias, delays, neuron })
    }

    /// One delay for each weight. A vector as long as the targets belongs to the targets, even
    /// where there are as many sources.
    fn delays(&self, targets: usize, sources: usize) -> Result<Vec<u16>, ReadError> {
        if !self.has("delay") {
            return Ok(Vec::new());
        }
        let (shape, values) = self.integers("delay")?;
        let each: Vec<i64> = match shape.as_slice() {
            _ if values.len() == 1 => vec![values[0]; targets * sources],
            &[n] if n == targets => {
                values.iter().flat_map(|&v| std::iter::repeat_n(v, sources)).collect()
            }
            &[n] if n == sources => (0..targets).flat_map(|_| values.iter().copied()).collect(),
            &[t, s] if (t, s) == (targets, sources) => values,
            other => {
                return Err(self.at.malformed(format!(
                    "delays of shape {other:?} for {targets} neurons of {sources} sources"
                )));
            }
        };
        if let Some(bad) = each.iter().find(|&&d| d < 0) {
            return Err(self.at.malformed(format!("a delay of {bad} timesteps")));
        }
        // NetX warns and clips.
        Ok(each.into_iter().map(|d| d.min(super::net::DELAY_LIMIT) as u16).collect())
    }

    fn conv(&self) -> Result<Conv, ReadError> {
        let (shape, weights) = self.integers("weight")?;
        let weight_shape = match *shape.as_slice() {
            [o, i, h, w] | [o, i, h, w, 1] if o * i * h * w > 0 => [o, i, h, w],
            _ => {
                return Err(self.at.malformed(format!(
                    "convolution weights of shape {shape:?}, not (targets, sources, height, width)"
                )));
            }
        };
        let out = self.sizes("shape")?;
        let &[c, h, w] = out.as_slice() else {
            return Err(self.at.malformed(format!("a convolution of shape {out:?}")));
        };
        let groups = self.scalar("groups")?;
        Ok(Conv {
            shape: [c, h, w],
            weight_shape,
            weights,
            bias: self.optional("bias")?,
            stride: self.pair("stride", 1)?,
            padding: self.pair("padding", 0)?,
            dilation: self.pair("dilation", 1)?,
            groups: usize::try_from(groups)
                .ok()
                .filter(|&g| g > 0)
                .ok_or_else(|| self.at.malformed(format!("{groups} groups")))?,
            neuron: self.neurons()?,
        })
    }

    fn neurons(&self) -> Result<Neurons, ReadError> {
        let kind = self.text("neuron/type")?;
        match kind.as_str() {
            "CUBA" | "LOIHI" => {
                let within = |key: &str, limit: i64| {
                    let value = self.scalar(&format!("neuron/{key}"))?;
                    if (0..=limit).contains(&value) {
                        Ok(value)
                    } else {
                        Err(self.at.malformed(format!("{key} is {value}, not in 0..={limit}")))
                    }
                };
                Ok(Neurons::CurrentBased {
                    current_decay: within("iDecay", super::net::DECAY_ONE)?,
                    voltage_decay: within("vDecay", super::net::DECAY_ONE)?,
                    threshold: within("vThMant", i64::from(i32::MAX) >> 6)?,
                })
            }
            "SDNN" => {
                let threshold = self.scalar("neuron/vThMant")?;
                // The threshold is shifted by 12 in 32 bits.
                if !(0..1 << 19).contains(&threshold) {
                    return Err(self.at.malformed(format!("vThMant is {threshold}")));
                }
                Ok(Neurons::SigmaDelta { threshold, output: self.has("neuron/sigma_output") })
            }
            other => Err(self.at.unsupported(format!("a neuron of type `{other}`"))),
        }
    }

    fn has(&self, path: &str) -> bool {
        self.group.get(path).is_some()
    }

    fn text(&self, path: &str) -> Result<String, ReadError> {
        let text = self.group.text(path).map_err(|e| self.at.malformed(e.to_string()))?;
        Ok(text.trim_end_matches('\0').to_owned())
    }

    /// Integers as NetX makes them of any numbers, cutting fractions off.
    fn integers(&self, path: &str) -> Result<(Vec<usize>, Vec<i64>), ReadError> {
        let fault = |e: Hdf5Error| self.at.malformed(e.to_string());
        let array = self.group.array(path).map_err(fault)?;
        let values = match array.dtype {
            NpyType::F16 | NpyType::F32 | NpyType::F64 => {
                let reals = self.reals(path)?;
                reals.into_iter().map(|x| x.trunc() as i64).collect()
            }
            _ => self.group.i64s(path).map_err(fault)?,
        };
        // 32 bits hold every legal value, and sums of them do not overflow.
        if let Some(bad) = values.iter().find(|v| i32::try_from(**v).is_err()) {
            return Err(self.at.malformed(format!("{path} holds {bad}")));
        }
        Ok((array.shape.clone(), values))
    }

    fn reals(&self, path: &str) -> Result<Vec<f64>, ReadError> {
        let values = self.group.f32s(path).map_err(|e| self.at.malformed(e.to_string()))?;
        if let Some(bad) = values.iter().find(|v| !v.is_finite()) {
            return Err(self.at.malformed(format!("{path} holds {bad}")));
        }
        Ok(values.into_iter().map(f64::from).collect())
    }

    fn optional(&self, path: &str) -> Result<Vec<i64>, ReadError> {
        if self.has(path) { Ok(self.integers(path)?.1) } else { Ok(Vec::new()) }
    }

    fn scalar(&self, path: &str) -> Result<i64, ReadError> {
        match self.integers(path)?.1.as_slice() {
            [value] => Ok(*value),
            other => Err(self.at.malformed(format!("{path} has {} values, not one", other.len()))),
        }
    }

    fn sizes(&self, path: &str) -> Result<Vec<usize>, ReadError> {
        let (_, values) = self.integers(path)?;
        values
            .iter()
            .map(|&v| usize::try_from(v).ok())
            .collect::<Option<Vec<usize>>>()
            .filter(|s| !s.is_empty())
            .ok_or_else(|| self.at.malformed(format!("{path} is {values:?}")))
    }

    /// A number for both directions, or (H, W).
    fn pair(&self, path: &str, minimum: usize) -> Result<[usize; 2], ReadError> {
        let values = self.sizes(path)?;
        match *values.as_slice() {
            [both] if both >= minimum => Ok([both, both]),
            [h, w] if h >= minimum && w >= minimum => Ok([h, w]),
            _ => Err(self.at.malformed(format!("{path} is {values:?}"))),
        }
    }

    fn product(&self, shape: &[usize]) -> Result<usize, ReadError> {
        shape
            .iter()
            .try_fold(1usize, |n, &d| n.checked_mul(d))
            .ok_or_else(|| self.at.malformed(format!("a shape of {shape:?}")))
    }
}
