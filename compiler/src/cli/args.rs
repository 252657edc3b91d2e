//! The arguments of every command.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::numbers::{finite, offset, positive, timesteps};
use super::when::Progress;

/// What every command takes.
#[derive(Debug, Args)]
pub(super) struct Common {
    /// Format of standard output; messages go to standard error
    #[arg(long, global = true, value_enum, default_value_t = Format::Text)]
    pub(super) format: Format,
    /// Number of threads [default: all cores]
    #[arg(short = 'j', long = "jobs", global = true, value_name = "N", value_parser = positive)]
    pub(super) threads: Option<usize>,
    /// Print errors only
    #[arg(short, long, global = true)]
    pub(super) quiet: bool,
    /// When to show progress bars
    #[arg(long, global = true, hide_short_help = true, value_enum, default_value_t = Progress::Auto, value_name = "WHEN")]
    pub(super) progress: Progress,
    /// Show all notes and more of what happens; twice for all of it
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub(super) verbose: u8,
    /// Show all columns of tables, also where the terminal is too narrow
    #[arg(long, global = true)]
    pub(super) wide: bool,
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
    /// Folder for the artefacts, one subfolder per target
    #[arg(short, long, default_value = "out", value_name = "DIR")]
    pub(super) output: PathBuf,
    /// Samples (and labels) on which the artefacts are run and measured
    #[arg(long, value_name = "DATA.npz")]
    pub(super) data: Option<PathBuf>,
    /// Options file, see `snnc config --print`
    #[arg(long, value_name = "snnc.yaml")]
    pub(super) config: Option<PathBuf>,
    /// How values become spikes [default: the target's]
    #[arg(long = "coding", visible_alias = "code", value_name = "CODING")]
    pub(super) code: Option<String>,
    /// Timesteps of the coding [default: the fewest that are exact]
    #[arg(long, value_name = "T", value_parser = timesteps)]
    pub(super) timesteps: Option<usize>,
    /// Initial membrane potential of rate, multi-level and atif [default: half; zero for atif]
    #[arg(long, hide_short_help = true, value_name = "half|zero")]
    pub(super) initial: Option<String>,
    /// Reset of the coding rate [default: soft]
    #[arg(long, hide_short_help = true, value_name = "soft|hard")]
    pub(super) reset: Option<String>,
    /// Leak of the coding rate: the potential loses its 2^K-th part in each timestep [default: none]
    #[arg(long, hide_short_help = true, value_name = "K")]
    pub(super) leak: Option<u8>,
    /// Device of the target
    #[arg(long, value_name = "NAME", conflicts_with = "hw")]
    pub(super) device: Option<String>,
    /// Hardware description of the target
    #[arg(long, value_name = "FILE.yaml")]
    pub(super) hw: Option<PathBuf>,
    #[command(flatten, next_help_heading = "Quantisation of float models")]
    pub(super) quantise: QuantiseArgs,
    /// Arithmetic of the quantised model with which the artefact is compared
    #[arg(long, default_value = "ort", value_name = "ort|real|fixed")]
    pub(super) reference: String,
    /// Option of one target, see `snnc targets NAME`
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = key_value)]
    pub(super) set: Vec<(String, String)>,
    /// Also write the quantised network: `onnx` is `quantised.onnx` in each folder, in QDQ form
    #[arg(long, value_enum, value_name = "FORM")]
    pub(super) emit: Option<Emit>,
    /// Write an artefact even if it does not fit or its certificate failed
    #[arg(long)]
    pub(super) force: bool,
    /// Write nothing unless every target can be written
    #[arg(long)]
    pub(super) all_or_nothing: bool,
    /// Print the network after this pass
    #[arg(long, hide_short_help = true, value_name = "PASS")]
    pub(super) print_after: Option<String>,
    /// Print the network after every pass
    #[arg(long, hide_short_help = true)]
    pub(super) print_after_all: bool,
    #[command(flatten, next_help_heading = "Model")]
    pub(super) import: ImportArgs,
}

