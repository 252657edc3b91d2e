//! The arguments of every command.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::numbers::{finite, offset, positive, timesteps};
use super::when::Progress;

/// What every command takes.
#[derive(Debug, Args)]
pub(super) struct Common {
    /// Form of the answer on standard output; messages go to standard error
    #[arg(long, global = true, value_enum, default_value_t = Format::Text)]
    pub(super) format: Format,
    /// Number of threads, at most that of the cores [default: all]
    #[arg(short = 'j', long = "jobs", global = true, value_name = "N", value_parser = positive)]
    pub(super) threads: Option<usize>,
    /// Only errors
    #[arg(short, long, global = true)]
    pub(super) quiet: bool,
    /// When to show bars on long work
    #[arg(long, global = true, value_enum, default_value_t = Progress::Auto, value_name = "WHEN")]
    pub(super) progress: Progress,
    /// More of what happens; twice for all of it
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub(super) verbose: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    Text,
    Json,
}

/// What a pixel brings that had several events in one timestep.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum EventForm {
    Counts,
    Frames,
}

/// Arguments of `compile`.
#[derive(Debug, Args)]
#[command(mut_arg("shapes", |a| a.visible_alias("input")))]
#[command(after_help = "Example:\n  snnc compile model.onnx --target loihi,akida2,spleat -o out")]
pub(super) struct CompileArgs {
    /// The ONNX file
    #[arg(value_name = "MODEL.onnx")]
    pub(super) model: PathBuf,
    /// Targets, separated by commas, or `all`
    #[arg(long, value_delimiter = ',', required = true, value_name = "NAME")]
    pub(super) target: Vec<String>,
    /// Folder in which each target gets its own
    #[arg(short, long, default_value = "out", value_name = "DIR")]
    pub(super) output: PathBuf,
    /// Samples on which the certificate is checked and lossy targets are measured
    #[arg(long, value_name = "DATA.npz")]
    pub(super) data: Option<PathBuf>,
    /// Options in a file
    #[arg(long, value_name = "snnc.yaml")]
    pub(super) config: Option<PathBuf>,
    /// How values become spikes [default: the target's]
    #[arg(long, value_name = "CODE")]
    pub(super) code: Option<String>,
    /// Timesteps of the coding [default: the fewest that are exact, else the coding's own]
    #[arg(long, value_name = "T", value_parser = timesteps)]
    pub(super) timesteps: Option<usize>,
    /// Where membrane potentials of rate, multi-level and atif start [default: half; zero for atif]
    #[arg(long, value_name = "half|zero")]
    pub(super) initial: Option<String>,
    /// What firing does to the membrane potential in the coding rate [default: soft]
    #[arg(long, value_name = "soft|hard")]
    pub(super) reset: Option<String>,
    /// Leak of the coding rate: each timestep the potential loses its 2^K-th part [default: none]
    #[arg(long, value_name = "K")]
    pub(super) leak: Option<u8>,
    /// Device of the target
    #[arg(long, value_name = "NAME", conflicts_with = "hw")]
    pub(super) device: Option<String>,
    /// Hardware description of the target
    #[arg(long, value_name = "FILE.yaml")]
    pub(super) hw: Option<PathBuf>,
    #[command(flatten)]
    pub(super) quantise: QuantiseArgs,
    /// What the emitted network is held against
    #[arg(long, default_value = "ort", value_name = "ort|real|fixed")]
    pub(super) reference: String,
    /// An option of the target alone, as KEY=VALUE
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = key_value)]
    pub(super) set: Vec<(String, String)>,
    /// Also write the quantised network in another form: `onnx` is `quantised.onnx` in each folder, with
    /// QuantizeLinear and DequantizeLinear
    #[arg(long, value_enum, value_name = "FORM")]
    pub(super) emit: Option<Emit>,
    /// Write the network even where it does not fit, or its certificate failed, and say so
    #[arg(long)]
    pub(super) force: bool,
    /// Write nothing unless all targets can be written
    #[arg(long)]
    pub(super) all_or_nothing: bool,
    /// Print the network after this pass
    #[arg(long, value_name = "PASS")]
    pub(super) print_after: Option<String>,
    /// Print the network after every pass
    #[arg(long)]
    pub(super) print_after_all: bool,
    #[command(flatten)]
    pub(super) import: ImportArgs,
}

