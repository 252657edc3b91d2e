//! `Loop` and `Scan` of a known number of turns, one copy of the body for each: timesteps written
//! out, which is what recognition of spiking neurons takes.

use onnx_protobuf::{AttributeProto, GraphProto, NodeProto};
use snnc_ir::{DType, NodeId, Tensor, TensorOp};

use super::{Place, Scope, Session, Value, describe, origin};
use crate::import::call::{Call, Failure};
use crate::import::{data, limits};

/// Most turns of one loop.
const TURNS: i64 = 4096;

const FIXED: &str = "export with a fixed number of timesteps";

/// What one turn leaves behind.
type Turn = Vec<NodeId>;

impl<'m> Session<'m> {
    /// The values of a `Loop` or a `Scan`.
    pub(super) fn repeated(
        &mut self,
        node: &'m NodeProto,
        scope: &mut Scope,
        place: &Place<'m>,
    ) -> Result<Vec<Value>, Option<Failure>> {
        if place.depth >= limits::CALLS {
            return Err(Some(Failure::malformed("loops are nested without end")));
        }
        let body = node.find_attribute("body").and_then(AttributeProto::as_graph);
        let body =
            body.ok_or_else(|| Some(Failure::malformed("the attribute `body` is missing")))?;
        let mut operands = Vec::with_capacity(node.input.len());
        for name in &node.input {
            operands.push(self.resolve(name, scope)?);
        }
        if node.op_type == "Loop" {
            self.r#loop(node, body, &operands, scope, place)
        } else {
            self.scan(node, body, &operands, scope, place)
        }
    }