/// How a float model is quantised.
#[derive(Clone, Debug, Default, Args)]
pub(super) struct QuantiseArgs {
    /// Payload bits, or `auto` within a --budget [default: 8; 4 for Akida]
    #[arg(long, value_name = "BITS|auto")]
    pub(super) payload_bits: Option<String>,
    /// Payload bits of one population, by its name in the tables
    #[arg(long = "site-bits", hide_short_help = true, value_name = "NAME=BITS", value_parser = key_value)]
    pub(super) site_bits: Vec<(String, String)>,
    /// Limit for `--payload-bits auto`: avg-bits=B, wire-bits=B, spikes=N, synaptic-operations=N,
    /// energy=NJ (by the profile `hardware`; energy:PROFILE=NJ by another) for one sample of one
    /// timestep, or max-drop=POINTS
    #[arg(long, value_name = "KEY=VALUE", value_parser = key_value)]
    pub(super) budget: Vec<(String, String)>,
    /// Weight bits [default: 8; 4 for Akida 1]
    #[arg(long, value_name = "BITS")]
    pub(super) weight_bits: Option<u8>,
    /// Weight bits of one layer
    #[arg(long, hide_short_help = true, value_name = "NAME=BITS", value_parser = key_value)]
    pub(super) layer_bits: Vec<(String, String)>,
    /// How weights are rounded: nearest, or second-order (GPTQ; needs a calibration set)
    #[arg(long, value_name = "METHOD", default_value = "nearest")]
    pub(super) rounding: String,
    /// How thresholds are chosen: mmse, max, percentile or percentile:P
    #[arg(long, value_name = "METHOD", default_value = "mmse")]
    pub(super) threshold: String,
    /// Whether each channel has its own threshold, folded into the weights
    /// [default: channel; layer with weights of less than 6 bits]
    #[arg(long, hide_short_help = true, value_name = "layer|channel")]
    pub(super) granularity: Option<Granularity>,
    /// Do not correct biases for the mean quantisation error
    #[arg(long, hide_short_help = true)]
    pub(super) no_bias_correction: bool,
    /// Calibration set of a float model, or of rates on Loihi [default: --data]
    #[arg(long, value_name = "FILE.npz")]
    pub(super) calibration: Option<PathBuf>,
    /// Statistics from `snnc calibrate`, instead of a calibration set
    #[arg(long, value_name = "STATS")]
    pub(super) statistics: Option<PathBuf>,
}

/// A form of the quantised network, written with the target's files.
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
    /// Read files into memory, and map none
    #[arg(long, hide_short_help = true)]
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

/// How integer data becomes a float input.
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
    /// Options file, see `snnc config --print`
    #[arg(long, value_name = "snnc.yaml")]
    pub(super) config: Option<PathBuf>,
}

/// How long a spiking network runs, and when its neurons are reset.
#[derive(Clone, Copy, Debug, Default, Args)]
pub(super) struct TimeArgs {
    /// Timesteps of a bare target file [default: from the file or the input]
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
    /// Seconds per timestep of a .nir network [default: 1e-4]
    #[arg(long, value_name = "SECONDS")]
    pub(super) dt: Option<f32>,
    /// Integration of a .nir network: euler (as snnTorch and Norse) or exact [default: euler]
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
    /// Input is events (.bin, .raw, .dat, .aedat, or .npz with t, x, y, p), binned into timesteps of this many us
    #[arg(long, value_name = "US", value_parser = clap::value_parser!(u64).range(1..), conflicts_with = "settle")]
    pub(super) bin_us: Option<u64>,
    /// Value of a pixel with several events in one timestep: their number, or 1
    #[arg(long, hide_short_help = true, value_enum, default_value_t = EventForm::Counts, value_name = "FORM", requires = "bin_us")]
    pub(super) event_values: EventForm,
    /// Sum events over squares of K by K pixels
    #[arg(long, hide_short_help = true, value_name = "K", value_parser = clap::value_parser!(u16).range(1..), default_value_t = 1, requires = "bin_us")]
    pub(super) event_pool: u16,
    /// Ignore events outside the network's input instead of refusing them
    #[arg(long, hide_short_help = true, requires = "bin_us")]
    pub(super) event_crop: bool,
    /// Run damaged recordings up to the damage
    #[arg(long, hide_short_help = true, requires = "bin_us")]
    pub(super) lenient: bool,
    /// Timesteps of a recording that are processed at once; the result is the same [default: all]
    #[arg(long, hide_short_help = true, value_name = "T", value_parser = positive, requires = "bin_us")]
    pub(super) chunk: Option<usize>,
    /// File for the outputs
    #[arg(short, long, value_name = "OUT.npz")]
    pub(super) output: Option<PathBuf>,
    /// File for the spikes of every population and timestep
    #[arg(long, value_name = "TRACE.npz")]
    pub(super) trace: Option<PathBuf>,
    /// Report when each sample reached a steady state (signed-rate)
    #[arg(long)]
    pub(super) settle: bool,
    #[command(flatten, next_help_heading = "Time")]
    pub(super) time: TimeArgs,
    #[command(flatten, next_help_heading = "Continuous-time networks (.nir)")]
    pub(super) real: RealArgs,
    #[command(flatten, next_help_heading = "Data")]
    pub(super) data: DataArgs,
    #[command(flatten, next_help_heading = "Model")]
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
    /// Do not compare with the quantised network
    #[arg(long)]
    pub(super) no_reference: bool,
    /// Count the samples whose class the certificate guarantees
    #[arg(long)]
    pub(super) certify_labels: bool,
    /// Energy profile that is shown layer by layer
    #[arg(long, value_name = "NAME", default_value = "qualia-iconip")]
    pub(super) profile: String,
    #[command(flatten, next_help_heading = "Time")]
    pub(super) time: TimeArgs,
    #[command(flatten, next_help_heading = "Data")]
    pub(super) data: DataArgs,
    #[command(flatten, next_help_heading = "Model")]
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
    /// Statistics to merge
    #[arg(long, value_name = "STATS", num_args = 1.., conflicts_with_all = ["model", "samples", "shard"])]
    pub(super) merge: Vec<PathBuf>,
    /// Also quantise one population at a time and report the change of the output
    #[arg(long, conflicts_with = "merge")]
    pub(super) sensitivity: bool,
    /// File for the statistics
    #[arg(short, long, value_name = "STATS")]
    pub(super) output: PathBuf,
    #[command(flatten, next_help_heading = "Data")]
    pub(super) data: DataArgs,
    #[command(flatten, next_help_heading = "Model")]
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
    /// Calibration set with which the float model is quantised again
    /// [default: the quantised network in the artefact]
    #[arg(long, value_name = "FILE.npz")]
    pub(super) calibration: Option<PathBuf>,
    /// Arithmetic of the quantised model
    #[arg(long, default_value = "ort", value_name = "ort|real|fixed")]
    pub(super) reference: String,
    /// Also run the files in another program, if installed: akida, lava, rtl
    #[arg(long, value_name = "NAME")]
    pub(super) peer: Vec<String>,
    /// Accept populations that differ or are approximate
    #[arg(long)]
    pub(super) allow_approximate: bool,
    #[command(flatten, next_help_heading = "Data")]
    pub(super) data: DataArgs,
    #[command(flatten, next_help_heading = "Model")]
    pub(super) import: ImportArgs,
}