/// How a float model is quantised.
#[derive(Clone, Debug, Default, Args)]
pub(super) struct QuantiseArgs {
    /// Bits of payloads of a float model, or `auto` within a --budget [default: 8; 4 for Akida]
    #[arg(long, value_name = "BITS|auto")]
    pub(super) payload_bits: Option<String>,
    /// Bits of payloads of one population of a float model, by the name that tables give it
    #[arg(long = "site-bits", value_name = "NAME=BITS", value_parser = key_value)]
    pub(super) site_bits: Vec<(String, String)>,
    /// Limit for `--payload-bits auto`: avg-bits=B, wire-bits=B, spikes=N, synaptic-operations=N,
    /// energy=NJ (by the profile `hardware`; energy:PROFILE=NJ by another) for one sample of one
    /// timestep, or max-drop=POINTS
    #[arg(long, value_name = "KEY=VALUE", value_parser = key_value)]
    pub(super) budget: Vec<(String, String)>,
    /// Bits of weights of a float model [default: 8; 4 for Akida 1], or where the target leaves a choice
    #[arg(long, value_name = "BITS")]
    pub(super) weight_bits: Option<u8>,
    /// Bits of the weights of one layer of a float model, as NAME=BITS
    #[arg(long, value_name = "NAME=BITS", value_parser = key_value)]
    pub(super) layer_bits: Vec<(String, String)>,
    /// How weights of a float model become codes: second-order (by the errors of the layer's outputs on
    /// the calibration set, which it needs: statistics alone give nearest) or nearest
    #[arg(long, value_name = "METHOD", default_value = "nearest")]
    pub(super) rounding: String,
    /// How thresholds of a float model are chosen: mmse, max, percentile or percentile:P
    #[arg(long, value_name = "METHOD", default_value = "mmse")]
    pub(super) threshold: String,
    /// Whether each channel of a float model has a threshold of its own, folded into the weights
    /// [default: channel; layer with weights of less than 6 bits]
    #[arg(long, value_name = "layer|channel")]
    pub(super) granularity: Option<Granularity>,
    /// Leave the biases of a float model as they are, and not make up for what rounding shifts
    #[arg(long)]
    pub(super) no_bias_correction: bool,
    /// The calibration set of a float model, or of rates on Loihi [default: the samples of --data]
    #[arg(long, value_name = "FILE.npz")]
    pub(super) calibration: Option<PathBuf>,
    /// Statistics of a float model, from `snnc calibrate`
    #[arg(long, value_name = "STATS")]
    pub(super) statistics: Option<PathBuf>,
}

/// A form of the quantised network beside the target's files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Emit {
    /// Quantised ONNX (QDQ).
    Onnx,
}

/// What shares a threshold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Granularity {
    /// All neurons of a population.
    Layer,
    /// The neurons of a channel.
    Channel,
}

/// What import takes.
#[derive(Clone, Debug, Default, Args)]
pub(super) struct ImportArgs {
    /// Size of a symbolic dimension, as NAME=N
    #[arg(long = "dim", value_name = "NAME=N", value_parser = key_value)]
    pub(super) dims: Vec<(String, String)>,
    /// Shape of an input, as NAME:1x3x32x32
    #[arg(long = "input-shape", value_name = "NAME:SHAPE")]
    pub(super) shapes: Vec<String>,
    /// Read the model into memory instead of mapping it
    #[arg(long)]
    pub(super) no_mmap: bool,
    /// The samples of the command, whose shape says what symbolic dimensions are.
    #[arg(skip)]
    pub(super) samples: Option<PathBuf>,
}

fn key_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("it must be KEY=VALUE".into()),
    }
}

/// How integer data becomes a real input.
#[derive(Clone, Debug, Default, Args)]
pub(super) struct DataArgs {
    /// At most this many samples
    #[arg(long, value_name = "N", value_parser = positive)]
    pub(super) limit: Option<usize>,
    /// Factor for integer data [default: the artefact's, or 1/255]
    #[arg(long, value_name = "X", allow_negative_numbers = true, value_parser = finite)]
    pub(super) input_scale: Option<f64>,
    /// Added to integer data after the factor [default: the artefact's, or 0]
    #[arg(long, value_name = "X", allow_negative_numbers = true, value_parser = finite)]
    pub(super) input_offset: Option<f64>,
    /// Options in a file
    #[arg(long, value_name = "snnc.yaml")]
    pub(super) config: Option<PathBuf>,
}

