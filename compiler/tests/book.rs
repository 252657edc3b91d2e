//! README and the book: their commands give what they print, their links lead somewhere, and no page is
//! left out. `TRYCMD=overwrite` writes what commands print into the pages.

mod common;

use std::collections::BTreeSet;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use common::repository;
use pulldown_cmark::{CodeBlockKind, Event, Options, Parser, Tag, TagEnd};

/// README, CONTRIBUTING, CHANGELOG, ARCHITECTURE and all pages of the book.
fn pages() -> Vec<PathBuf> {
    let root = repository().canonicalize().expect("the repository is there");
    let names = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "ARCHITECTURE.md"];
    let mut found: Vec<PathBuf> = names.iter().map(|name| root.join(name)).collect();
    let mut folders = vec![root.join("docs")];
    while let Some(folder) = folders.pop() {
        let entries = fs::read_dir(&folder).expect("a folder");
        for path in entries.map(|entry| entry.expect("reads").path()) {
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "md") {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

fn text(page: &Path) -> String {
    fs::read_to_string(page).unwrap_or_else(|e| panic!("{}: {e}", page.display()))
}

/// Runs the commands of a page in a folder of its own that holds the repository's `examples` and
/// `testsuite`, as they would run in the repository.
fn run(page: &Path) {
    let root = repository().canonicalize().expect("the repository is there");
    let folder = tempfile::tempdir().expect("a folder");
    for name in ["examples", "testsuite"] {
        std::os::unix::fs::symlink(root.join(name), folder.path().join(name)).expect("links");
    }
    std::env::set_current_dir(folder.path()).expect("the folder is there");
    let cases = trycmd::TestCases::new();
    cases.register_bin("snnc", Path::new(env!("CARGO_BIN_EXE_snnc")));
    cases.env("NO_COLOR", "1").env("COLUMNS", "80").case(page);
    cases.run();
    std::env::set_current_dir(root).expect("the repository is there");
}

/// The one test that changes the working folder, which all threads share.
#[test]
fn commands_print_what_the_pages_say() {
    let run_blocks = |page: &PathBuf| text(page).contains("```console\n");
    let failed: Vec<PathBuf> = pages()
        .into_iter()
        .filter(run_blocks)
        .filter(|page| catch_unwind(AssertUnwindSafe(|| run(page))).is_err())
        .collect();
    assert!(failed.is_empty(), "{failed:?}");
}

#[test]
fn commands_stand_in_blocks_that_are_run() {
    for page in pages() {
        let (text, mut language) = (text(&page), None);
        for event in Parser::new(&text) {
            match event {
                Event::Start(Tag::CodeBlock(CodeBlockKind::Fenced(info))) => language = Some(info),
                Event::End(TagEnd::CodeBlock) => language = None,
                Event::Text(block) if language.as_deref().is_some_and(|l| l != "console") => {
                    let command = block.lines().find(|line| line.starts_with("snnc "));
                    assert!(command.is_none(), "{}: {command:?} is not run", page.display());
                }
                _ => {}
            }
        }
    }
}

/// The anchor of a heading, as GitHub and mdBook make it.
fn anchor(heading: &str) -> String {
    let kept =
        heading.trim().chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.map(|c| if c == ' ' { '-' } else { c.to_ascii_lowercase() }).collect()
}

/// Destinations of all links of a page, and the anchors of its headings.
fn links(text: &str) -> (Vec<String>, BTreeSet<String>) {
    let (mut links, mut anchors, mut heading) = (Vec::new(), BTreeSet::new(), None);
    for event in Parser::new_ext(text, Options::ENABLE_TABLES) {
        match event {
            Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => {
                links.push(dest_url.into_string());
            }
            Event::Start(Tag::Heading { .. }) => heading = Some(String::new()),
            Event::End(TagEnd::Heading(_)) => {
                anchors.extend(heading.take().map(|heading: String| anchor(&heading)));
            }
            Event::Text(text) | Event::Code(text) => {
                if let Some(heading) = &mut heading {
                    heading.push_str(&text);
                }
            }
            _ => {}
        }
    }
    (links, anchors)
}

/// Links of a page that lead to no file or no heading.
fn dead_links(page: &Path) -> Vec<String> {
    let is_dead = |link: &String| {
        if link.contains("://") {
            return false;
        }
        let (file, heading) = link.split_once('#').unwrap_or((link, ""));
        let folder = page.parent().expect("a folder");
        let path = if file.is_empty() { page.to_owned() } else { folder.join(file) };
        let is_there =
            path.exists() && (heading.is_empty() || links(&text(&path)).1.contains(heading));
        !is_there
    };
    links(&text(page)).0.into_iter().filter(is_dead).collect()
}

#[test]
fn links_lead_somewhere() {
    let folder = tempfile::tempdir().expect("a folder");
    let page = folder.path().join("page.md");
    fs::write(&page, "# A `b` c\n[1](#a-b-c) [2](#other) [3](none.md)").expect("writes");
    assert_eq!(dead_links(&page), ["#other", "none.md"]);
    for page in pages() {
        let dead = dead_links(&page);
        assert!(dead.is_empty(), "{}: {dead:?}", page.display());
    }
}

#[test]
fn the_summary_lists_every_page_once() {
    let docs = repository().canonicalize().expect("is there").join("docs");
    let mut listed: Vec<PathBuf> =
        links(&text(&docs.join("SUMMARY.md"))).0.iter().map(|link| docs.join(link)).collect();
    listed.sort();
    let is_page = |page: &PathBuf| page.starts_with(&docs) && !page.ends_with("SUMMARY.md");
    let pages: Vec<PathBuf> = pages().into_iter().filter(is_page).collect();
    assert_eq!(listed, pages);
}

/// README is what a visitor reads in two screens.
#[test]
fn the_readme_is_short() {
    let lines = text(&repository().join("README.md")).lines().count();
    assert!(lines <= 130, "{lines} lines");
}
