//! `filetests/*/*.snnir`: one file is one case. Its first line is a command behind `// `, a graph follows, and
//! behind the line `// gives:` what the command makes of it. `BLESS=1` writes what it makes.
//!
//! | command | what it gives |
//! |---|---|
//! | `verify` | `ok`, or all that is wrong with the graph; what is wrong with the text |
//! | `run X,X,.. [; X,..]` | the outputs for reals, for each sample: of a spiking graph the raw values too |
//! | `certify TARGET` | the statements on what the target makes of a quantised graph |
//! | `legalise TARGET [KEY=VALUE ..]` | the network in the target's arithmetic, or all that keeps it from there |

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use snnc::certificate::certify;
use snnc::passes::{Context, canonicalise, graded, quantised};
use snnc_backends::{TargetOptions, target};
use snnc_ir::{Graph, PrintOptions, Stage, Verified, verify};
use snnc_runtime::spiking::{Network, Sample};
use snnc_runtime::tensor::{Program, Value};
use snnc_testsuite::repository;
use snnc_testsuite::table::Table;

/// What stands between a graph and what a command gives.
const GIVES: &str = "// gives:\n";

fn cases() -> Vec<PathBuf> {
    let mut found = Vec::new();
    let root = repository().join("testsuite/filetests");
    for folder in std::fs::read_dir(root).expect("the cases").flatten() {
        let files = std::fs::read_dir(folder.path()).expect("a folder of cases").flatten();
        found.extend(files.map(|file| file.path()));
    }
    found.sort();
    found
}

/// What a command gives for a graph; an error where the case itself is wrong.
fn given(command: &str, text: &str) -> Result<String, String> {
    let words: Vec<&str> = command.split_whitespace().collect();
    let graph = match (Graph::from_text(text), words.as_slice()) {
        (Ok(graph), _) => graph,
        (Err(e), ["verify"]) => return Ok(format!("{e}\n")),
        (Err(e), _) => return Err(e.to_string()),
    };
    let verified = match (verify(graph), words.as_slice()) {
        (Ok(_), ["verify"]) => return Ok("ok\n".into()),
        (Err(errors), ["verify"]) => return Ok(lines(errors.iter().map(ToString::to_string))),
        (other, _) => other.map_err(|errors| format!("{errors:?}"))?,
    };
    match words.as_slice() {
        ["run", samples @ ..] => ran(&verified, &samples.join(" ")),
        ["certify", name] => certified(verified, name),
        ["legalise", name, options @ ..] => legalised(&verified, name, options),
        _ => Err(format!("there is no command `{command}`")),
    }
}

fn lines(all: impl Iterator<Item = String>) -> String {
    all.fold(String::new(), |text, line| text + &line + "\n")
}

fn ran(graph: &Verified, samples: &str) -> Result<String, String> {
    let mut text = String::new();
    for sample in samples.split(';') {
        let numbers = sample.split(',').map(|x| x.trim().parse::<f32>().map_err(|e| e.to_string()));
        let numbers: Vec<f32> = numbers.collect::<Result<_, _>>()?;
        if graph.stage == Stage::Spiking {
            let network = Network::new(graph).map_err(|e| e.to_string())?;
            let outcome = network.run(&[Sample::Real(numbers)]).map_err(|e| e.to_string())?;
            for output in outcome.outputs {
                let _ = writeln!(text, "{} {:?} of {:?}", output.name, output.scores, output.raw);
            }
        } else {
            let input = &graph[graph.inputs()[0]];
            let value = Value::from_f32(&input.ty.shape, numbers).map_err(|e| e.to_string())?;
            let program = Program::new(graph).map_err(|e| e.to_string())?;
            let outcome = program.run(&[value]).map_err(|e| e.to_string())?;
            for (name, value) in outcome.outputs {
                let _ = writeln!(text, "{name} {:?}", value.to_f32());
            }
        }
    }
    Ok(text)
}

fn certified(graph: Verified, name: &str) -> Result<String, String> {
    let context = &mut Context::default();
    let tensor = canonicalise(graph.into_inner(), context).map_err(|e| e.to_string())?;
    let codes = quantised(tensor, context).map_err(|e| e.to_string())?;
    let conversion = graded::convert(&codes).map_err(|e| e.to_string())?;
    let canonical = verify(conversion.network.clone()).map_err(|e| format!("{e:?}"))?;
    let target = target(name).ok_or("there is no such target")?;
    let legalised = target.legalise(&canonical, &TargetOptions::default());
    let network = legalised.map_err(|v| format!("{v:?}"))?.network;
    let certificate = certify(&codes, &conversion, &network);
    let rows = certificate.populations.iter().map(|p| {
        let (name, verdict, method) = (&p.population, p.verdict, &p.method);
        format!("{name}: {verdict}, {} of {} differ; {method}", p.differing, p.reachable)
    });
    Ok(format!("{}\n{}", certificate.verdict, lines(rows)))
}

fn legalised(graph: &Verified, name: &str, options: &[&str]) -> Result<String, String> {
    let target = target(name).ok_or("there is no such target")?;
    let pair = |option: &&str| {
        let (key, value) = option.split_once('=').ok_or("options are KEY=VALUE")?;
        Ok((key.to_owned(), value.to_owned()))
    };
    let extra = options.iter().map(pair).collect::<Result<_, String>>()?;
    let options = TargetOptions { extra, ..TargetOptions::default() };
    Ok(match target.legalise(graph, &options) {
        Ok(legalised) => legalised.network.to_text(PrintOptions::default()),
        Err(violations) => {
            lines(violations.iter().map(|v| format!("{}: {} ({})", v.node, v.reason, v.remedy)))
        }
    })
}

fn judge(path: &Path) -> Result<(), String> {
    let text = std::fs::read_to_string(path).map_err(|e| e.to_string())?;
    let (command, graph) = text.split_once('\n').ok_or("it is empty")?;
    let command = command.strip_prefix("// ").ok_or("the first line names no command")?;
    let (graph, expected) = graph.split_once(GIVES).unwrap_or((graph, ""));
    let found = given(command, graph)?;
    if found == expected {
        return Ok(());
    }
    if Table::blessing() {
        let text = format!("// {command}\n{graph}{GIVES}{found}");
        return std::fs::write(path, text).map_err(|e| e.to_string());
    }
    Err(format!("gives\n{found}"))
}

#[test]
fn every_file_gives_what_it_says() {
    let cases = cases();
    assert!(cases.len() > 10, "only {} cases", cases.len());
    let wrong = |path: &PathBuf| judge(path).err().map(|e| format!("{}: {e}", path.display()));
    let wrong: Vec<String> = cases.iter().filter_map(wrong).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