/// How long a spiking network runs, and when its neurons are reset.
#[derive(Clone, Copy, Debug, Default, Args)]
pub(super) struct TimeArgs {
    /// Timesteps of a target's file without manifest [default: what the file or its input says]
    #[arg(long, value_name = "T", value_parser = timesteps)]
    pub(super) timesteps: Option<usize>,
    /// Reset current-based neurons every N timesteps, as NetX does with `reset_interval`
    #[arg(long, value_name = "N", value_parser = timesteps)]
    pub(super) reset_interval: Option<usize>,
    /// Timestep of the first reset, one later with each layer (`reset_offset` of NetX)
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = offset, requires = "reset_interval")]
    pub(super) reset_offset: usize,
}

/// How neurons in continuous time are run.
#[derive(Clone, Debug, Default, Args)]
pub(super) struct RealArgs {
    /// Seconds of one timestep of a .nir network [default: 1e-4]
    #[arg(long, value_name = "SECONDS")]
    pub(super) dt: Option<f32>,
    /// How its equations are solved: by Euler's method as snnTorch and Norse do, or exactly
    /// [default: euler]
    #[arg(long, value_name = "euler|exact")]
    pub(super) integration: Option<String>,
}

/// Arguments of `run`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  snnc run out/spleat --input samples.npz -o answers.npz --trace spikes.npz\n  snnc run network.net --input spikes.npy --reset-interval 17 --trace out.npz"
)]
pub(super) struct RunArgs {
    /// An artefact's folder, a target's file, or an ONNX file
    #[arg(value_name = "ARTEFACT|MODEL")]
    pub(super) network: PathBuf,
    /// Samples; with --bin-us recordings of an event camera
    #[arg(long, value_name = "X.npz|X.npy|X.bin|X.raw")]
    pub(super) input: PathBuf,
    /// The input is events (.bin, .raw, .dat, .aedat, .npz with t, x, y, p), cut into timesteps of this many us
    #[arg(long, value_name = "US", value_parser = clap::value_parser!(u64).range(1..), conflicts_with = "settle")]
    pub(super) bin_us: Option<u64>,
    /// What a pixel with several events in one timestep brings: their number, or 1
    #[arg(long, value_enum, default_value_t = EventForm::Counts, value_name = "FORM", requires = "bin_us")]
    pub(super) event_values: EventForm,
    /// Sum events over squares of this many pixels a side
    #[arg(long, value_name = "K", value_parser = clap::value_parser!(u16).range(1..), default_value_t = 1, requires = "bin_us")]
    pub(super) event_pool: u16,
    /// Leave out events outside of the network's input, which are an error otherwise
    #[arg(long, requires = "bin_us")]
    pub(super) event_crop: bool,
    /// Run what comes before the damage of recordings that are damaged
    #[arg(long, requires = "bin_us")]
    pub(super) lenient: bool,
    /// Run recordings so many timesteps at a time, which changes nothing [default: all]
    #[arg(long, value_name = "T", value_parser = positive, requires = "bin_us")]
    pub(super) chunk: Option<usize>,
    /// Where the answers go
    #[arg(short, long, value_name = "OUT.npz")]
    pub(super) output: Option<PathBuf>,
    /// Where the spikes of every population and timestep go
    #[arg(long, value_name = "TRACE.npz")]
    pub(super) trace: Option<PathBuf>,
    /// Say after how many timesteps each sample settled (signed-rate)
    #[arg(long)]
    pub(super) settle: bool,
    #[command(flatten)]
    pub(super) time: TimeArgs,
    #[command(flatten)]
    pub(super) real: RealArgs,
    #[command(flatten)]
    pub(super) data: DataArgs,
    #[command(flatten)]
    pub(super) import: ImportArgs,
}