    fn r#loop(
        &mut self,
        node: &'m NodeProto,
        body: &'m GraphProto,
        operands: &[Option<NodeId>],
        scope: &mut Scope,
        place: &Place<'m>,
    ) -> Result<Vec<Value>, Option<Failure>> {
        let [count, condition, carried @ ..] = operands else {
            return Err(Some(Failure::malformed("operands are missing")));
        };
        let turns = count.and_then(|id| self.integer(id)).filter(|n| (0..=TURNS).contains(n));
        let Some(turns) = turns else {
            let reason = format!("the number of turns is not known, or above {TURNS}");
            return Err(Some(Failure::unsupported(reason, FIXED)));
        };
        if condition.is_some_and(|id| self.integer(id) != Some(1)) {
            return Err(Some(Failure::unsupported("it may end before all turns", FIXED)));
        }
        let Some(mut carried) = carried.iter().copied().collect::<Option<Turn>>() else {
            return Err(Some(Failure::malformed("a carried value is missing")));
        };
        let states = carried.len();
        if body.input.len() != states + 2 || body.output.len() < states + 1 {
            return Err(Some(Failure::malformed("the body has another number of values")));
        }
        let mut collected: Vec<Turn> = vec![Vec::new(); body.output.len() - states - 1];
        for turn in 0..turns {
            let number = Tensor::from_i64(DType::I64, &[], &[turn]);
            let number = self.importer.add_constant("turn", number, &[]);
            let yes = Tensor::from_i64(DType::Bool, &[], &[1]);
            let yes = self.importer.add_constant("condition", yes, &[]);
            let inputs: Turn = [number, yes].into_iter().chain(carried).collect();
            let outputs = self.turn(node, body, &inputs, (scope, place), turn)?;
            let (goes_on, outputs) = outputs.split_first().unwrap_or((&yes, &[]));
            if self.integer(*goes_on) != Some(1) {
                let reason = "whether it goes on is computed in its body";
                return Err(Some(Failure::unsupported(reason, FIXED)));
            }
            let (next, seen) = outputs.split_at(states);
            carried = next.to_vec();
            collected.iter_mut().zip(seen).for_each(|(all, &one)| all.push(one));
        }
        self.results(node, place, carried, &collected)
    }

    fn scan(
        &mut self,
        node: &'m NodeProto,
        body: &'m GraphProto,
        operands: &[Option<NodeId>],
        scope: &mut Scope,
        place: &Place<'m>,
    ) -> Result<Vec<Value>, Option<Failure>> {
        let backwards = |name: &str| {
            let values = node.find_attribute(name).and_then(AttributeProto::as_ints);
            values.is_some_and(|v| v.iter().any(|&x| x != 0))
        };
        let options = [
            "scan_input_axes",
            "scan_input_directions",
            "scan_output_axes",
            "scan_output_directions",
        ];
        if options.iter().any(|name| backwards(name)) {
            let reason = "it does not scan the first dimension from its beginning";
            return Err(Some(Failure::unsupported(reason, "scan along dimension 0, forwards")));
        }
        let scanned = node.find_attribute("num_scan_inputs").and_then(AttributeProto::as_int);
        let scanned = scanned.and_then(|n| usize::try_from(n).ok());
        let operands = operands.iter().copied().collect::<Option<Turn>>();
        let (Some(scanned), Some(operands)) = (scanned, operands) else {
            return Err(Some(Failure::malformed("operands or `num_scan_inputs` are missing")));
        };
        let Some(states) = operands.len().checked_sub(scanned).filter(|_| scanned > 0) else {
            return Err(Some(Failure::malformed("`num_scan_inputs` is no number of operands")));
        };
        if body.input.len() != operands.len() || body.output.len() < states {
            return Err(Some(Failure::malformed("the body has another number of values")));
        }
        let turns = self.importer.shape(operands[states]).first().copied().unwrap_or(0) as i64;
        if turns > TURNS {
            let reason = format!("it has {turns} turns, more than {TURNS}");
            return Err(Some(Failure::unsupported(reason, FIXED)));
        }
        let mut carried = operands[..states].to_vec();
        let mut collected: Vec<Turn> = vec![Vec::new(); body.output.len() - states];
        for turn in 0..turns {
            let mut inputs = carried;
            for &whole in &operands[states..] {
                let call = self.call(node, place, &[whole]);
                let index = Tensor::from_i64(DType::I64, &[], &[turn]);
                let index = self.importer.literal(&call, "turn", index);
                let gather = TensorOp::Gather { axis: 0 };
                inputs.push(self.importer.emit(&call, gather, &[whole, index]).map_err(Some)?);
            }
            let outputs = self.turn(node, body, &inputs, (scope, place), turn)?;
            let (next, seen) = outputs.split_at(states);
            carried = next.to_vec();
            collected.iter_mut().zip(seen).for_each(|(all, &one)| all.push(one));
        }
        self.results(node, place, carried, &collected)
    }

    /// One copy of the body.
    fn turn(
        &mut self,
        node: &'m NodeProto,
        body: &'m GraphProto,
        inputs: &[NodeId],
        (scope, place): (&Scope, &Place<'m>),
        turn: i64,
    ) -> Result<Turn, Option<Failure>> {
        // A turn costs even where its body is empty.
        self.nodes += 1 + scope.len() / 16;
        if self.nodes > limits::NODES {
            return Err(Some(Failure::malformed("loops expand to too many nodes")));
        }
        let mut inner = scope.clone();
        for (formal, &id) in body.input.iter().zip(inputs) {
            inner.insert(formal.name.clone(), Value::Node(id));
        }
        for proto in &body.initializer {
            let value = data::tensor(proto, &mut self.importer.store).map_err(Some)?;
            let id = self.importer.add_constant(&proto.name, value, &[]);
            inner.insert(proto.name.clone(), Value::Node(id));
        }
        let inner_place = Place {
            opsets: place.opsets,
            bindings: place.bindings.clone(),
            prefix: format!("{}/{turn}/", origin(node, &place.prefix).node),
            depth: place.depth + 1,
        };
        let faults = |s: &Self| s.importer.unsupported.len() + s.importer.malformed.len();
        let before = faults(self);
        self.nodes(&body.node, &mut inner, &inner_place);
        if faults(self) > before || self.nodes > limits::NODES {
            return Err(None);
        }
        let mut outputs = Vec::with_capacity(body.output.len());
        for output in &body.output {
            match self.resolve(&output.name, &mut inner)? {
                Some(id) => outputs.push(id),
                None => return Err(Some(Failure::malformed("an output of the body has no name"))),
            }
        }
        Ok(outputs)
    }

    /// Carried values, then what each turn has shown, stacked.
    fn results(
        &mut self,
        node: &'m NodeProto,
        place: &Place<'m>,
        carried: Turn,
        collected: &[Turn],
    ) -> Result<Vec<Value>, Option<Failure>> {
        let mut results: Vec<Value> = carried.into_iter().map(Value::Node).collect();
        for turns in collected {
            let mut rows = Vec::with_capacity(turns.len());
            for &id in turns {
                let call = self.call(node, place, &[id]);
                let shape = [&[1], self.importer.shape(id).as_slice()].concat();
                let row = self.importer.emit_shaped(&call, TensorOp::Reshape, &[id], shape);
                rows.push(row.map_err(Some)?);
            }
            let call = self.call(node, place, &rows);
            if rows.is_empty() {
                results.push(Value::Missing(Some(format!("{} has no turn", describe(node, "")))));
                continue;
            }
            let stacked = self.importer.emit(&call, TensorOp::Concatenate { axis: 0 }, &rows);
            results.push(Value::Node(stacked.map_err(Some)?));
        }
        Ok(results)
    }

    fn call<'a>(&self, node: &'a NodeProto, place: &'a Place<'m>, inputs: &[NodeId]) -> Call<'a> {
        Call {
            node,
            since: 1,
            origin: origin(node, &place.prefix),
            inputs: inputs.iter().map(|&id| Some(id)).collect(),
            bindings: &place.bindings,
        }
    }

    /// The one integer or truth value that a constant is.
    fn integer(&self, id: NodeId) -> Option<i64> {
        match self.importer.constant(id)?.to_i64().ok()?[..] {
            [value] => Some(value),
            _ => None,
        }
    }
}
