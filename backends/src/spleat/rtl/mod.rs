//! A synthesisable core for images, and its runs in hardware simulators.
//!
//! [`sources`] writes the core, fixed text whose parameters are a layer's configuration words, and
//! for each image a top that connects its layers and a test bench. All else the core takes from the
//! image's own files. The same text is simulated and synthesised; the macro `SPLEAT_TRACE` adds what is
//! printed, which [`parse`] reads. Clocks counted here are those of this core, not of SPLEAT.

mod bench;
mod bundle;
mod simulator;
mod streams;
mod top;

use std::collections::BTreeMap;

pub use bundle::bundle;
pub use simulator::{Build, Simulator};
pub(super) use streams::feeds;

use super::aer::Event;
use super::layer::Layer;
use super::manifest::Manifest;
use crate::File;

/// The samples of one input: for each sample and timestep the payloads in (C, H, W) order.
pub type Samples = Vec<Vec<Vec<i64>>>;

/// The sources of an image's accelerator: the core, which is fixed text, and the top and test bench
/// of this image.
///
/// # Errors
/// When the manifest connects what is not there.
pub fn sources(manifest: &Manifest, layers: &[Layer]) -> Result<Vec<File>, String> {
    let mut files: Vec<File> = CORE.map(|(name, text)| File::new(name, text)).to_vec();
    files.push(File::new("spleat_top.v", top::top(manifest, layers)?));
    files.push(File::new("spleat_tb.v", bench::bench(manifest, layers)?));
    Ok(files)
}

/// The core: read by Icarus Verilog, Verilator and Yosys alike.
const CORE: [(&str, &str); 7] = [
    ("spleat_fifo.v", include_str!("spleat_fifo.v")),
    ("spleat_lane.v", include_str!("spleat_lane.v")),
    ("spleat_layer.v", include_str!("spleat_layer.v")),
    ("spleat_memories.v", include_str!("spleat_memories.v")),
    ("spleat_neuron.v", include_str!("spleat_neuron.v")),
    ("spleat_port.v", include_str!("spleat_port.v")),
    ("spleat_window.v", include_str!("spleat_window.v")),
];

/// The input events of a run, to be put into the folder of the image.
///
/// # Errors
/// When inputs are missing, or not as many as the network has.
pub fn events(manifest: &Manifest, inputs: &[Samples]) -> Result<Vec<File>, String> {
    bench::events(manifest, inputs)
}

/// What one layer did in one inference.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inference {
    /// Spikes with their timesteps, in the order in which they were sent.
    pub events: Vec<(usize, Event)>,
    /// Membrane potentials at the end, in (C, H, W) order by (channel, row, column).
    pub potentials: BTreeMap<(usize, usize, usize), i64>,
    /// Clock, from the end of reset, in which the inference ended.
    pub clock: u64,
    /// Clocks spent on taps of input events, from the first inference on.
    pub work: u64,
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
        if tag == "RESTART" {
            simulation.layers = vec![Vec::new(); layers];
            open = vec![Inference::default(); layers];
            continue;
        }
        if tag == "F"
            && let [name, most] = rest.as_slice()
        {
            simulation.fifos.insert((*name).to_owned(), most.parse().map_err(|_| line)?);
            continue;
        }
        if !matches!(tag, "E" | "V" | "C" | "DONE") {
            if matches!(tag, "DIFFERS" | "DEADLOCK") {
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
            ("C", &[_, clock, work, overflows], Some(inference)) => {
                inference.clock = clock.unsigned_abs();
                inference.work = work.unsigned_abs();
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
        assert_eq!((inference.potentials[&(0, 0, 0)], inference.work), (7, 6));
        assert_eq!((simulation.clocks, simulation.fifos["out0"]), (42, 3));
        for (text, reason) in [
            ("DEADLOCK no word is handed on since clock 7\n", "DEADLOCK"),
            ("DIFFERS output 0 word 0: 1, not 2\n", "DIFFERS"),
            ("E 0 1 2 0 0 x\nDONE 1\n", "not a number"),
            ("E 3 1 2 0 0 1\nDONE 1\n", "not understood"),
            ("C 0 5 6 0\n", "ended early"),
        ] {
            let error = parse(text, 1).unwrap_err();
            assert!(error.contains(reason), "{error}");
        }
    }
}
