//! The text form, `.snnir`: one node a line, what is printed parses back to the same graph.
//!
//! ```text
//! // A comment.
//! snnir 1 spiking "digits" {"timesteps":1,"schedule":"streaming"}
//! %image = encoder {"scale":0.5,"zero_point":0,"minimum":0,"maximum":15,"presentation":"once"} () : i64[4]
//! %fc = projection {"connectivity":"dense","accumulator":{"bits":64,"overflow":"error"}} (%image) : i64[2] from [{"node":"fc","op":"Gemm"}]
//!   data i8[2,4] 1 0 -2 3 0 0 1 1
//! ```
//!
//! A line is `%name = operator {parameters} (operands) : type`, optionally `quantised {..}` and
//! `from [..]`; parameters are JSON in the form of the operator's serde representation. An operand
//! that arrives `d` timesteps later is written `%name+d`. Names other than `[A-Za-z0-9_./:-]+` are
//! written as JSON strings. A constant's value or a projection's weights follow on a line of their own.

use std::collections::HashMap;
use std::fmt::Write as _;

use serde_json::Value;

use crate::{
    DType, Graph, Node, Op, Operand, SpikingOp, Stage, Tensor, TensorError, TensorOp, TensorType,
    Timing,
};

/// What to print.
#[derive(Clone, Copy, Debug, Default)]
pub struct PrintOptions {
    /// Data of more elements than this is left out; what is printed then does not parse.
    pub elide_above: Option<usize>,
}

/// Why a text is not a graph.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {reason}")]
pub struct ParseError {
    /// Line, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub reason: String,
}

impl Op {
    /// The operator's name in the text form, as `convolution`.
    pub fn name(&self) -> String {
        self.to_parts().0
    }

    /// The operator's name in the text form and its parameters as JSON.
    pub(crate) fn to_parts(&self) -> (String, Value) {
        let value = match self {
            Op::Tensor(op) => serde_json::to_value(op),
            Op::Spiking(op) => serde_json::to_value(op),
        };
        match value {
            Ok(Value::String(name)) => (name, Value::Null),
            Ok(Value::Object(map)) => map.into_iter().next().unwrap_or_default(),
            // The operators hold no map with foreign keys, the one thing that JSON cannot write.
            _ => (String::new(), Value::Null),
        }
    }

    /// The operator of that name in the family of `stage`.
    pub(crate) fn from_parts(stage: Stage, name: &str, parameters: Value) -> Result<Op, String> {
        let value = match parameters {
            Value::Null => Value::String(name.to_owned()),
            parameters => Value::Object([(name.to_owned(), parameters)].into_iter().collect()),
        };
        let op = match stage {
            Stage::Spiking => serde_json::from_value::<SpikingOp>(value).map(Op::Spiking),
            _ => serde_json::from_value::<TensorOp>(value).map(Op::Tensor),
        };
        op.map_err(|e| e.to_string())
    }
}

impl Graph {
    /// The text form, nodes in order of computation.
    pub fn to_text(&self, options: PrintOptions) -> String {
        let order = self.order().unwrap_or_else(|_| self.ids().collect());
        let timing = serde_json::to_string(&self.timing).unwrap_or_default();
        let name = Value::String(self.name.clone());
        let mut out = format!("snnir 1 {} {name} {timing}\n", self.stage.name());
        for id in order {
            let node = &self[id];
            let (op, parameters) = node.op.to_parts();
            let _ = write!(out, "{} = {op}", written_name(&node.name));
            if !parameters.is_null() {
                let _ = write!(out, " {parameters}");
            }
            let operands: Vec<String> =
                self.operands(id).iter().map(|o| self.written_operand(o)).collect();
            let _ = write!(out, " ({}) : {}", operands.join(", "), node.ty);
            if let Some(q) = &node.ty.quantisation {
                let _ = write!(out, " quantised {}", serde_json::to_string(q).unwrap_or_default());
            }
            if !node.origins.is_empty() {
                let _ = write!(
                    out,
                    " from {}",
                    serde_json::to_string(&node.origins).unwrap_or_default()
                );
            }
            out.push('\n');
            if let Some(data) = &node.data {
                write_data(&mut out, data, options);
            }
        }
        out
    }

    fn written_operand(&self, operand: &Operand) -> String {
        let name = written_name(&self[operand.source].name);
        if operand.delay == 0 { name } else { format!("{name}+{}", operand.delay) }
    }

