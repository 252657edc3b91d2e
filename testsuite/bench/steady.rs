//! Times a spiking network in steady state and prints a line of JSON: least and median milliseconds
//! of a call. `compare.py` runs it.
//!
//! `snnc-bench NETWORK.snn SAMPLES.f32 [--batch N] [--threads N] [--seconds S]`; the samples are
//! little-endian reals, one sample after the other.

use std::time::{Duration, Instant};

use snnc_ir::Graph;
use snnc_runtime::spiking::{Network, RunError, Sample};

type Fault = Box<dyn std::error::Error + Send + Sync>;

fn main() -> Result<(), Fault> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |name: &str, fallback: f64| -> Result<f64, Fault> {
        let at = arguments.iter().position(|a| a == name);
        let text = at.and_then(|at| arguments.get(at + 1));
        Ok(text.map(|text| text.parse()).transpose()?.unwrap_or(fallback))
    };
    let [network, samples, ..] = arguments.as_slice() else {
        return Err("name a network and samples".into());
    };
    let graph = Graph::from_wire(std::fs::read(network)?.into())?;
    let input = graph.inputs().first().map_or(1, |&id| graph[id].ty.len());
    let samples: Vec<Sample> = std::fs::read(samples)?
        .chunks_exact(4 * input.max(1))
        .map(|x| {
            Sample::Real(x.as_chunks::<4>().0.iter().map(|&b| f32::from_le_bytes(b)).collect())
        })
        .collect();
    if samples.is_empty() {
        return Err("there is not one whole sample".into());
    }
    let network = Network::new(&graph)?;
    if !network.is_prepared() {
        return Err("the network has no prepared form".into());
    }
    let (batch, threads) = (number("--batch", 1.0)? as usize, number("--threads", 1.0)? as usize);
    time(&network, &samples, batch, threads, number("--seconds", 1.5)?)
}

/// Runs batches for so many seconds.
fn time(
    network: &Network,
    samples: &[Sample],
    batch: usize,
    threads: usize,
    seconds: f64,
) -> Result<(), Fault> {
    let share = |from: usize, first: usize| -> Result<(), RunError> {
        for i in (first..batch).step_by(threads) {
            network.run(std::slice::from_ref(&samples[(from + i) % samples.len()]))?;
        }
        Ok(())
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
    let end = Instant::now() + Duration::from_secs_f64(seconds);
    while Instant::now() < end {
        let start = Instant::now();
        call(from)?;
        times.push(start.elapsed());
        from += batch;
    }
    times.sort_unstable();
    let ms = |t: Option<&Duration>| t.map_or(0.0, |t| t.as_secs_f64() * 1e3);
    let (least, median) = (ms(times.first()), ms(times.get(times.len() / 2)));
    let mut out = std::io::stdout().lock();
    use std::io::Write;
    writeln!(out, "{{\"min\": {least}, \"median\": {median}}}")?;
    Ok(())
}