/// Arguments of `eval`.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  snnc eval out/loihi --data test.npz --format json")]
pub(super) struct EvalArgs {
    /// An artefact's folder, a target's file, or an ONNX file
    #[arg(value_name = "ARTEFACT|MODEL")]
    pub(super) network: PathBuf,
    /// Samples `x` and labels `y`
    #[arg(long = "data", value_name = "D.npz")]
    pub(super) samples: PathBuf,
    /// Do not run the quantised network beside the artefact
    #[arg(long)]
    pub(super) no_reference: bool,
    /// Also say, from the reference's run and the certificate alone, of how many samples the class cannot change
    #[arg(long)]
    pub(super) certify_labels: bool,
    /// Profile whose energy is shown layer by layer
    #[arg(long, value_name = "NAME", default_value = "qualia-iconip")]
    pub(super) profile: String,
    #[command(flatten)]
    pub(super) time: TimeArgs,
    #[command(flatten)]
    pub(super) data: DataArgs,
    #[command(flatten)]
    pub(super) import: ImportArgs,
}

/// Arguments of `calibrate`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  snnc calibrate model.onnx --data train.npz --shard 1/4 -o part1.stats\n  snnc calibrate --merge part1.stats part2.stats -o all.stats"
)]
pub(super) struct CalibrateArgs {
    /// The ONNX file
    #[arg(value_name = "MODEL.onnx", required_unless_present = "merge")]
    pub(super) model: Option<PathBuf>,
    /// The calibration set
    #[arg(long = "data", value_name = "D.npz", required_unless_present = "merge")]
    pub(super) samples: Option<PathBuf>,
    /// Only this part of the samples, as I/N with I from 1
    #[arg(long, value_name = "I/N")]
    pub(super) shard: Option<String>,
    /// Statistics to be merged
    #[arg(long, value_name = "STATS", num_args = 1.., conflicts_with_all = ["model", "samples", "shard"])]
    pub(super) merge: Vec<PathBuf>,
    /// Also run the network with each population alone at few bits, and say how far its answer moves
    #[arg(long, conflicts_with = "merge")]
    pub(super) sensitivity: bool,
    /// Where the statistics go
    #[arg(short, long, value_name = "STATS")]
    pub(super) output: PathBuf,
    #[command(flatten)]
    pub(super) data: DataArgs,
    #[command(flatten)]
    pub(super) import: ImportArgs,
}

/// Arguments of `verify`.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  snnc verify out/akida1 --against model.onnx --data test.npz")]
pub(super) struct VerifyArgs {
    /// An artefact's folder
    #[arg(value_name = "ARTEFACT")]
    pub(super) artefact: PathBuf,
    /// The ONNX file
    #[arg(long, value_name = "MODEL.onnx")]
    pub(super) against: PathBuf,
    /// Samples for the cross-check
    #[arg(long = "data", value_name = "D.npz")]
    pub(super) samples: Option<PathBuf>,
    /// The calibration set with which a float model was compiled, to quantise it anew
    /// [default: the quantised network that the artefact recorded]
    #[arg(long, value_name = "FILE.npz")]
    pub(super) calibration: Option<PathBuf>,
    /// How accumulators of the model become codes
    #[arg(long, default_value = "ort", value_name = "ort|real|fixed")]
    pub(super) reference: String,
    /// Run the files in another program too: akida, lava, rtl (skipped where it is not installed)
    #[arg(long, value_name = "NAME")]
    pub(super) peer: Vec<String>,
    /// Accept populations that differ or are approximate
    #[arg(long)]
    pub(super) allow_approximate: bool,
    #[command(flatten)]
    pub(super) data: DataArgs,
    #[command(flatten)]
    pub(super) import: ImportArgs,
}

/// Arguments of `diff`.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  snnc diff out/reference out/spleat --input images.npz")]
pub(super) struct DiffArgs {
    /// An artefact, a model, or a trace (`.npz`, one array (N, T, ..) for each population)
    #[arg(value_name = "A")]
    pub(super) first: PathBuf,
    /// What it is held against
    #[arg(value_name = "B")]
    pub(super) second: PathBuf,
    /// Samples
    #[arg(long, value_name = "X.npz")]
    pub(super) input: PathBuf,
    #[command(flatten)]
    pub(super) data: DataArgs,
    #[command(flatten)]
    pub(super) import: ImportArgs,
}

