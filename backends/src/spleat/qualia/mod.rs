//! The bundle for Qualia-Bench: the public way onto SPLEAT hardware.
//!
//! Qualia (LEAT) takes a TOML configuration and a PyTorch state dictionary of its SCNN template:
//! convolutions with an optional pool, then dense layers, one kind of binary neuron with threshold 1
//! and soft reset, and a last dense layer without neurons. Each channel's weights and bias are
//! divided by its threshold. A multi-level neuron of one timestep becomes a binary one of N
//! timesteps, whose input is repeated and shared out; initial potentials become part of the bias,
//! for Qualia's neurons start at 0; pools take the maximum of each timestep. These are approximations;
//! the image beside the bundle is exact. Uploading needs an account, and was not tried.

mod pickle;

use std::fmt::Write as _;

use snnc_ir::{Encoder, Schedule};

use self::pickle::{Parameter, state_dict};
use super::layer::{Kind, Layer};
use super::manifest::Manifest;
use crate::File;

/// The blocks of the template.
#[derive(Debug, Default)]
struct Template {
    filters: Vec<usize>,
    kernels: Vec<usize>,
    strides: Vec<usize>,
    paddings: Vec<usize>,
    pools: Vec<usize>,
    units: Vec<usize>,
    classes: usize,
    /// Neuron of all layers.
    neuron: Option<Kind>,
    timesteps: usize,
    parameters: Vec<Parameter>,
}

/// `qualia/config.toml` and the state dictionary beside it.
///
/// # Errors
/// Why the network is outside the SCNN template.
pub fn bundle(manifest: &Manifest, layers: &[Layer]) -> Result<Vec<File>, String> {
    let [input] = manifest.inputs.as_slice() else {
        return Err("the template has one input".into());
    };
    if manifest.timing.schedule != Schedule::Streaming {
        return Err("the template has no barriers between layers".into());
    }
    let mut template = Template { timesteps: timesteps(manifest, layers)?, ..Template::default() };
    let mut before = input.name.as_str();
    for (layer, entry) in layers.iter().zip(&manifest.layers) {
        let name = &layer.name;
        let (1, [port]) = (layer.ports.len(), entry.ports.as_slice()) else {
            return Err(format!("`{name}` adds branches"));
        };
        if port.source != before {
            return Err(format!("`{name}` does not follow `{before}`"));
        }
        template.layer(layer, &input.encoder, before == input.name)?;
        before = name;
    }
    if template.classes == 0 {
        return Err("the last layer is no dense read-out".into());
    }
    let name = file_name(&manifest.name);
    let parameters = state_dict(&template.parameters)?;
    Ok(vec![
        File::new("qualia/config.toml", template.toml(&name, &input.shape)),
        File::new(format!("qualia/out/learningmodel/{name}_r1.pth"), parameters),
    ])
}

/// Timesteps in which binary neurons send what these send.
fn timesteps(manifest: &Manifest, layers: &[Layer]) -> Result<usize, String> {
    let fires = |l: &&Layer| l.neuron.kind != Kind::Accumulate && !l.neuron.kind.is_maximum();
    let firing = layers.iter().filter(fires);
    let mut most: Vec<i64> = firing.map(|l| l.neuron.maximum).collect();
    most.dedup();
    match most.as_slice() {
        [] | [1] => Ok(manifest.timing.timesteps),
        [n] if manifest.timing.timesteps == 1 => {
            usize::try_from(*n).map_err(|_| format!("payloads up to {n}"))
        }
        _ => Err("the template has one number of levels for all neurons".into()),
    }
}

fn file_name(name: &str) -> String {
    let plain: String =
        name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    if plain.is_empty() { "network".into() } else { plain }
}

impl Template {
    fn layer(&mut self, layer: &Layer, encoder: &Encoder, first: bool) -> Result<(), String> {
        let name = &layer.name;
        let geometry = &layer.ports[0].geometry;
        // One-dimensional maps have one row, whose window says nothing.
        let one_row = geometry.source.h == 1 && geometry.kernel[0] == 1;
        let alike = |pair: [usize; 2]| {
            if one_row || pair[0] == pair[1] {
                Ok(pair[1])
            } else {
                Err(format!("`{name}` has a window that is not square"))
            }
        };
        let (kernel, stride) = (alike(geometry.kernel)?, alike(geometry.strides)?);
        if layer.neuron.kind.is_maximum() {
            let plain = geometry.before == [0, 0] && geometry.dilations == [1, 1];
            let Some(pool) =
                self.pools.last_mut().filter(|p| **p == 0 && plain && kernel == stride)
            else {
                return Err(format!("`{name}` is no plain pool behind a convolution"));
            };
            *pool = kernel;
            return Ok(());
        }
        if self.classes > 0 {
            return Err(format!("`{name}` follows the read-out"));
        }
        self.parameters(layer, encoder, first)?;
        if geometry.dense {
            match layer.neuron.kind {
                Kind::Accumulate => self.classes = layer.target.c,
                _ => self.units.push(layer.target.c),
            }
            return Ok(());
        }
        let padding = alike(geometry.before)?;
        let fits = |axis: usize, cells: usize, places: usize| {
            (cells + 2 * padding).checked_sub(kernel).map(|room| room / stride + 1) == Some(places)
                || one_row && axis == 0
        };
        let symmetric = fits(0, geometry.source.h, geometry.target.h)
            && fits(1, geometry.source.w, geometry.target.w);
        let plain = geometry.groups == 1 && geometry.dilations == [1, 1] && symmetric;
        if !plain || !self.units.is_empty() || layer.neuron.kind == Kind::Accumulate {
            return Err(format!("`{name}` is no plain convolution before the dense layers"));
        }
        self.filters.push(layer.target.c);
        self.kernels.push(kernel);
        self.strides.push(stride);
        self.paddings.push(padding);
        self.pools.push(0);
        Ok(())
    }

