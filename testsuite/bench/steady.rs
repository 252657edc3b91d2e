//! Times a spiking network in steady state and prints a line of JSON: least and median milliseconds
//! of a call, and the mean time that the processor spent on one. `compare.py` runs it.
//!
//! `snnc-bench NETWORK.snn SAMPLES.f32 [--batch N] [--threads N] [--seconds S] [--results FILE]`; the
//! samples are little-endian reals, one sample after the other. With `--results` nothing is timed: the
//! scores of every sample are written as reals of the same kind, and the firing rate of each population
//! of real neurons is printed.

use std::io::Write;
use std::time::{Duration, Instant};

use snnc_ir::{Graph, SpikingOp};
use snnc_runtime::spiking::{FloatNetwork, Network, RunError, Sample};

type Fault = Box<dyn std::error::Error + Send + Sync>;

/// A network on integers or in single precision, with its samples.
enum Contestant {
    Integer(Network, Vec<[Sample; 1]>),
    Real(FloatNetwork, Vec<Vec<f32>>),
}

impl Contestant {
    fn new(graph: &Graph, samples: Vec<Vec<f32>>) -> Result<Contestant, Fault> {
        let (contestant, prepared) = if graph.is_float() {
            let network = FloatNetwork::new(graph)?;
            let prepared = network.is_prepared();
            (Contestant::Real(network, samples), prepared)
        } else {
            let network = Network::new(graph)?;
            let prepared = network.is_prepared();
            let samples = samples.into_iter().map(|x| [Sample::Real(x)]).collect();
            (Contestant::Integer(network, samples), prepared)
        };
        match prepared {
            true => Ok(contestant),
            false => Err("the network has no prepared form".into()),
        }
    }

    fn samples(&self) -> usize {
        match self {
            Contestant::Integer(_, samples) => samples.len(),
            Contestant::Real(_, samples) => samples.len(),
        }
    }

    /// Runs so many samples from sample `from` on.
    fn run_batch(&self, from: usize, count: usize) -> Result<(), RunError> {
        match self {
            Contestant::Integer(network, samples) => {
                let own = |i: usize| samples[i % samples.len()].as_slice();
                let all: Vec<&[Sample]> = (from..from + count).map(own).collect();
                network.run_batch(&all, &[], &mut |_, _, _| {}).map(drop)
            }
            Contestant::Real(network, samples) => {
                let own = |i: usize| &samples[i % samples.len()];
                let all: Vec<&Vec<f32>> = (from..from + count).map(own).collect();
                network.run_batch(&all, &mut |_, _, _, _| {}).map(drop)
            }
        }
    }

    /// Runs sample `i` and returns the scores of the first output.
    fn run(&self, i: usize) -> Result<Vec<f32>, RunError> {
        match self {
            Contestant::Integer(network, samples) => {
                let outcome = network.run(&samples[i % samples.len()])?;
                Ok(outcome.outputs.into_iter().next().map(|o| o.scores).unwrap_or_default())
            }
            Contestant::Real(network, samples) => {
                let shown = network.run_sample(&samples[i % samples.len()], &mut |_, _, _| {})?;
                Ok(shown.into_iter().next().unwrap_or_default())
            }
        }
    }
}

fn main() -> Result<(), Fault> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let option = |name: &str| {
        let at = arguments.iter().position(|a| a == name);
        at.and_then(|at| arguments.get(at + 1))
    };
    let number = |name: &str, fallback: f64| -> Result<f64, Fault> {
        Ok(option(name).map(|text| text.parse()).transpose()?.unwrap_or(fallback))
    };
    let [network, samples, ..] = arguments.as_slice() else {
        return Err("name a network and samples".into());
    };
    let graph = Graph::from_wire(std::fs::read(network)?.into())?;
    let input = graph.inputs().first().map_or(1, |&id| graph[id].ty.len());
    let samples: Vec<Vec<f32>> = std::fs::read(samples)?
        .chunks_exact(4 * input.max(1))
        .map(|x| x.as_chunks::<4>().0.iter().map(|&b| f32::from_le_bytes(b)).collect())
        .collect();
    if samples.is_empty() {
        return Err("there is not one whole sample".into());
    }
    let contestant = Contestant::new(&graph, samples)?;
    if let Some(path) = option("--results") {
        return results(&contestant, path);
    }
    let (batch, threads) = (number("--batch", 1.0)? as usize, number("--threads", 1.0)? as usize);
    time(&contestant, batch, threads, number("--seconds", 1.5)?)
}

/// Writes all scores and prints firing rates, in the order of the populations.
fn results(contestant: &Contestant, path: &str) -> Result<(), Fault> {
    let mut file = std::io::BufWriter::new(std::fs::File::create(path)?);
    for i in 0..contestant.samples() {
        for score in contestant.run(i)? {
            file.write_all(&score.to_le_bytes())?;
        }
    }
    file.flush()?;
    let mut rates = std::collections::BTreeMap::new();
    if let Contestant::Real(network, samples) = contestant {
        for sample in samples {
            network.run_sample(sample, &mut |id, _, sent| {
                if let Some(SpikingOp::Population(_)) = network.graph()[id].as_spiking() {
                    let (spikes, neurons) = rates.entry(id).or_insert((0usize, 0usize));
                    *spikes += sent.iter().filter(|&&x| x != 0.0).count();
                    *neurons += sent.len();
                }
            })?;
        }
    }
    let rates: Vec<String> =
        rates.values().map(|(s, n)| format!("{}", *s as f64 / *n as f64)).collect();
    writeln!(std::io::stdout().lock(), "{{\"rates\": [{}]}}", rates.join(", "))?;
    Ok(())
}

/// Runs batches for so many seconds.
fn time(contestant: &Contestant, batch: usize, threads: usize, seconds: f64) -> Result<(), Fault> {
    let share = |from: usize, thread: usize| {
        let [first, last] = [thread, thread + 1].map(|i| batch * i / threads.max(1));
        contestant.run_batch(from + first, last - first)
    };
    let call = |from: usize| -> Result<(), Fault> {
        if threads == 1 {
            return Ok(share(from, 0)?);
        }
        std::thread::scope(|scope| {
            let share = &share;
            let handles: Vec<_> =
                (0..threads).map(|first| scope.spawn(move || share(from, first))).collect();
            for handle in handles {
                handle.join().map_err(|_| "a thread failed")??;
            }
            Ok(())
        })
    };
    for from in 0..3 {
        call(from)?;
    }
    let (mut times, mut from) = (Vec::new(), 0);
    let before = on_processor();
    let end = Instant::now() + Duration::from_secs_f64(seconds);
    while Instant::now() < end {
        let start = Instant::now();
        call(from)?;
        times.push(start.elapsed());
        from += batch;
    }
    let spent = on_processor().zip(before).map(|(after, before)| (after - before) as f64 / 1e6);
    let calls = times.len().max(1) as f64;
    times.sort_unstable();
    let ms = |t: Option<&Duration>| t.map_or(0.0, |t| t.as_secs_f64() * 1e3);
    let (least, median) = (ms(times.first()), ms(times.get(times.len() / 2)));
    let mut out = std::io::stdout().lock();
    // Of several threads the time of the first alone is known.
    let cpu = match spent {
        Some(spent) if threads == 1 => format!(", \"cpu\": {}", spent / calls),
        _ => String::new(),
    };
    writeln!(out, "{{\"min\": {least}, \"median\": {median}{cpu}}}")?;
    Ok(())
}

/// Nanoseconds that this thread has run, where Linux tells.
fn on_processor() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    text.split_whitespace().next()?.parse().ok()
}