/// Arguments of `diff`.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  snnc diff out/reference out/spleat --input images.npz")]
pub(super) struct DiffArgs {
    /// An artefact, a model, or a trace (`.npz`, one array (N, T, ..) for each population)
    #[arg(value_name = "A")]
    pub(super) first: PathBuf,
    /// What it is compared with
    #[arg(value_name = "B")]
    pub(super) second: PathBuf,
    /// Samples
    #[arg(long, value_name = "X.npz")]
    pub(super) input: PathBuf,
    #[command(flatten, next_help_heading = "Data")]
    pub(super) data: DataArgs,
    #[command(flatten, next_help_heading = "Model")]
    pub(super) import: ImportArgs,
}

/// Arguments of `report`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  snnc report out/spleat --data test.npz -o report.html\n  snnc report binary/spleat multi/spleat model.onnx --data test.npz -o both.html --csv both.csv"
)]
pub(super) struct ReportArgs {
    /// Artefacts, folders of artefacts, target files or ONNX files
    #[arg(value_name = "ARTEFACT|MODEL", required = true)]
    pub(super) networks: Vec<PathBuf>,
    /// Samples `x` and labels `y`, for accuracy, activity and energy
    #[arg(long = "data", value_name = "D.npz")]
    pub(super) samples: Option<PathBuf>,
    /// File for the page
    #[arg(short, long, value_name = "REPORT.html")]
    pub(super) output: PathBuf,
    /// Write the table as comma-separated values as well
    #[arg(long, value_name = "TABLE.csv")]
    pub(super) csv: Option<PathBuf>,
    #[command(flatten, next_help_heading = "Data")]
    pub(super) data: DataArgs,
    #[command(flatten, next_help_heading = "Model")]
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
    #[command(flatten, next_help_heading = "Data")]
    pub(super) data: DataArgs,
    #[command(flatten, next_help_heading = "Model")]
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
    /// Folder for explore.html, explore.csv and explore.json
    #[arg(short, long, value_name = "DIR")]
    pub(super) output: Option<PathBuf>,
    /// The calibration set of a float model [default: the samples]
    #[arg(long, value_name = "C.npz")]
    pub(super) calibration: Option<PathBuf>,
    /// Bits of weights of a float model
    #[arg(long, value_name = "BITS", default_value_t = 8)]
    pub(super) weight_bits: u8,
    /// Energy profile by which points dominate each other
    #[arg(long, value_name = "NAME", default_value = "hardware")]
    pub(super) profile: String,
    /// Samples over which cycles are averaged
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = positive)]
    pub(super) cycle_samples: usize,
    #[command(flatten, next_help_heading = "Data")]
    pub(super) data: DataArgs,
    #[command(flatten, next_help_heading = "Model")]
    pub(super) import: ImportArgs,
}

/// Arguments of `inspect`.
#[derive(Debug, Args)]
#[command(mut_arg("shapes", |a| a.visible_alias("input")))]
#[command(after_help = "Example:\n  snnc inspect model.onnx")]
pub(super) struct InspectArgs {
    /// An artefact, a folder of artefacts, a target's file, or an ONNX file
    #[arg(value_name = "ARTEFACT|MODEL")]
    pub(super) network: PathBuf,
    #[command(flatten, next_help_heading = "Model")]
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