    /// Parses the text form. The result is not verified.
    ///
    /// # Errors
    /// The first line that is malformed, or names a node that is not there.
    pub fn from_text(text: &str) -> Result<Graph, ParseError> {
        let mut graph: Option<Graph> = None;
        let mut ids = HashMap::new();
        let mut pending = Vec::new();
        for (index, line) in text.lines().enumerate() {
            let fail = |reason: String| ParseError { line: index + 1, reason };
            let mut cursor = Cursor { rest: line.trim() };
            if cursor.rest.is_empty() || cursor.rest.starts_with("//") {
                continue;
            }
            let Some(graph) = graph.as_mut() else {
                graph = Some(cursor.header().map_err(fail)?);
                continue;
            };
            if cursor.take("data ") {
                let (ty, data) = cursor.data().map_err(fail)?;
                let Some(&(id, _, _)) = pending.last() else {
                    return Err(fail("data without a node".into()));
                };
                let node: &mut Node = &mut graph[id];
                node.data = Some(data.map_err(|e: TensorError| fail(format!("{ty}: {e}")))?);
                continue;
            }
            let (node, operands) = cursor.node(graph.stage).map_err(fail)?;
            let name = node.name.clone();
            let id = graph.add(node, &[]);
            if ids.insert(name.clone(), id).is_some() {
                return Err(fail(format!("two nodes are named `{name}`")));
            }
            pending.push((id, index + 1, operands));
        }
        let mut graph = graph.ok_or(ParseError { line: 1, reason: "not a snnir text".into() })?;
        for (id, line, names) in pending {
            let mut operands = Vec::with_capacity(names.len());
            for (name, delay) in names {
                let Some(&source) = ids.get(&name) else {
                    return Err(ParseError { line, reason: format!("there is no node `{name}`") });
                };
                operands.push(Operand { source, delay });
            }
            graph.set_operands(id, &operands);
        }
        Ok(graph)
    }
}

fn plain_name_len(text: &str) -> usize {
    text.find(|c: char| !(c.is_ascii_alphanumeric() || "_./:-".contains(c))).unwrap_or(text.len())
}

fn written_name(name: &str) -> String {
    if !name.is_empty() && plain_name_len(name) == name.len() {
        format!("%{name}")
    } else {
        format!("%{}", Value::String(name.to_owned()))
    }
}

fn write_data(out: &mut String, data: &Tensor, options: PrintOptions) {
    let _ = write!(out, "  data {}", data.tensor_type());
    if options.elide_above.is_some_and(|limit| data.len() > limit) {
        out.push_str(" ..\n");
        return;
    }
    match data.to_i64() {
        Ok(values) => values.iter().for_each(|v| {
            let _ = write!(out, " {v}");
        }),
        Err(_) => data.to_f32().iter().for_each(|v| {
            let _ = write!(out, " {v:?}");
        }),
    }
    out.push('\n');
}

/// What is left of a line.
struct Cursor<'a> {
    rest: &'a str,
}

type Parsed<T> = Result<T, String>;

