//! Between reals and codes.

use snnc_ir::{DType, NodeId, PerChannel, Quantisation, Rounding, ThresholdRows, Thresholds};

use super::{Refused, Value, Writer, element, integer, integers};

/// A quantisation's parameters as constants: scale, and zero point unless all are 0 in 32 bits.
struct Parameters {
    scale: String,
    zero: String,
    axis: Option<i64>,
}

/// Values along an axis as a constant that is broadcast to `rank` dimensions.
fn along(axis: Option<usize>, rank: usize, count: usize) -> Vec<usize> {
    match axis {
        Some(axis) if count > 1 => (0..rank).map(|d| if d == axis { count } else { 1 }).collect(),
        _ => Vec::new(),
    }
}

impl Writer<'_> {
    fn parameters(&mut self, name: &str, dtype: DType, q: &Quantisation) -> Parameters {
        let count = q.scale.len().max(q.zero_point.len());
        let axis = q.axis.filter(|_| count > 1);
        let shape: Vec<usize> = axis.map(|_| count).into_iter().collect();
        let count = if axis.is_some() { count } else { 1 };
        let scale: Vec<f32> = (0..count).map(|i| q.scale_at(i)).collect();
        let zero: Vec<i64> = (0..count).map(|i| q.zero_at(i)).collect();
        Parameters {
            scale: self.reals(&format!("{name}.scale"), &shape, &scale),
            zero: self.numbers(&format!("{name}.zero_point"), dtype, &shape, &zero),
            axis: axis.map(|axis| axis as i64),
        }
    }

    /// The codes of a node as reals.
    pub(super) fn dequantised(&mut self, id: NodeId, codes: &str) -> Result<String, Refused> {
        let node = &self.graph[id];
        let Some(q) = &node.ty.quantisation else { return self.refuse(id, "has codes alone") };
        let name = format!("{}.real", node.name);
        self.real_of(id, codes, node.ty.dtype, &q.clone(), &name)
    }

    /// Dequantises codes of `dtype` by `q`, with names after node `id`.
    pub(super) fn real_of(
        &mut self,
        id: NodeId,
        codes: &str,
        dtype: DType,
        q: &Quantisation,
        name: &str,
    ) -> Result<String, Refused> {
        let Parameters { scale, zero, axis } = self.parameters(name, dtype, q);
        let attributes = axis.map(|axis| integer("axis", axis)).into_iter().collect();
        match element(dtype) as i32 {
            // 8, 16 and 32 bits; in 32 bits the zero point has to be 0.
            2..=6 if dtype.bits() < 32 || q.zero_point.iter().all(|&z| z == 0) => {
                Ok(self.add("DequantizeLinear", &[codes, &scale, &zero], attributes, name))
            }
            _ => self.refuse(id, format!("has codes in {dtype}, which cannot be dequantised")),
        }
    }

    /// Reals as codes of node `id`.
    pub(super) fn quantised(
        &mut self,
        id: NodeId,
        real: &str,
        q: &Quantisation,
    ) -> Result<Value, Refused> {
        let (name, ty) = (self.graph[id].name.clone(), self.graph[id].ty.clone());
        let Some((low, high)) = bounds(ty.dtype) else {
            return self.refuse(id, format!("has codes in {}, which no quantiser gives", ty.dtype));
        };
        if q.rounding != Rounding::HalfEven || !q.offset.is_empty() {
            return self.written_out(id, real, q);
        }
        let Parameters { scale, zero, axis } = self.parameters(&name, ty.dtype, q);
        let attributes = axis.map(|axis| integer("axis", axis)).into_iter().collect();
        if (q.minimum, q.maximum) == (low, high) {
            return Ok(Value::Codes(self.add(
                "QuantizeLinear",
                &[real, &scale, &zero],
                attributes,
                &name,
            )));
        }
        let wide = format!("{name}.unbounded");
        let wide = self.add("QuantizeLinear", &[real, &scale, &zero], attributes, &wide);
        Ok(Value::Codes(self.bounded(&wide, ty.dtype, q, &name)))
    }

    /// Codes within the bounds of `q`.
    fn bounded(&mut self, codes: &str, dtype: DType, q: &Quantisation, name: &str) -> String {
        let low = self.numbers(&format!("{name}.minimum"), dtype, &[], &[q.minimum]);
        let high = self.numbers(&format!("{name}.maximum"), dtype, &[], &[q.maximum]);
        self.add("Clip", &[codes, &low, &high], Vec::new(), name)
    }

    /// A quantiser that rounds otherwise than QuantizeLinear, or adds before it rounds.
    fn written_out(&mut self, id: NodeId, real: &str, q: &Quantisation) -> Result<Value, Refused> {
        let (name, ty) = (self.graph[id].name.clone(), self.graph[id].ty.clone());
        let round = match q.rounding {
            Rounding::HalfEven => "Round",
            Rounding::Floor => "Floor",
            Rounding::Ceil => "Ceil",
            other => {
                return self
                    .refuse(id, format!("rounds {other:?}, for which ONNX has no operator"));
            }
        };
        let rank = ty.shape.len();
        let shape = along(q.axis, rank, q.scale.len());
        let scale = self.reals(&format!("{name}.scale"), &shape, &q.scale);
        let mut x = self.add("Div", &[real, &scale], Vec::new(), &format!("{name}.units"));
        if !q.offset.is_empty() {
            let shape = along(q.axis, rank, q.offset.len());
            let offset = self.reals(&format!("{name}.offset"), &shape, &q.offset);
            x = self.add("Add", &[&x, &offset], Vec::new(), &format!("{name}.moved"));
        }
        x = self.add(round, &[&x], Vec::new(), &format!("{name}.rounded"));
        if q.offset.is_empty() && q.zero_point.iter().any(|&z| z != 0) {
            let shape = along(q.axis, rank, q.zero_point.len());
            let zero: Vec<f32> = q.zero_point.iter().map(|&z| z as f32).collect();
            let zero = self.reals(&format!("{name}.zero"), &shape, &zero);
            x = self.add("Add", &[&x, &zero], Vec::new(), &format!("{name}.centred"));
        }
        let low = self.reals(&format!("{name}.minimum"), &[], &[q.minimum as f32]);
        let high = self.reals(&format!("{name}.maximum"), &[], &[q.maximum as f32]);
        x = self.add("Clip", &[&x, &low, &high], Vec::new(), &format!("{name}.bounded"));
        let to = integer("to", element(ty.dtype) as i64);
        Ok(Value::Codes(self.add("Cast", &[&x], vec![to], &name)))
    }

    /// Codes by a table of them.
    pub(super) fn lookup(
        &mut self,
        id: NodeId,
        minimum: i64,
        table: &[i64],
    ) -> Result<Value, Refused> {
        let (name, dtype) = (self.graph[id].name.clone(), self.graph[id].ty.dtype);
        let source = self.sources(id)[0];
        let Value::Codes(codes) = self.value(source)? else {
            return self.refuse(id, "looks up what is no code in the file");
        };
        let to = integer("to", element(DType::I64) as i64);
        let wide = self.add("Cast", &[&codes], vec![to], &format!("{name}.wide"));
        let first = self.numbers(&format!("{name}.first"), DType::I64, &[], &[minimum]);
        let place = self.add("Sub", &[&wide, &first], Vec::new(), &format!("{name}.place"));
        let table = self.numbers(&format!("{name}.table"), dtype, &[table.len()], table);
        Ok(Value::Codes(self.add("Gather", &[&table, &place], vec![integer("axis", 0)], &name)))
    }

    /// Codes by the number of thresholds that are reached. Those of integers lie halfway below the integer, so
    /// that no rounding of the sum decides.
    pub(super) fn thresholds(&mut self, id: NodeId, by: &Thresholds) -> Result<Value, Refused> {
        let (name, ty) = (self.graph[id].name.clone(), self.graph[id].ty.clone());
        let source = self.sources(id)[0];
        let unit = self.graph[source].ty.quantisation.clone();
        let most = by.rows.most();
        let rows: Vec<Vec<f32>> = match (&by.rows, &unit) {
            (ThresholdRows::Reals(rows), _) => rows.clone(),
            (ThresholdRows::Integers(rows), Some(q)) => {
                let channels = rows.len().max(q.scale.len());
                let row = |c: usize| {
                    let halfway = |t: &i64| ((*t as f64 - 0.5) * f64::from(q.scale_at(c))) as f32;
                    PerChannel::of(rows).at(c).iter().map(halfway).collect()
                };
                (0..channels).map(row).collect()
            }
            (ThresholdRows::Integers(_), None) => {
                return self.refuse(id, "compares integers without a scale");
            }
        };
        let real = self.real(source)?;
        let rank = ty.shape.len();
        // One more dimension in front, along which they are counted.
        let mut shape = vec![1; rank + 1];
        shape[0] = most;
        if rows.len() > 1 {
            shape[by.axis + 1] = rows.len();
        }
        let at = |k: usize, row: &Vec<f32>| row.get(k).copied().unwrap_or(f32::INFINITY);
        let values: Vec<f32> =
            (0..most).flat_map(|k| rows.iter().map(move |row| at(k, row))).collect();
        let thresholds = self.reals(&format!("{name}.thresholds"), &shape, &values);
        let front = self.numbers(&format!("{name}.front"), DType::I64, &[1], &[0]);
        let x = self.add("Unsqueeze", &[&real, &front], Vec::new(), &format!("{name}.beside"));
        let reached =
            self.add("GreaterOrEqual", &[&x, &thresholds], Vec::new(), &format!("{name}.reached"));
        let to = integer("to", element(DType::I32) as i64);
        let ones = self.add("Cast", &[&reached], vec![to], &format!("{name}.ones"));
        let keep = integer("keepdims", 0);
        let count = self.add("ReduceSum", &[&ones, &front], vec![keep], &format!("{name}.count"));
        let first = self.numbers(&format!("{name}.first"), DType::I32, &[], &[by.minimum]);
        let code = self.add("Add", &[&count, &first], Vec::new(), &format!("{name}.code"));
        let to = integer("to", element(ty.dtype) as i64);
        Ok(Value::Codes(self.add("Cast", &[&code], vec![to], &name)))
    }

    /// Shape of a node as a constant.
    pub(super) fn shape(&mut self, id: NodeId) -> String {
        let (name, shape) = (self.graph[id].name.clone(), self.graph[id].ty.shape.clone());
        let shape: Vec<i64> = shape.iter().map(|&d| d as i64).collect();
        self.numbers(&format!("{name}.shape"), DType::I64, &[shape.len()], &shape)
    }

    /// Axes as a constant.
    pub(super) fn axes(&mut self, name: &str, axes: &[usize]) -> String {
        let axes: Vec<i64> = axes.iter().map(|&a| a as i64).collect();
        self.numbers(&format!("{name}.axes"), DType::I64, &[axes.len()], &axes)
    }

    /// Order of dimensions.
    pub(super) fn permutation(permutation: &[usize]) -> onnx_protobuf::AttributeProto {
        integers("perm", permutation.iter().map(|&d| d as i64))
    }
}

/// Smallest and largest code of what QuantizeLinear gives in the type of the file for `dtype`.
fn bounds(dtype: DType) -> Option<(i64, i64)> {
    match dtype {
        DType::U2 | DType::U4 | DType::U8 => Some((0, 255)),
        DType::I2 | DType::I4 | DType::I8 => Some((-128, 127)),
        DType::U16 => Some((0, 65535)),
        DType::I16 => Some((-32768, 32767)),
        _ => None,
    }
}