/// Arguments of `report`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  snnc report out/spleat --data test.npz -o report.html\n  snnc report binary/spleat multi/spleat model.onnx --data test.npz -o both.html --csv both.csv"
)]
pub(super) struct ReportArgs {
    /// Artefacts' folders, targets' files, or ONNX files; several stand side by side
    #[arg(value_name = "ARTEFACT|MODEL", required = true)]
    pub(super) networks: Vec<PathBuf>,
    /// Samples `x` and labels `y`, for accuracy, activity and energy
    #[arg(long = "data", value_name = "D.npz")]
    pub(super) samples: Option<PathBuf>,
    /// Where the page goes
    #[arg(short, long, value_name = "REPORT.html")]
    pub(super) output: PathBuf,
    /// Write the table as comma-separated values as well
    #[arg(long, value_name = "TABLE.csv")]
    pub(super) csv: Option<PathBuf>,
    #[command(flatten)]
    pub(super) data: DataArgs,
    #[command(flatten)]
    pub(super) import: ImportArgs,
}

/// Arguments of `compare`.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  snnc compare binary/spleat multi/spleat model.onnx --data test.npz"
)]
pub(super) struct CompareArgs {
    /// Artefacts' folders, targets' files, or ONNX files
    #[arg(value_name = "ARTEFACT|MODEL", required = true)]
    pub(super) networks: Vec<PathBuf>,
    /// Samples `x` and labels `y`, for accuracy, activity and energy
    #[arg(long = "data", value_name = "D.npz")]
    pub(super) samples: Option<PathBuf>,
    /// Write the table as comma-separated values as well
    #[arg(long, value_name = "TABLE.csv")]
    pub(super) csv: Option<PathBuf>,
    #[command(flatten)]
    pub(super) data: DataArgs,
    #[command(flatten)]
    pub(super) import: ImportArgs,
}

/// Arguments of `explore`.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  snnc explore model.onnx --data test.npz --calibration train.npz --target spleat -o out"
)]
pub(super) struct ExploreArgs {
    /// The ONNX file; of a quantised model only the codings are explored
    #[arg(value_name = "MODEL.onnx")]
    pub(super) model: PathBuf,
    /// Samples `x` and labels `y`, for accuracy, activity and energy
    #[arg(long = "data", value_name = "D.npz")]
    pub(super) samples: PathBuf,
    /// The target
    #[arg(long, value_name = "NAME", default_value = "spleat")]
    pub(super) target: String,
    /// Where explore.html, explore.csv and explore.json go
    #[arg(short, long, value_name = "DIR")]
    pub(super) output: Option<PathBuf>,
    /// The calibration set of a float model [default: the samples]
    #[arg(long, value_name = "C.npz")]
    pub(super) calibration: Option<PathBuf>,
    /// Bits of weights of a float model
    #[arg(long, value_name = "BITS", default_value_t = 8)]
    pub(super) weight_bits: u8,
    /// Profile by whose energy points dominate each other
    #[arg(long, value_name = "NAME", default_value = "hardware")]
    pub(super) profile: String,
    /// Samples over which cycles are averaged
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = positive)]
    pub(super) cycle_samples: usize,
    #[command(flatten)]
    pub(super) data: DataArgs,
    #[command(flatten)]
    pub(super) import: ImportArgs,
}

/// Arguments of `inspect`.
#[derive(Debug, Args)]
#[command(mut_arg("shapes", |a| a.visible_alias("input")))]
#[command(after_help = "Example:\n  snnc inspect model.onnx")]
pub(super) struct InspectArgs {
    /// An artefact's folder, a target's file, or an ONNX file
    #[arg(value_name = "ARTEFACT|MODEL")]
    pub(super) network: PathBuf,
    #[command(flatten)]
    pub(super) import: ImportArgs,
}

/// Arguments of `targets`.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  snnc targets spleat")]
pub(super) struct TargetsArgs {
    /// One target
    #[arg(value_name = "NAME")]
    pub(super) name: Option<String>,
    /// Print the format of the target's files
    #[arg(long, requires = "name")]
    pub(super) image_format: bool,
}
