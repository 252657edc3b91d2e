//! From the message of a whole model to a graph: inputs, nodes, functions, outputs.

mod boundary;
mod loops;

use std::collections::HashMap;

use bytes::Bytes;
use onnx_protobuf::{
    FunctionProto, GraphProto, Message, ModelProto, NodeProto, OperatorSetIdProto,
};
use snnc_ir::{Graph, NodeId, Origin, verify};

use super::call::{Bindings, Call, Failure};
use super::external::Store;
use super::importer::Importer;
use super::{ImportOptions, data, limits, registry, signatures};
use crate::{Error, Problem, finite};

const EXPORT_AGAIN: &str = "check the model with onnx.checker and export it again";

/// Decodes the message.
pub(crate) fn decode(bytes: Bytes, place: &str) -> Result<ModelProto, Error> {
    if bytes.is_empty() {
        return Err(Error::input(place, "the file is empty", "give an ONNX model"));
    }
    let model = ModelProto::decode(bytes).map_err(|e| {
        let reason = format!("this is no ONNX model, or a damaged one ({e})");
        Error::input(place, reason, "export or download it again")
    })?;
    if model.graph.as_ref().is_none_or(|g| g.node.is_empty() && g.output.is_empty()) {
        return Err(Error::input(
            place,
            "this is no ONNX model: it holds no graph",
            "give an ONNX model",
        ));
    }
    Ok(model)
}

/// What a name stands for.
#[derive(Clone)]
enum Value {
    /// A node of the graph.
    Node(NodeId),
    /// An initialiser that nothing has used yet, by index.
    Initialiser(usize),
    /// Nothing: why has been said, or will be said to whoever uses it.
    Missing(Option<String>),
}

/// Names that are visible where a node stands.
type Scope = HashMap<String, Value>;

/// Where a list of nodes stands.
struct Place<'m> {
    opsets: &'m [OperatorSetIdProto],
    bindings: Bindings,
    prefix: String,
    depth: usize,
}

struct Session<'m> {
    importer: Importer,
    model: &'m ModelProto,
    graph: &'m GraphProto,
    functions: HashMap<(&'m str, &'m str, &'m str), &'m FunctionProto>,
    nodes: usize,
}

/// Imports a model; returns the verified graph and the notes.
pub(crate) fn build(
    model: &ModelProto,
    place: &str,
    name: &str,
    store: Store,
    options: &ImportOptions,
    budget: usize,
) -> Result<(Graph, Vec<(String, String)>), Error> {
    let empty = GraphProto::default();
    let functions = model.functions.iter();
    let mut session = Session {
        importer: Importer::new(name, store, budget),
        model,
        graph: model.graph.as_ref().unwrap_or(&empty),
        functions: functions
            .map(|f| ((domain(&f.domain), f.name.as_str(), f.overload.as_str()), f))
            .collect(),
        nodes: 0,
    };
    session.run(options);
    let Importer { mut graph, notes, unsupported, mut malformed, .. } = session.importer;
    if !malformed.is_empty() {
        for problem in &mut malformed {
            problem.place = format!("{place}: {}", problem.place);
        }
        return Err(Error::Input(malformed));
    }
    if !unsupported.is_empty() {
        return Err(Error::Unsupported(unsupported));
    }
    graph.remove_dead();
    let mut problems = finite::problems(&graph);
    if !problems.is_empty() {
        for problem in &mut problems {
            problem.place = format!("{place}: {}", problem.place);
        }
        return Err(Error::Input(problems));
    }
    match verify(graph) {
        Ok(graph) => Ok((graph.into_inner(), notes)),
        Err(errors) => Err(Error::Input(
            errors.iter().map(|e| Problem::new(place, e.to_string(), EXPORT_AGAIN)).collect(),
        )),
    }
}

/// `""` and `"ai.onnx"` are one domain.
fn domain(name: &str) -> &str {
    if name == "ai.onnx" { "" } else { name }
}