impl Cursor<'_> {
    fn skip_space(&mut self) {
        self.rest = self.rest.trim_start();
    }

    fn take(&mut self, token: &str) -> bool {
        self.skip_space();
        match self.rest.strip_prefix(token) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn expect(&mut self, token: &str) -> Parsed<()> {
        if self.take(token) {
            Ok(())
        } else {
            Err(format!(
                "expected `{token}` before `{}`",
                self.rest.chars().take(20).collect::<String>()
            ))
        }
    }

    fn word(&mut self) -> String {
        self.skip_space();
        let (word, rest) = self.rest.split_at(plain_name_len(self.rest));
        self.rest = rest;
        word.to_owned()
    }

    fn json<T: serde::de::DeserializeOwned>(&mut self) -> Parsed<T> {
        self.skip_space();
        let mut stream = serde_json::Deserializer::from_str(self.rest).into_iter::<T>();
        let value =
            stream.next().ok_or("something is missing at the end")?.map_err(|e| e.to_string())?;
        let used = stream.byte_offset();
        self.rest = &self.rest[used..];
        Ok(value)
    }

    fn name(&mut self) -> Parsed<String> {
        self.expect("%")?;
        let name = if self.rest.starts_with('"') { self.json()? } else { self.word() };
        if name.is_empty() { Err("a name is missing".into()) } else { Ok(name) }
    }

    fn delay(&mut self) -> Parsed<u32> {
        let digits = self.rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(self.rest.len());
        let (number, rest) = self.rest.split_at(digits);
        self.rest = rest;
        number.parse().map_err(|_| "a delay is a number of timesteps".to_owned())
    }

    fn header(&mut self) -> Parsed<Graph> {
        self.expect("snnir 1")?;
        let stage = self.word();
        let stage = [Stage::Tensor, Stage::Quantised, Stage::Spiking]
            .into_iter()
            .find(|s| s.name() == stage)
            .ok_or_else(|| format!("there is no stage `{stage}`"))?;
        let mut graph = Graph::new(self.json::<String>()?, stage);
        graph.timing = self.json::<Timing>()?;
        self.end()?;
        Ok(graph)
    }

    fn end(&mut self) -> Parsed<()> {
        self.skip_space();
        if self.rest.is_empty() { Ok(()) } else { Err(format!("`{}` is left over", self.rest)) }
    }

    fn ty(&mut self) -> Parsed<TensorType> {
        let name = self.word();
        let dtype = DType::from_name(&name).ok_or_else(|| format!("there is no type `{name}`"))?;
        Ok(TensorType::new(dtype, self.json::<Vec<usize>>()?))
    }

    fn node(&mut self, stage: Stage) -> Parsed<(Node, Vec<(String, u32)>)> {
        let name = self.name()?;
        self.expect("=")?;
        let op = self.word();
        self.skip_space();
        let parameters = if self.rest.starts_with('(') { Value::Null } else { self.json()? };
        let op = Op::from_parts(stage, &op, parameters)?;
        self.expect("(")?;
        let mut operands = Vec::new();
        while !self.take(")") {
            if !operands.is_empty() {
                self.expect(",")?;
            }
            let operand = self.name()?;
            let delay = if self.take("+") { self.delay()? } else { 0 };
            operands.push((operand, delay));
        }
        self.expect(":")?;
        let mut ty = self.ty()?;
        if self.take("quantised") {
            ty.quantisation = Some(self.json()?);
        }
        let origins = if self.take("from") { self.json()? } else { Vec::new() };
        self.end()?;
        Ok((Node { name, op, ty, data: None, origins }, operands))
    }

    fn data(&mut self) -> Parsed<(TensorType, Result<Tensor, TensorError>)> {
        let ty = self.ty()?;
        let words = self.rest.split_ascii_whitespace();
        let found = words.clone().count();
        if Some(found) != ty.shape.iter().try_fold(1usize, |product, &d| product.checked_mul(d)) {
            return Err(format!("{found} values for {ty}"));
        }
        let width = ty.dtype.bits();
        let mut bytes = Vec::new();
        if ty.dtype.is_float() {
            if ty.dtype != DType::F32 {
                return Err(format!("data is written as f32 or integers, not {}", ty.dtype));
            }
            for word in words {
                let value: f32 = word.parse().map_err(|_| format!("`{word}` is no number"))?;
                bytes.extend(value.to_le_bytes());
            }
        } else {
            let (low, high) = ty.dtype.integer_range().unwrap_or_default();
            let (mut partial, mut filled) = (0u8, 0);
            for word in words {
                let value: i64 = word.parse().map_err(|_| format!("`{word}` is no integer"))?;
                if !(low..=high).contains(&value) {
                    return Err(format!("{value} is no {}", ty.dtype));
                }
                if width >= 8 {
                    bytes.extend(&value.to_le_bytes()[..width / 8]);
                    continue;
                }
                partial |= ((value as u8) & ((1 << width) - 1)) << filled;
                filled += width;
                if filled == 8 {
                    bytes.push(std::mem::take(&mut partial));
                    filled = 0;
                }
            }
            if filled > 0 {
                bytes.push(partial);
            }
        }
        let tensor = Tensor::new(ty.dtype, ty.shape.clone(), bytes.into());
        Ok((ty, tensor))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"// a comment
snnir 1 spiking "two \"words\"" {"timesteps":3,"schedule":"streaming"}
%image = encoder {"scale":0.1,"zero_point":0,"minimum":0,"maximum":15,"presentation":"every-timestep"} () : i64[4]
%"fc 1" = projection {"connectivity":"dense","accumulator":{"bits":64,"overflow":"error"}} (%image) : i64[2] from [{"node":"fc","op":"Gemm"}]
  data i4[2,4] 1 0 -2 3 0 0 1 1
%again = projection {"connectivity":"one-to-one","accumulator":{"bits":24,"overflow":"wrap"}} (%pop+2) : i64[2]
  data i8[2] -1 1
%pop = population {"coding":"rate","neuron":"accumulate","minimum":0,"maximum":1} (%"fc 1", %again) : i64[2]
%scores = decoder {"readout":"sum","scale":[1.0]} (%pop) : f32[2]
"#;

    #[test]
    fn round_trip_with_recurrence_names_and_packed_data() {
        let graph = Graph::from_text(TEXT).unwrap();
        let printed = graph.to_text(PrintOptions::default());
        let again = Graph::from_text(&printed).unwrap();
        assert_eq!(printed, again.to_text(PrintOptions::default()));
        let fc = graph.find("fc 1").unwrap();
        assert_eq!(graph[fc].data.as_ref().unwrap().to_i64().unwrap(), [1, 0, -2, 3, 0, 0, 1, 1]);
        let pop = graph.find("pop").unwrap();
        assert_eq!(graph[pop].op.name(), "population");
        assert_eq!(graph.users(pop).len(), 2);
        crate::verify(graph).unwrap();
    }

    #[test]
    fn faults_name_their_line() {
        for (from, to, line) in [
            ("%image)", "%imago)", 4),
            ("i4[2,4] 1 0", "i4[2,4] 9 0", 5),
            ("i4[2,4] 1 0", "i4[2,4] 1", 5),
            ("encoder", "encodre", 3),
            ("snnir 1", "snnir 2", 2),
            ("%pop =", "%image =", 8),
        ] {
            let error = Graph::from_text(&TEXT.replacen(from, to, 1)).unwrap_err();
            assert_eq!(error.line, line, "{from} -> {to}: {error}");
        }
    }
}
