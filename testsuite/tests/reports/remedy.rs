//! Whether what a refusal says would help changes anything.

use libtest_mimic::Failed;
use snnc_backends::TARGETS;
use snnc_ir::Coding;
use snnc_testsuite::command::Outcome;

/// The first remedy of a refusal that only names what was given, or is of no use either: options of the same
/// command line, targets of which none takes the network, and codings (compiled by `coded`) that are refused
/// for the same reasons. What it says about the model itself is not followed.
pub fn leads_nowhere(
    refused: &Outcome,
    given: &[&str],
    taken: &[&str],
    coded: impl Fn(&str) -> Outcome,
) -> Option<String> {
    let useless = |remedy: &&String| {
        let named = |word: &str| names(remedy, word);
        let options = given.iter().any(|option| named(option));
        let targets: Vec<&str> = TARGETS.iter().map(|t| t.name()).filter(|t| named(t)).collect();
        let elsewhere = remedy.contains("compile for") && !targets.is_empty();
        let of_coding = remedy.contains("--code") || remedy.contains("coding");
        let mut codings = Coding::ALL.iter().map(|c| c.name()).filter(|c| of_coding && named(c));
        options
            || elsewhere && !targets.iter().any(|t| taken.contains(t))
            || codings.any(|coding| coded(coding).errors == refused.errors)
    };
    refused.remedies.iter().find(useless).cloned()
}

/// Whether a text has a word, with its hyphens.
fn names(text: &str, word: &str) -> bool {
    let part = |c: char| c.is_ascii_alphanumeric() || c == '-';
    text.split(|c| !part(c)).any(|w| w == word)
}

/// Each kind of useless remedy is found, and none of those that help.
pub fn finds() -> Result<(), Failed> {
    let refusal = |remedy: &str| Outcome {
        code: 3,
        errors: vec!["Conv `c`: has tables".into()],
        remedies: vec![remedy.into()],
        ..Outcome::default()
    };
    let found = |remedy: &str| {
        let coded = |coding: &str| match coding {
            "rate" => Outcome::default(),
            _ => refusal(""),
        };
        leads_nowhere(&refusal(remedy), &["--data"], &["nir", "reference"], coded).is_some()
    };
    let useless = [
        "give calibration data with --data",
        "compile for akida2, or use fewer bits",
        "use the coding multi-level or rate",
        "use --code graded",
    ];
    let useful = [
        "compile for akida2 or nir",
        "use --code rate",
        "use fewer bits",
        "give it with --data-scale",
        "quantise the rate of the graded ones",
    ];
    match (useless.iter().find(|r| !found(r)), useful.iter().find(|r| found(r))) {
        (None, None) => Ok(()),
        (Some(missed), _) => Err(format!("{missed}: not found").into()),
        (_, Some(wronged)) => Err(format!("{wronged}: called useless").into()),
    }
}