impl<'m> Session<'m> {
    fn run(&mut self, options: &ImportOptions) {
        self.reserve_names();
        let mut scope = Scope::new();
        self.initialisers(&mut scope);
        self.inputs(&mut scope, options);
        let place = Place {
            opsets: &self.model.opset_import,
            bindings: Bindings::new(),
            prefix: String::new(),
            depth: 0,
        };
        let graph = self.graph;
        self.nodes(&graph.node, &mut scope, &place);
        self.declared_types(&scope, options);
        self.outputs(&mut scope);
    }

    /// Graph inputs and outputs keep their names, whatever nodes are called.
    fn reserve_names(&mut self) {
        if self.graph.output.is_empty() {
            let failure = Failure::malformed("the graph has no output");
            self.importer.fail("graph", failure);
        }
        for output in &self.graph.output {
            self.importer.unique(&output.name);
        }
    }

    fn initialisers(&mut self, scope: &mut Scope) {
        for (index, proto) in self.graph.initializer.iter().enumerate() {
            let value = Value::Initialiser(index);
            if proto.name.is_empty() || scope.insert(proto.name.clone(), value).is_some() {
                let failure = Failure::malformed("initialisers need names, one for each");
                self.importer.fail(&format!("initialiser `{}`", proto.name), failure);
            }
        }
        for sparse in &self.graph.sparse_initializer {
            let name = sparse.values.as_ref().map_or("", |v| v.name.as_str());
            let reason = "sparse initialisers are not read".to_owned();
            scope.insert(name.to_owned(), Value::Missing(Some(reason)));
        }
    }

    fn nodes(&mut self, nodes: &'m [NodeProto], scope: &mut Scope, place: &Place<'m>) {
        for node in nodes {
            self.nodes += 1;
            if self.nodes > limits::NODES {
                if self.nodes == limits::NODES + 1 {
                    let failure = Failure::malformed("functions expand to too many nodes");
                    self.importer.fail("graph", failure);
                }
                return;
            }
            let result = self.node(node, scope, place);
            let values = match result {
                Ok(values) => values,
                Err(failure) => {
                    if let Some(failure) = failure {
                        let place = describe(node, &place.prefix);
                        self.importer.fail(&place, failure);
                    }
                    Vec::new()
                }
            };
            self.bind(node, values, scope, place);
        }
    }

    fn bind(&mut self, node: &NodeProto, values: Vec<Value>, scope: &mut Scope, place: &Place) {
        let failed = values.is_empty();
        let mut values = values.into_iter();
        for (index, name) in node.output.iter().enumerate() {
            if name.is_empty() {
                values.next();
                continue;
            }
            let value = values.next().unwrap_or_else(|| {
                let reason = format!("output {index} of {} is not computed", node.op_type);
                Value::Missing((!failed).then_some(reason))
            });
            if scope.insert(name.clone(), value).is_some() {
                let failure = Failure::malformed(format!("`{name}` is made twice"));
                self.importer.fail(&describe(node, &place.prefix), failure);
            }
        }
    }

    /// The values that a node makes; `Err(None)` if an operand is missing for a reason that has
    /// been given.
    fn node(
        &mut self,
        node: &'m NodeProto,
        scope: &mut Scope,
        place: &Place<'m>,
    ) -> Result<Vec<Value>, Option<Failure>> {
        let key = (domain(&node.domain), node.op_type.as_str(), node.overload.as_str());
        if let Some(&function) = self.functions.get(&key) {
            return self.function(function, node, scope, place);
        }
        if key.0.is_empty() && matches!(key.1, "Loop" | "Scan") {
            return self.repeated(node, scope, place);
        }
        let operator =
            registry::find(&node.domain, &node.op_type, place.opsets, self.model.ir_version)?;
        if operator.is_standard {
            signatures::check(node, operator.since)?;
        }
        let mut inputs = Vec::with_capacity(node.input.len());
        let mut missing = None;
        for name in &node.input {
            match self.resolve(name, scope) {
                Ok(id) => inputs.push(id),
                Err(failure) => missing = missing.or(Some(failure)),
            }
        }
        if let Some(failure) = missing {
            return Err(failure);
        }
        let call = Call {
            node,
            since: operator.since,
            origin: origin(node, &place.prefix),
            inputs,
            bindings: &place.bindings,
        };
        let outputs = (operator.build)(&mut self.importer, &call)?;
        Ok(outputs.into_iter().map(Value::Node).collect())
    }

