//! Inputs and outputs of a model, and the types that the file states.

use std::collections::BTreeSet;

use onnx_protobuf::DimensionValue;
use onnx_protobuf::ValueInfoProto;
use snnc_ir::{Node, Origin, TensorOp, TensorType};

use super::{Scope, Session, Value};
use crate::import::call::Failure;
use crate::import::{ImportOptions, data, limits, samples};
use crate::nearest;

impl Session<'_> {
    /// Adds the inputs, with the shapes that options, the file or samples give.
    pub(super) fn inputs(&mut self, scope: &mut Scope, options: &ImportOptions) {
        let graph = self.graph;
        for name in options.shapes.keys() {
            if !graph.input.iter().any(|i| i.name == *name) {
                let names: Vec<&str> = graph
                    .input
                    .iter()
                    .map(|i| i.name.as_str())
                    .filter(|n| !scope.contains_key(*n))
                    .collect();
                let failure = Failure::Malformed(
                    format!("the model has no input `{name}`"),
                    nearest::advice(name, names),
                );
                self.importer.fail("--input-shape", failure);
            }
        }
        let symbols: BTreeSet<&str> = graph
            .input
            .iter()
            .filter_map(ValueInfoProto::tensor_type)
            .flat_map(samples::symbols)
            .collect();
        for name in options.dims.keys().filter(|name| !symbols.contains(name.as_str())) {
            let reason = format!("no input of the model has a dimension `{name}`");
            let help = nearest::advice(name, symbols.iter().copied());
            self.importer.fail("--dim", Failure::Malformed(reason, help));
        }
        for input in &graph.input {
            // Before IR version 4 constants were listed as inputs too.
            if matches!(scope.get(&input.name), Some(Value::Initialiser(_))) {
                continue;
            }
            let value = match self.input_type(input, options) {
                Ok(ty) => {
                    let name = self.importer.unique(&input.name);
                    let origin = Origin { node: input.name.clone(), op: "input".into() };
                    let node = Node::tensor(name, TensorOp::Input, ty).with_origins(&[origin]);
                    Value::Node(self.importer.graph.add(node, &[]))
                }
                Err(failure) => {
                    self.importer.fail(&format!("input `{}`", input.name), failure);
                    Value::Missing(None)
                }
            };
            if scope.insert(input.name.clone(), value).is_some() {
                let failure = Failure::malformed("two inputs have this name");
                self.importer.fail(&format!("input `{}`", input.name), failure);
            }
        }
    }

    fn input_type(
        &mut self,
        input: &ValueInfoProto,
        options: &ImportOptions,
    ) -> Result<TensorType, Failure> {
        let Some(ty) = input.tensor_type() else {
            return Err(Failure::unsupported("it is no dense tensor", "export with tensors"));
        };
        let dtype = data::dtype(ty.elem_type)?;
        if let Some(shape) = options.shapes.get(&input.name) {
            if limits::elements(shape).is_none() {
                return Err(Failure::malformed(format!("the shape {shape:?} is not possible")));
            }
            return Ok(TensorType::new(dtype, shape.clone()));
        }
        let Some(dims) = &ty.shape else {
            return Err(Failure::unsupported(
                "its shape is not known",
                format!("give it with --input-shape {}:1x..", input.name),
            ));
        };
        let mut shape = Vec::with_capacity(dims.dim.len());
        for (index, dim) in dims.dim.iter().enumerate() {
            let symbol = match &dim.value {
                Some(DimensionValue::Value(v)) if *v > 0 => {
                    shape.push(usize::try_from(*v).unwrap_or(usize::MAX));
                    continue;
                }
                Some(DimensionValue::Param(name)) => name.as_str(),
                _ => "",
            };
            match options.dims.get(symbol) {
                Some(&extent) => shape.push(extent),
                None if index == 0 => {
                    let text = format!("the batch dimension `{symbol}` is taken as 1");
                    self.importer.notes.push((input.name.clone(), text));
                    shape.push(1);
                }
                None => {
                    if let Some(extent) = samples::extent(dims, index, options) {
                        shape.push(extent);
                        continue;
                    }
                    return Err(Failure::unsupported(
                        format!("the extent of its dimension {index} `{symbol}` is not known"),
                        format!(
                            "give it with --dim {symbol}=N, or --input-shape {}:1x..",
                            input.name
                        ),
                    ));
                }
            }
        }
        match limits::elements(&shape) {
            Some(_) => Ok(TensorType::new(dtype, shape)),
            None => Err(Failure::malformed(format!("the shape {shape:?} is not possible"))),
        }
    }

    /// Holds inferred types against those that the file states.
    pub(super) fn declared_types(&mut self, scope: &Scope, options: &ImportOptions) {
        // With other shapes at the inputs the file's own no longer hold.
        if !options.shapes.is_empty() {
            return;
        }
        for info in self.graph.value_info.iter().chain(&self.graph.output) {
            let (Some(Value::Node(id)), Some(declared)) =
                (scope.get(&info.name), info.tensor_type())
            else {
                continue;
            };
            let found = self.importer.ty(*id);
            if declared.elem_type != 0 && data::dtype(declared.elem_type).ok() != Some(found.dtype)
            {
                let reason = format!("the file states another element type than {}", found.dtype);
                self.importer.fail(&format!("value `{}`", info.name), Failure::malformed(reason));
                continue;
            }
            let Some(shape) = &declared.shape else { continue };
            let fits = |(dim, &extent): (&onnx_protobuf::Dimension, &usize)| match dim.value {
                Some(DimensionValue::Value(v)) => v <= 0 || v as usize == extent,
                _ => true,
            };
            if shape.dim.len() != found.shape.len() || !shape.dim.iter().zip(&found.shape).all(fits)
            {
                let stated: Vec<String> = shape.dim.iter().map(written).collect();
                let reason = format!(
                    "the file states the shape [{}], but it is {:?}",
                    stated.join(", "),
                    found.shape
                );
                self.importer.fail(&format!("value `{}`", info.name), Failure::malformed(reason));
            }
        }
    }

    /// Adds the outputs.
    pub(super) fn outputs(&mut self, scope: &mut Scope) {
        let graph = self.graph;
        let mut seen = std::collections::HashSet::new();
        for output in &graph.output {
            let place = format!("output `{}`", output.name);
            if !seen.insert(output.name.as_str()) {
                let failure = Failure::malformed("two outputs have this name");
                self.importer.fail(&place, failure);
                continue;
            }
            match self.resolve(&output.name, scope) {
                Ok(Some(id)) => {
                    let ty = self.importer.ty(id).clone();
                    let origin = Origin { node: output.name.clone(), op: "output".into() };
                    let node = Node::tensor(output.name.clone(), TensorOp::Output, ty);
                    self.importer.graph.add(node.with_origins(&[origin]), &[id]);
                }
                Ok(None) => {
                    let failure = Failure::malformed("an output without a name");
                    self.importer.fail(&place, failure);
                }
                Err(Some(failure)) => self.importer.fail(&place, failure),
                Err(None) => {}
            }
        }
    }
}

fn written(dim: &onnx_protobuf::Dimension) -> String {
    match &dim.value {
        Some(DimensionValue::Value(v)) => v.to_string(),
        Some(DimensionValue::Param(name)) => name.clone(),
        None => "?".into(),
    }
}
