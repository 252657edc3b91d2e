//! A behavioural SystemVerilog model of the layers, and its runs in hardware simulators.
//!
//! The model is fixed text whose parameters are capacities: [`Simulator::build`] compiles it once,
//! and the build runs every image that fits ([`Capacities`]). [`bench`] writes what a run needs
//! beside the image: the plan that connects the layers as the manifest says, and the input events.
//! All else the model reads from the image's own files, so that a run shows that the image is
//! complete. Clocks counted here are those of this model, not of SPLEAT.

mod plan;
mod simulator;

use std::collections::BTreeMap;

pub use plan::Capacities;
pub use simulator::{Build, Simulator};

use super::aer::{self, Event};
use super::geometry::Map;
use super::layer::Layer;
use super::manifest::Manifest;
use crate::File;

/// The samples of one input: for each sample and timestep the payloads in (C, H, W) order.
pub type Samples = Vec<Vec<Vec<i64>>>;

/// The files of a run in a build of these capacities, to be put beside those of the image.
///
/// # Errors
/// When inputs are missing, or not as many as the network has, or the image is too large.
pub fn bench(
    manifest: &Manifest,
    layers: &[Layer],
    inputs: &[Samples],
    capacities: &Capacities,
) -> Result<Vec<File>, String> {
    if inputs.len() != manifest.inputs.len() {
        return Err(format!("{} inputs for {}", inputs.len(), manifest.inputs.len()));
    }
    let samples = inputs.iter().map(Vec::len).max().unwrap_or(0);
    let mut files = vec![File::new("plan.mem", plan::plan(manifest, layers, samples, capacities)?)];
    for (i, (entry, input)) in manifest.inputs.iter().zip(inputs).enumerate() {
        let map = Map::of(&entry.shape).ok_or_else(|| format!("input `{}`", entry.name))?;
        if input.len() != samples || input.iter().flatten().any(|x| x.len() != map.neurons()) {
            return Err(format!("samples of input `{}` have another size", entry.name));
        }
        let words: Vec<_> = input.iter().flat_map(|steps| aer::words(steps, map)).collect();
        let aer = &manifest.hardware.description.aer;
        files.push(File::new(format!("in{i}.aer"), aer::file(&words, aer)));
        files.push(File::new(format!("in{i}.csv"), aer::table(&words)));
    }
    Ok(files)
}

/// What one layer did in one inference.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inference {
    /// Spikes with their timesteps, in the order in which they were sent.
    pub events: Vec<(usize, Event)>,
    /// Membrane potentials at the end, in (C, H, W) order by (channel, row, column).
    pub potentials: BTreeMap<(usize, usize, usize), i64>,
    /// Clocks spent on input events.
    pub accumulate_clocks: u64,
    /// Clocks spent on sweeps, from the first inference on.
    pub sweep_clocks: u64,
    /// How often a membrane could not hold a sum, from the first inference on.
    pub overflows: u64,
}

/// What a simulation printed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Simulation {
    /// For each layer its inferences.
    pub layers: Vec<Vec<Inference>>,
    /// Clocks from the end of reset to the last layer's end.
    pub clocks: u64,
    /// High-water mark of each FIFO by name.
    pub fifos: BTreeMap<String, u64>,
}

/// Reads what a simulation printed.
///
/// # Errors
/// The line that is not understood, or that the simulation did not come to its end.
pub fn parse(output: &str, layers: usize) -> Result<Simulation, String> {
    let mut simulation = Simulation { layers: vec![Vec::new(); layers], ..Simulation::default() };
    let mut open: Vec<Inference> = vec![Inference::default(); layers];
    let mut done = false;
    for line in output.lines() {
        let mut fields = line.split_whitespace();
        let (Some(tag), rest) = (fields.next(), fields.collect::<Vec<_>>()) else { continue };
        if tag == "F"
            && let [name, most] = rest.as_slice()
        {
            simulation.fifos.insert((*name).to_owned(), most.parse().map_err(|_| line)?);
            continue;
        }
        if !matches!(tag, "E" | "V" | "C" | "DONE") {
            if matches!(tag, "FAULT" | "DEADLOCK") {
                return Err(line.to_owned());
            }
            continue;
        }
        let numbers: Result<Vec<i64>, _> = rest.iter().map(|field| field.parse()).collect();
        let numbers = numbers.map_err(|_| format!("`{line}` is not a number"))?;
        let layer = numbers.first().and_then(|&n| usize::try_from(n).ok()).unwrap_or(usize::MAX);
        let size = |n: i64| usize::try_from(n).unwrap_or(usize::MAX);
        match (tag, numbers.as_slice(), open.get_mut(layer)) {
            ("DONE", &[clocks], _) => {
                simulation.clocks = clocks.unsigned_abs();
                done = true;
            }
            ("E", &[_, t, c, y, x, payload], Some(inference)) => {
                inference
                    .events
                    .push((size(t), Event { c: size(c), y: size(y), x: size(x), payload }));
            }
            ("V", &[_, y, x, c, v], Some(inference)) => {
                inference.potentials.insert((size(c), size(y), size(x)), v);
            }
            ("C", &[_, accumulate, sweep, overflows], Some(inference)) => {
                inference.accumulate_clocks = accumulate.unsigned_abs();
                inference.sweep_clocks = sweep.unsigned_abs();
                inference.overflows = overflows.unsigned_abs();
                simulation.layers[layer].push(std::mem::take(inference));
            }
            _ => return Err(format!("`{line}` is not understood")),
        }
    }
    if done { Ok(simulation) } else { Err("the simulation ended early".into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_that_stops_is_no_result() {
        let whole = "F out0 3\nE 0 1 2 0 0 -4\nV 0 0 0 0 7\nC 0 5 6 0\nDONE 42\n";
        let simulation = parse(whole, 1).unwrap();
        let inference = &simulation.layers[0][0];
        assert_eq!(inference.events, [(1, Event { c: 2, y: 0, x: 0, payload: -4 })]);
        assert_eq!((inference.potentials[&(0, 0, 0)], inference.sweep_clocks), (7, 6));
        assert_eq!((simulation.clocks, simulation.fifos["out0"]), (42, 3));
        for (text, reason) in [
            ("DEADLOCK no word is handed on since clock 7\n", "DEADLOCK"),
            ("FAULT layer 0: configuration of port 0\n", "FAULT"),
            ("E 0 1 2 0 0 x\nDONE 1\n", "not a number"),
            ("E 3 1 2 0 0 1\nDONE 1\n", "not understood"),
            ("C 0 5 6 0\n", "ended early"),
        ] {
            let error = parse(text, 1).unwrap_err();
            assert!(error.contains(reason), "{error}");
        }
    }
}
