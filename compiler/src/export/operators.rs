//! Operators one by one.

use onnx_protobuf::AttributeProto;
use snnc_ir::{Binary, DType, NodeId, TensorOp, Unary};

use super::{Refused, Value, Writer, element, float, integer, text};

impl Writer<'_> {
    /// An operator that is no input, constant or output.
    pub(super) fn operator(&mut self, id: NodeId, op: &TensorOp) -> Result<Value, Refused> {
        let graph = self.graph;
        let name = graph[id].name.clone();
        let quantisation = graph[id].ty.quantisation.as_ref();
        match op {
            TensorOp::Quantise(q) => {
                let real = self.real(self.sources(id)[0])?;
                self.quantised(id, &real, q)
            }
            TensorOp::Requantise | TensorOp::RequantiseSum => {
                let Some(q) = quantisation else { return self.refuse(id, "has no scale") };
                let real = self.sum(id)?;
                self.quantised(id, &real, q)
            }
            TensorOp::Dequantise(q) => {
                let source = self.sources(id)[0];
                match self.value(source)? {
                    Value::Codes(codes) => {
                        let dtype = graph[source].ty.dtype;
                        Ok(Value::Plain(self.real_of(id, &codes, dtype, q, &name)?))
                    }
                    plain => Ok(plain),
                }
            }
            TensorOp::Lookup { minimum, table } => self.lookup(id, *minimum, table),
            TensorOp::Threshold(thresholds) => self.thresholds(id, thresholds),
            TensorOp::Convolution { .. }
            | TensorOp::TransposedConvolution { .. }
            | TensorOp::Dense
            | TensorOp::MatrixProduct => self.layer(id, op),
            TensorOp::Pool(pool) => self.pool(id, pool),
            TensorOp::Unary(unary) => self.unary(id, *unary),
            TensorOp::Binary(binary) => self.binary(id, *binary),
            TensorOp::Clip { minimum, maximum } => {
                let real = self.real(self.sources(id)[0])?;
                let mut bound = |which: &str, value: &Option<f64>| match value {
                    Some(v) => self.reals(&format!("{name}.{which}"), &[], &[*v as f32]),
                    None => String::new(),
                };
                let (low, high) = (bound("minimum", minimum), bound("maximum", maximum));
                Ok(Value::Plain(self.add("Clip", &[&real, &low, &high], Vec::new(), &name)))
            }
            TensorOp::BatchNormalisation { epsilon } => {
                self.of_reals(id, "BatchNormalization", vec![float("epsilon", *epsilon)])
            }
            TensorOp::Softmax { axis } => {
                self.of_reals(id, "Softmax", vec![integer("axis", *axis as i64)])
            }
            TensorOp::ArgMax { axis } => {
                let keep = graph[id].ty.shape.len() == graph[self.sources(id)[0]].ty.shape.len();
                let attributes =
                    vec![integer("axis", *axis as i64), integer("keepdims", i64::from(keep))];
                self.of_reals(id, "ArgMax", attributes)
            }
            TensorOp::Reduce { axes, mean } => {
                let keep = graph[id].ty.shape.len() == graph[self.sources(id)[0]].ty.shape.len();
                let real = self.real(self.sources(id)[0])?;
                let axes = self.axes(&name, axes);
                let kind = if *mean { "ReduceMean" } else { "ReduceSum" };
                let keep = vec![integer("keepdims", i64::from(keep))];
                Ok(Value::Plain(self.add(kind, &[&real, &axes], keep, &name)))
            }
            TensorOp::Cast => {
                let real = self.real(self.sources(id)[0])?;
                let to = integer("to", element(graph[id].ty.dtype) as i64);
                Ok(Value::Plain(self.add("Cast", &[&real], vec![to], &name)))
            }
            TensorOp::Select => self.of_reals(id, "Where", Vec::new()),
            _ => self.movement(id, op),
        }
    }

    /// The sum of the reals of all operands, one after the other.
    fn sum(&mut self, id: NodeId) -> Result<String, Refused> {
        let name = format!("{}.sum", self.graph[id].name);
        let mut sum: Option<String> = None;
        for source in self.sources(id) {
            let real = self.real(source)?;
            sum = Some(match sum {
                None => real,
                Some(before) => self.add("Add", &[&before, &real], Vec::new(), &name),
            });
        }
        sum.map_or_else(|| self.refuse(id, "has no operand"), Ok)
    }

    /// A float32 operator that ONNX has too.
    fn of_reals(
        &mut self,
        id: NodeId,
        kind: &str,
        attributes: Vec<AttributeProto>,
    ) -> Result<Value, Refused> {
        let name = self.graph[id].name.clone();
        let sources = self.sources(id);
        let inputs: Vec<String> =
            sources.into_iter().map(|s| self.real(s)).collect::<Result<_, _>>()?;
        let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
        Ok(Value::Plain(self.add(kind, &inputs, attributes, &name)))
    }

    fn unary(&mut self, id: NodeId, unary: Unary) -> Result<Value, Refused> {
        let (kind, attributes) = match unary {
            Unary::Relu => ("Relu", Vec::new()),
            Unary::LeakyRelu { alpha } => ("LeakyRelu", vec![float("alpha", alpha)]),
            Unary::HardSigmoid { alpha, beta } => {
                ("HardSigmoid", vec![float("alpha", alpha), float("beta", beta)])
            }
            Unary::HardSwish => ("HardSwish", Vec::new()),
            Unary::Sigmoid => ("Sigmoid", Vec::new()),
            Unary::Tanh => ("Tanh", Vec::new()),
            Unary::Softplus => ("Softplus", Vec::new()),
            Unary::Erf => ("Erf", Vec::new()),
            Unary::Exp => ("Exp", Vec::new()),
            Unary::Log => ("Log", Vec::new()),
            Unary::Sqrt => ("Sqrt", Vec::new()),
            Unary::Reciprocal => ("Reciprocal", Vec::new()),
            Unary::Neg => ("Neg", Vec::new()),
            Unary::Abs => ("Abs", Vec::new()),
            Unary::Sign => ("Sign", Vec::new()),
            Unary::Floor => ("Floor", Vec::new()),
            Unary::Ceil => ("Ceil", Vec::new()),
            Unary::Round => ("Round", Vec::new()),
            Unary::Not => ("Not", Vec::new()),
            Unary::Swish => {
                let name = self.graph[id].name.clone();
                let real = self.real(self.sources(id)[0])?;
                let gate = self.add("Sigmoid", &[&real], Vec::new(), &format!("{name}.gate"));
                return Ok(Value::Plain(self.add("Mul", &[&real, &gate], Vec::new(), &name)));
            }
        };
        self.of_reals(id, kind, attributes)
    }

    fn binary(&mut self, id: NodeId, binary: Binary) -> Result<Value, Refused> {
        let kind = match binary {
            Binary::Add => "Add",
            Binary::Sub => "Sub",
            Binary::Mul => "Mul",
            Binary::Div => "Div",
            Binary::Pow => "Pow",
            Binary::Min => "Min",
            Binary::Max => "Max",
            Binary::Slope => "PRelu",
            Binary::Equal => "Equal",
            Binary::Greater => "Greater",
            Binary::GreaterOrEqual => "GreaterOrEqual",
            Binary::Less => "Less",
            Binary::LessOrEqual => "LessOrEqual",
            Binary::And => "And",
            Binary::Or => "Or",
        };
        self.of_reals(id, kind, Vec::new())
    }

    /// An operator that moves elements, codes as well as reals.
    fn movement(&mut self, id: NodeId, op: &TensorOp) -> Result<Value, Refused> {
        let graph = self.graph;
        let name = graph[id].name.clone();
        let sources = self.sources(id);
        let values: Vec<Value> =
            sources.iter().map(|&s| self.value(s)).collect::<Result<_, _>>()?;
        // What is moved together is codes of one scale, or else reals.
        let scale = |s: &NodeId| graph[*s].ty.quantisation.as_ref();
        let moved =
            if matches!(op, TensorOp::Gather { .. }) { &sources[..1] } else { &sources[..] };
        let codes = values.iter().take(moved.len()).all(|v| matches!(v, Value::Codes(_)))
            && moved
                .iter()
                .all(|s| scale(s) == graph[id].ty.quantisation.as_ref() || moved.len() == 1);
        let mut inputs = Vec::with_capacity(sources.len());
        for (&source, value) in sources.iter().zip(values) {
            inputs.push(match value {
                Value::Codes(name) if codes => name,
                _ => self.real(source)?,
            });
        }
        let first = inputs[0].clone();
        let numbers = |values: &[isize]| values.iter().map(|&v| v as i64).collect::<Vec<_>>();
        let done = match op {
            TensorOp::Reshape => {
                let shape = self.shape(id);
                self.add("Reshape", &[&first, &shape], Vec::new(), &name)
            }
            TensorOp::Expand => {
                let shape = self.shape(id);
                self.add("Expand", &[&first, &shape], Vec::new(), &name)
            }
            TensorOp::Transpose { permutation } => {
                self.add("Transpose", &[&first], vec![Self::permutation(permutation)], &name)
            }
            TensorOp::Concatenate { axis } => {
                let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
                self.add("Concat", &inputs, vec![integer("axis", *axis as i64)], &name)
            }
            TensorOp::Gather { axis } => {
                let axis = vec![integer("axis", *axis as i64)];
                self.add("Gather", &[&first, &inputs[1]], axis, &name)
            }
            TensorOp::Pad { before, after, value } => {
                let pads = [numbers(before), numbers(after)].concat();
                let pads = self.numbers(&format!("{name}.pads"), DType::I64, &[pads.len()], &pads);
                let dtype = graph[id].ty.dtype;
                let value = match codes {
                    true => self.numbers(&format!("{name}.value"), dtype, &[], &[*value as i64]),
                    false if graph[id].ty.quantisation.is_none() => {
                        self.reals(&format!("{name}.value"), &[], &[*value as f32])
                    }
                    false => return self.refuse(id, "pads sums"),
                };
                self.add("Pad", &[&first, &pads, &value], vec![text("mode", "constant")], &name)
            }
            TensorOp::Slice { start, step } => {
                let shape = graph[id].ty.shape.clone();
                let ends: Vec<i64> = (0..shape.len())
                    .map(|d| {
                        let end = start[d] as i64 + step[d] as i64 * shape[d] as i64;
                        // Before the first element: -1 would be the last.
                        if end < 0 { i64::MIN / 2 } else { end }
                    })
                    .collect();
                let starts: Vec<i64> = start.iter().map(|&s| s as i64).collect();
                let axes: Vec<usize> = (0..shape.len()).collect();
                let mut list = |what: &str, values: &[i64]| {
                    self.numbers(&format!("{name}.{what}"), DType::I64, &[values.len()], values)
                };
                let (starts, ends, steps) =
                    (list("starts", &starts), list("ends", &ends), list("steps", &numbers(step)));
                let axes = self.axes(&name, &axes);
                self.add("Slice", &[&first, &starts, &ends, &axes, &steps], Vec::new(), &name)
            }
            TensorOp::Upsample { factors } => {
                let scales: Vec<f32> = factors.iter().map(|&f| f as f32).collect();
                let scales = self.reals(&format!("{name}.scales"), &[scales.len()], &scales);
                let attributes = vec![
                    text("mode", "nearest"),
                    text("coordinate_transformation_mode", "asymmetric"),
                    text("nearest_mode", "floor"),
                ];
                self.add("Resize", &[&first, "", &scales], attributes, &name)
            }
            other => return self.refuse(id, format!("has no form: {other:?}")),
        };
        Ok(if codes { Value::Codes(done) } else { Value::Plain(done) })
    }
}
