//! Operators with sliding windows.

use onnx_protobuf::AttributeProto;
use snnc_ir::{NodeId, Pool, PoolKind, TensorOp, Window};

use super::{Refused, Value, Writer, integer, integers};

fn geometry(window: &Window) -> Vec<AttributeProto> {
    let list = |name: &str, values: &[usize]| integers(name, values.iter().map(|&v| v as i64));
    let pads: Vec<usize> = window.before.iter().chain(&window.after).copied().collect();
    let mut all = vec![
        list("kernel_shape", &window.kernel),
        list("strides", &window.strides),
        list("pads", &pads),
    ];
    // Kernels on codes to which ONNX Runtime brings poolings do not know dilations.
    if window.dilations.iter().any(|&d| d != 1) {
        all.push(list("dilations", &window.dilations));
    }
    all
}

impl Writer<'_> {
    /// A layer with weights: its value is that of its accumulators.
    pub(super) fn layer(&mut self, id: NodeId, op: &TensorOp) -> Result<Value, Refused> {
        let name = self.graph[id].name.clone();
        let sources = self.sources(id);
        self.check_units(id, &sources)?;
        let inputs: Vec<String> =
            sources.iter().map(|&s| self.real(s)).collect::<Result<_, _>>()?;
        let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
        let (kind, attributes) = match op {
            TensorOp::Convolution { window, groups } => {
                ("Conv", [geometry(window), vec![integer("group", *groups as i64)]].concat())
            }
            TensorOp::TransposedConvolution { window, groups } => (
                "ConvTranspose",
                [geometry(window), vec![integer("group", *groups as i64)]].concat(),
            ),
            TensorOp::Dense => ("Gemm", vec![integer("transB", 1)]),
            _ => ("MatMul", Vec::new()),
        };
        Ok(Value::Plain(self.add(kind, &inputs, attributes, &name)))
    }

    /// That the unit of an accumulator is the product of those of its operands, as it is of reals.
    fn check_units(&self, id: NodeId, sources: &[NodeId]) -> Result<(), Refused> {
        let unit = |id: NodeId| self.graph[id].ty.quantisation.as_ref();
        let (Some(own), Some(x), Some(w)) = (unit(id), unit(sources[0]), unit(sources[1])) else {
            return Ok(());
        };
        let channels = own.scale.len().max(w.scale.len());
        let same = |c: usize| x.scale_at(0) * w.scale_at(c) == own.scale_at(c);
        match x.scale.len() == 1 && (0..channels).all(same) {
            true => Ok(()),
            false => self.refuse(id, "takes channels of different scales as one accumulator"),
        }
    }

    /// A pooling. Sums of codes are means of reals.
    pub(super) fn pool(&mut self, id: NodeId, pool: &Pool) -> Result<Value, Refused> {
        let (name, source) = (self.graph[id].name.clone(), self.sources(id)[0]);
        let (map, outputs) = (&self.graph[source].ty.shape, &self.graph[id].ty.shape);
        let mut attributes = geometry(&pool.window);
        if let (Some(map), Some(outputs)) = (map.get(2..), outputs.get(2..))
            && more_than_fit(&pool.window, map, outputs)
        {
            attributes.push(integer("ceil_mode", 1));
        }
        if pool.kind == PoolKind::Max {
            let value = self.value(source)?;
            let (Value::Codes(x) | Value::Plain(x)) = &value;
            let pooled = self.add("MaxPool", &[x], attributes, &name);
            return Ok(match value {
                Value::Codes(_) => Value::Codes(pooled),
                Value::Plain(_) => Value::Plain(pooled),
            });
        }
        let cells = pool.window.kernel.iter().product::<usize>();
        let (padding, divisor) = match pool.kind {
            PoolKind::Sum => (true, Some(cells)),
            PoolKind::EvenSum { padding } => {
                let common = pool
                    .common(map.get(2..).unwrap_or_default(), outputs.get(2..).unwrap_or_default());
                (padding, common)
            }
            kind => (kind == PoolKind::AverageWithPadding, None),
        };
        let factor = match (divisor, self.units(source), self.units(id)) {
            (Some(divisor), Some(unit), Some(own)) => own * divisor as f32 / unit,
            _ => 1.0,
        };
        attributes.push(integer("count_include_pad", i64::from(padding)));
        let real = self.real(source)?;
        if (factor - 1.0).abs() < 1e-6 {
            return Ok(Value::Plain(self.add("AveragePool", &[&real], attributes, &name)));
        }
        let mean = self.add("AveragePool", &[&real], attributes, &format!("{name}.mean"));
        let factor = self.reals(&format!("{name}.factor"), &[], &[factor]);
        Ok(Value::Plain(self.add("Mul", &[&mean, &factor], Vec::new(), &name)))
    }

    /// What one unit of a node's value stands for, if it is the same for all.
    fn units(&self, id: NodeId) -> Option<f32> {
        let q = self.graph[id].ty.quantisation.as_ref()?;
        (q.scale.len() == 1).then(|| q.scale_at(0))
    }
}

/// Whether there are more windows along a dimension than fit into the map with its padding.
fn more_than_fit(window: &Window, map: &[usize], outputs: &[usize]) -> bool {
    (0..window.rank()).any(|d| {
        let reach = window.dilations[d] * (window.kernel[d] - 1) + 1;
        let room = map[d] + window.before[d] + window.after[d];
        outputs[d] > room.saturating_sub(reach) / window.strides[d] + 1
    })
}