    /// Weights and bias in units of the threshold.
    fn parameters(&mut self, layer: &Layer, encoder: &Encoder, first: bool) -> Result<(), String> {
        let (name, neuron, steps) = (&layer.name, &layer.neuron, self.timesteps as f64);
        let reads = neuron.kind == Kind::Accumulate;
        let in_time = neuron.threshold.iter().any(|row| row.len() > 1);
        if in_time
            || neuron.reset.is_some()
            || neuron.decode.is_some()
            || neuron.hard_reset.is_some()
        {
            return Err(format!("`{name}` resets otherwise than by a constant threshold"));
        }
        if !reads && *self.neuron.get_or_insert(neuron.kind) != neuron.kind {
            return Err(format!("`{name}` has other neurons than the layers before"));
        }
        if let Kind::LeakyAveraging { shift, kept } = neuron.kind
            && kept != (1 << shift) - 1
        {
            return Err(format!("`{name}` leaks by no power of two"));
        }
        let geometry = &layer.ports[0].geometry;
        let each = geometry.weights_per_channel().max(1);
        // Qualia feeds real numbers, as often as there are timesteps.
        let input = if first { steps * f64::from(encoder.scale) } else { 1.0 };
        let unit = |c: usize| if reads { 1.0 } else { neuron.threshold[c][0] as f64 };
        let weights = layer.ports[0].weights.iter().enumerate();
        let weights = weights.map(|(i, &w)| (w as f64 / unit(i / each) / input) as f32).collect();
        let bias = (0..layer.target.c).map(|c| {
            let shared = (layer.bias[c] + layer.initial[c]) as f64 / steps;
            (shared / unit(c)) as f32
        });
        let rank = if geometry.source.h == 1 && geometry.kernel[0] == 1 { 2 } else { 3 };
        let (kind, number) = match geometry.dense {
            true => ("fc", self.units.len() + 1),
            false => ("conv", self.filters.len() + 1),
        };
        let of = |part: &str, shape, values| Parameter {
            name: format!("layers.{kind}{number}.{part}"),
            shape,
            values,
        };
        self.parameters.push(of("weight", geometry.weight_shape(rank), weights));
        self.parameters.push(of("bias", vec![layer.target.c], bias.collect()));
        Ok(())
    }

    fn toml(&self, name: &str, shape: &[usize]) -> String {
        let (kind, more) = match self.neuron {
            Some(Kind::LeakyAveraging { shift, .. }) => (
                "LIFNode",
                format!(
                    "params.neuron.params.tau = {}.0\nparams.neuron.params.decay_input = true\n",
                    1u64 << shift.min(62)
                ),
            ),
            Some(Kind::LeakySubtracting { shift }) => (
                "LIFNode",
                format!(
                    "params.neuron.params.tau = {}.0\nparams.neuron.params.decay_input = false\n",
                    1u64 << shift.min(62)
                ),
            ),
            _ => ("IFNode", String::new()),
        };
        // Channels last, as Qualia has its input.
        let mut last = shape.to_vec();
        last.rotate_left(1);
        let dims = last.len().saturating_sub(1).clamp(1, 2);
        let dropouts = vec![0; self.filters.len() + self.units.len()];
        let mut out = format!(
            "# For Qualia-Bench. Fill in the section [dataset]; the state dictionary is at\n\
             # out/learningmodel/{name}_r1.pth. Weights are in units of the threshold.\n\
             [bench]\nname = \"{name}\"\nseed = 2\nfirst_run = 1\nlast_run = 1\nplugins = ['qualia_plugin_snn']\n\n\
             [learningframework]\nkind = 'SpikingJellyMultiStep'\n\n\
             [deploy]\ntarget = 'Linux'\nconverter.kind = 'QualiaCodeGen'\n\
             converter.params.timestep_mode = 'duplicate'\nquantize = ['int16']\noptimize = ['']\n\n\
             [dataset]\nkind = ''\n\n\
             [model_template]\nkind = 'SCNN'\nepochs = 0\nbatch_size = 32\n\
             params.input_shape = {last:?}\nparams.output_shape = [{classes}]\nload = true\ntrain = false\nevaluate = false\n\n\
             [[model]]\nname = \"{name}\"\nparams.dims = {dims}\n",
            classes = self.classes,
        );
        for (key, values) in [
            ("filters", &self.filters),
            ("kernel_sizes", &self.kernels),
            ("paddings", &self.paddings),
            ("strides", &self.strides),
            ("pool_sizes", &self.pools),
            ("dropouts", &dropouts),
            ("fc_units", &self.units),
        ] {
            let _ = writeln!(out, "params.{key} = {values:?}");
        }
        let _ = write!(
            out,
            "params.timesteps = {}\nparams.gsp = false\nparams.batch_norm = false\n\
             params.neuron.kind = '{kind}'\nparams.neuron.params.v_threshold = 1.0\n\
             params.neuron.params.v_reset = false\n{more}params.neuron.params.step_mode = 'm'\ndisabled = false\n",
            self.timesteps
        );
        out
    }
}
