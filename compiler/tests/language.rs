//! The words of the project: what users read holds none that the glossary replaces (`docs/lexicon.md`).

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use common::{repository, snnc};
use pulldown_cmark::{Event, Parser, Tag, TagEnd};

/// Words that are replaced, and by what.
fn replaced() -> BTreeMap<String, String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/language.yaml");
    serde_yaml::from_str(&fs::read_to_string(path).expect("reads")).expect("YAML")
}

/// A text in lower case, its words with one blank around each.
fn words(text: &str) -> String {
    let is_part = |c: char| c.is_alphanumeric() || matches!(c, '-' | '\'');
    let words = text.split(|c: char| !is_part(c)).filter(|word| !word.is_empty());
    let words: Vec<String> = words.map(str::to_lowercase).collect();
    format!(" {} ", words.join(" "))
}

/// What a text holds of these words.
fn found(text: &str, replaced: &BTreeMap<String, String>) -> Vec<String> {
    let text = words(text);
    let is_there = |(word, _): &(&String, &String)| text.contains(&format!(" {word} "));
    replaced.iter().filter(is_there).map(|(word, by)| format!("`{word}`: write {by}")).collect()
}

/// A page without its blocks of code.
fn prose(page: &str) -> String {
    let (mut text, mut is_code) = (String::new(), false);
    for event in Parser::new(page) {
        match event {
            Event::Start(Tag::CodeBlock(_)) => is_code = true,
            Event::End(TagEnd::CodeBlock) => is_code = false,
            Event::Text(part) if !is_code => text.push_str(&part),
            Event::End(_) | Event::SoftBreak | Event::HardBreak => text.push('\n'),
            _ => {}
        }
    }
    text
}

fn check(place: &str, text: &str) -> Vec<String> {
    let all = found(text, &replaced());
    all.into_iter().map(|word| format!("{place}: {word}")).collect()
}

#[test]
fn words_are_found_across_lines_and_signs_and_parts_of_words_are_not() {
    let replaced = [("stop at".to_owned(), "saturate at".to_owned())].into();
    for text in ["neurons Stop at 15", "they stop\n  at it", "(stop, at)"] {
        assert_eq!(found(text, &replaced), ["`stop at`: write saturate at"], "{text}");
    }
    assert!(found("nonstop at stop-at", &replaced).is_empty());
    assert_eq!(prose("a `b`\n```\nc\n```\nd").split_whitespace().collect::<Vec<_>>(), ["a", "d"]);
}

#[test]
fn pages_use_the_words_of_the_glossary() {
    let root = repository();
    let mut pages =
        vec![root.join("README.md"), root.join("CONTRIBUTING.md"), root.join("ARCHITECTURE.md")];
    for folder in ["docs", "docs/targets", "docs/walks"] {
        let entries = fs::read_dir(root.join(folder)).expect("a folder");
        let paths = entries.map(|entry| entry.expect("reads").path());
        pages.extend(paths.filter(|path| path.extension().is_some_and(|e| e == "md")));
    }
    // The glossary names what it replaces.
    pages.retain(|page| !page.ends_with("lexicon.md"));
    let problems: Vec<String> = pages
        .iter()
        .flat_map(|page| {
            check(&page.display().to_string(), &prose(&fs::read_to_string(page).expect("reads")))
        })
        .collect();
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[test]
fn help_uses_the_words_of_the_glossary() {
    let answer = |arguments: &[&str]| String::from_utf8_lossy(&snnc(arguments).stdout).into_owned();
    let help = answer(&["--help"]);
    let (_, list) = help.split_once("Commands:").expect("help lists commands");
    let (list, _) = list.split_once("\n\n").expect("and then options");
    let names = list.lines().filter_map(|line| line.strip_prefix("  ")?.split(' ').next());
    let mut texts =
        vec![("--help".to_owned(), help.clone()), ("passes".into(), answer(&["passes"]))];
    for name in names.filter(|name| !name.is_empty()) {
        texts.push((format!("{name} --help"), answer(&[name, "--help"])));
    }
    for target in snnc_backends::TARGETS {
        texts.push((format!("targets {}", target.name()), answer(&["targets", target.name()])));
    }
    assert!(texts.len() > 20, "{}", texts.len());
    let problems: Vec<String> = texts.iter().flat_map(|(place, text)| check(place, text)).collect();
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[test]
fn messages_of_the_tables_of_outcomes_use_the_words_of_the_glossary() {
    for table in ["reports.yaml", "hostile.yaml", "digests.yaml"] {
        let path = repository().join("testsuite/cases").join(table);
        let text = fs::read_to_string(path).expect("reads");
        let reasons = text.lines().filter_map(|line| line.split_once("reason: ").map(|(_, r)| r));
        let mut problems: Vec<String> = reasons.flat_map(|reason| check(table, reason)).collect();
        problems.dedup();
        assert!(problems.is_empty(), "{}", problems.join("\n"));
    }
}