    /// The node that a name stands for; `Ok(None)` for the empty name, `Err(None)` if it is missing
    /// for a reason that has been given.
    fn resolve(
        &mut self,
        name: &str,
        scope: &mut Scope,
    ) -> Result<Option<NodeId>, Option<Failure>> {
        if name.is_empty() {
            return Ok(None);
        }
        match scope.get(name).cloned() {
            Some(Value::Node(id)) => Ok(Some(id)),
            Some(Value::Missing(None)) => Err(None),
            Some(Value::Missing(Some(reason))) => Err(Some(Failure::unsupported(reason, ""))),
            Some(Value::Initialiser(index)) => {
                let proto = &self.graph.initializer[index];
                match data::tensor(proto, &mut self.importer.store) {
                    Ok(tensor) => {
                        let id = self.importer.add_constant(name, tensor, &[]);
                        scope.insert(name.to_owned(), Value::Node(id));
                        Ok(Some(id))
                    }
                    Err(failure) => {
                        self.importer.fail(&format!("initialiser `{name}`"), failure);
                        scope.insert(name.to_owned(), Value::Missing(None));
                        Err(None)
                    }
                }
            }
            None => Err(Some(Failure::malformed(format!(
                "`{name}` is used, but nothing before makes it"
            )))),
        }
    }

    fn function(
        &mut self,
        function: &'m FunctionProto,
        node: &'m NodeProto,
        scope: &mut Scope,
        place: &Place<'m>,
    ) -> Result<Vec<Value>, Option<Failure>> {
        if place.depth >= limits::CALLS {
            return Err(Some(Failure::malformed("functions call each other without end")));
        }
        if node.input.len() > function.input.len() {
            return Err(Some(Failure::malformed("the function takes fewer operands")));
        }
        let mut inner = Scope::new();
        for (formal, actual) in function.input.iter().zip(&node.input) {
            if let Some(id) = self.resolve(actual, scope)? {
                inner.insert(formal.clone(), Value::Node(id));
            }
        }
        // An omitted operand is the empty name inside as well.
        for formal in &function.input {
            inner.entry(formal.clone()).or_insert(Value::Missing(Some(format!(
                "the function's operand `{formal}` is omitted"
            ))));
        }
        let mut bindings: Bindings = Bindings::new();
        for attribute in function.attribute_proto.iter().chain(&node.attribute) {
            let value = if attribute.ref_attr_name.is_empty() {
                Some(attribute)
            } else {
                place.bindings.get(&attribute.ref_attr_name)
            };
            if let Some(value) = value {
                bindings.insert(attribute.name.clone(), value.clone());
            }
        }
        let inner_place = Place {
            opsets: &function.opset_import,
            bindings,
            prefix: format!("{}/", origin(node, &place.prefix).node),
            depth: place.depth + 1,
        };
        let before = self.importer.unsupported.len() + self.importer.malformed.len();
        self.nodes(&function.node, &mut inner, &inner_place);
        let after = self.importer.unsupported.len() + self.importer.malformed.len();
        if after > before {
            return Err(None);
        }
        let output = |name: &String| match inner.get(name) {
            Some(Value::Node(id)) => Ok(Value::Node(*id)),
            _ => Err(Some(Failure::malformed(format!("the function does not make `{name}`")))),
        };
        function.output.iter().map(output).collect()
    }
}

/// Where a node stands, for provenance: its name, or that of its first output.
fn origin(node: &NodeProto, prefix: &str) -> Origin {
    let name = if node.name.is_empty() {
        node.output.iter().find(|o| !o.is_empty()).map_or("", String::as_str)
    } else {
        &node.name
    };
    Origin { node: format!("{prefix}{name}"), op: node.op_type.clone() }
}

fn describe(node: &NodeProto, prefix: &str) -> String {
    let Origin { node, op } = origin(node, prefix);
    format!("{op} `{node}`")
}
