//! Encoders: the quantisers of inputs.

use snnc_ir::analysis::Interval;
use snnc_ir::{
    Encoder, Node, NodeId, Presentation, Quantisation, SpikingOp, TensorOp, ThresholdRows,
    Thresholds,
};

use super::{Converter, Form, Payloads, unbatched};
use crate::passes::ascending::first_real;

/// Codes of more levels are not tabulated.
const LEVELS: i64 = 1 << 16;

impl Converter<'_> {
    pub(super) fn input(&mut self, id: NodeId) -> Form {
        match &self.quantised[id].ty.quantisation {
            Some(q) => self.encode(id, id, &q.clone()),
            None => Form::Raw,
        }
    }

    pub(super) fn encoder(&mut self, id: NodeId, q: &Quantisation) -> Form {
        match self.encoded(id) {
            Ok(input) => self.encode(id, input, q),
            Err(form) => form,
        }
    }

    /// An input by thresholds, or neurons with these.
    pub(super) fn threshold(&mut self, id: NodeId, thresholds: &Thresholds) -> Form {
        let ThresholdRows::Reals(rows) = &thresholds.rows else { return self.population(id) };
        let input = match self.encoded(id) {
            Ok(input) => input,
            Err(form) => return form,
        };
        let Some(q) = self.quantised[id].ty.quantisation.clone() else { return Form::Nothing };
        if thresholds.axis != 1 && rows.len() > 1 {
            return self.problem(
                id,
                "an input with thresholds along another dimension than its channels",
                "export the model with its channels first",
            );
        }
        let most = rows.iter().map(Vec::len).max().unwrap_or(0) as i64;
        let encoder = Encoder {
            scale: q.scale_at(0),
            zero_point: q.zero_at(0),
            minimum: thresholds.minimum,
            maximum: thresholds.minimum + most,
            rounding: Default::default(),
            offset: None,
            thresholds: rows.clone(),
            presentation: Presentation::Once,
        };
        let payload = |row: &Vec<f32>| {
            let lowest = encoder.minimum - encoder.zero_point;
            Interval::new(lowest, lowest + row.len() as i64).with_zero()
        };
        let range = rows.iter().map(payload).collect();
        self.add_encoder(id, input, encoder, range)
    }

    /// The input that a quantiser quantises, where it is the only one.
    fn encoded(&mut self, id: NodeId) -> Result<NodeId, Form> {
        let Some(input) = self.quantised.source(id, 0) else { return Err(Form::Nothing) };
        match self.values.get(&input) {
            Some(Form::Raw) => {}
            None | Some(Form::Nothing) => return Err(Form::Nothing),
            Some(_) => return Err(self.problem(id, "a quantiser that is not at an input", "")),
        }
        match self.other_quantiser(id, input) {
            None => Ok(input),
            Some(other) => {
                let reason = format!(
                    "its input is quantised by {} as well, whose codes do not say those of this one, \
                     and an input has one encoder",
                    self.quantised[other].describe()
                );
                let remedy = "quantise the input once, with one scale and zero point";
                Err(self.problem(id, reason, remedy))
            }
        }
    }

    /// The first quantiser of an input, if it is not `id`.
    fn other_quantiser(&self, id: NodeId, input: NodeId) -> Option<NodeId> {
        let quantiser = |u: &NodeId| {
            let op = self.quantised[*u].as_tensor();
            matches!(op, Some(TensorOp::Quantise(_) | TensorOp::Threshold(_)))
        };
        self.quantised.users(input).into_iter().filter(quantiser).min().filter(|&first| first != id)
    }

    fn encode(&mut self, id: NodeId, input: NodeId, q: &Quantisation) -> Form {
        if q.axis.is_some() {
            return self.encode_channels(id, input, q);
        }
        let encoder = Encoder {
            scale: q.scale_at(0),
            zero_point: q.zero_at(0),
            minimum: q.minimum,
            maximum: q.maximum,
            rounding: q.rounding,
            offset: q.offset_at(0),
            thresholds: Vec::new(),
            presentation: Presentation::Once,
        };
        let (low, high) = encoder.payloads();
        let channels = unbatched(&self.quantised[id].ty.shape).first().copied().unwrap_or(1);
        let range = vec![Interval::new(low, high).with_zero(); channels];
        self.add_encoder(id, input, encoder, range)
    }

    /// Channels with scales of their own become payloads by thresholds: the least reals of their codes.
    fn encode_channels(&mut self, id: NodeId, input: NodeId, q: &Quantisation) -> Form {
        let levels = q.maximum.saturating_sub(q.minimum);
        if q.axis != Some(1) || !(0..LEVELS).contains(&levels) || input == id {
            return self.problem(
                id,
                "an input whose scales differ otherwise than from channel to channel of up to 16 bits",
                "use one scale for the input",
            );
        }
        let channels = q.scale.len().max(q.zero_point.len());
        let zeros = || (0..channels).map(|c| q.zero_at(c));
        let (least, most) = (zeros().min().unwrap_or(0), zeros().max().unwrap_or(0));
        let row = |c: usize| -> Vec<f32> {
            // A channel whose smallest payload is larger than another's has reached that from the start.
            let always = vec![f32::MIN; (most - q.zero_at(c)) as usize];
            let reals = (q.minimum + 1..=q.maximum).map_while(|code| first_real(q, c, code));
            let finite = reals.take_while(|t| t.is_finite() || *t < 0.0);
            always.into_iter().chain(finite.map(|t| t.max(f32::MIN))).collect()
        };
        let encoder = Encoder {
            scale: q.scale_at(0),
            zero_point: 0,
            minimum: q.minimum - most,
            maximum: q.maximum - least,
            rounding: Default::default(),
            offset: None,
            thresholds: (0..channels).map(row).collect(),
            presentation: Presentation::Once,
        };
        let payload = |zero: i64| Interval::new(q.minimum - zero, q.maximum - zero).with_zero();
        let range = zeros().map(payload).collect();
        self.add_encoder(id, input, encoder, range)
    }

    fn add_encoder(
        &mut self,
        id: NodeId,
        input: NodeId,
        encoder: Encoder,
        range: Vec<Interval>,
    ) -> Form {
        let shape = unbatched(&self.quantised[id].ty.shape);
        let channels = shape.first().copied().unwrap_or(1);
        let range = if range.len() == 1 { vec![range[0]; channels] } else { range };
        let name = self.network.fresh_name(&self.quantised[input].name);
        let node = Node::spiking(name, SpikingOp::Encoder(encoder), shape.clone())
            .with_origins(&self.quantised[id].origins);
        let node = self.network.add(node, &[]);
        self.correspondence.push((node, id));
        Form::Payloads(Payloads { node, shape, order: None, range })
    }
}
