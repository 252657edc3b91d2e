//! Recordings of events through spiking networks: state is kept from one piece of the input to the
//! next, so that answers do not depend on the size of the pieces.

use snnc_backends::format::events::{Bins, Recording};
use snnc_ir::{Encoder, Graph, NodeId, Op, SpikingOp};
use snnc_runtime::spiking::{Network, Outcome, Sample, encode};

use crate::data::Scaling;
use crate::{Error, Problem};

/// A spiking network made ready for recordings.
pub struct Streamer {
    network: Network,
    encoder: Encoder,
    /// Shape of the input.
    pub input_shape: Vec<usize>,
    takes_reals: bool,
    scaling: Scaling,
}

impl Streamer {
    /// For a network whose first input takes what events bring to a pixel in a timestep, `scaling`
    /// applied: reals, or codes if not `takes_reals`.
    ///
    /// # Errors
    /// When the network has no input, or cannot run on a stream.
    pub fn new(graph: &Graph, takes_reals: bool, scaling: Scaling) -> Result<Streamer, Error> {
        let Some(&input) = graph.inputs().first() else {
            return Err(Error::input("network", "has no input", ""));
        };
        let Op::Spiking(SpikingOp::Encoder(encoder)) = &graph[input].op else {
            return Err(Error::usage("--bin-us", "the network has no spikes", "compile it first"));
        };
        let network = Network::streaming(graph).map_err(|e| {
            let help = "compile it with a streaming code: rate, multi-level or sigma-delta";
            Error::Unsupported(vec![Problem::new("--bin-us", e.to_string(), help)])
        })?;
        let input_shape = graph[input].ty.shape.clone();
        Ok(Streamer { network, encoder: encoder.clone(), input_shape, takes_reals, scaling })
    }

    /// The network.
    pub fn graph(&self) -> &Graph {
        self.network.graph()
    }

    /// Runs one recording, `chunk` timesteps at a time, and shows every value to `observe`.
    ///
    /// # Errors
    /// When an event lies outside the input, or an accumulator leaves its range.
    pub fn run(
        &self,
        recording: &Recording,
        bins: &Bins,
        chunk: usize,
        observe: &mut dyn FnMut(NodeId, usize, &[i64]),
    ) -> Result<Outcome, Error> {
        let fault = |reason: String| Error::input("recording", reason, "");
        let timesteps = bins.count(recording).map_err(|e| fault(e.to_string()))?;
        let mut stream = self.network.stream();
        let mut from = 0;
        while from < timesteps {
            let count = chunk.clamp(1, timesteps - from);
            let rows = bins.rows(recording, from, count).map_err(|e| fault(e.to_string()))?;
            let payloads: Vec<Vec<i64>> = rows.into_iter().map(|row| self.payloads(row)).collect();
            stream.advance(&payloads, observe).map_err(|e| fault(e.to_string()))?;
            from += count;
        }
        Ok(stream.finish())
    }

    /// What the encoder makes of one timestep.
    fn payloads(&self, row: Vec<i64>) -> Vec<i64> {
        let scaled = |v: &i64| *v as f64 * self.scaling.scale + self.scaling.offset;
        let sample = if self.takes_reals {
            Sample::Real(row.iter().map(|v| scaled(v) as f32).collect())
        } else {
            Sample::Codes(row.iter().map(|v| scaled(v).round_ties_even() as i64).collect())
        };
        encode(&self.encoder, &sample)
    }
}
