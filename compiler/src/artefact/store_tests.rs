//! Kills and failures at every step of writing.

use std::collections::BTreeMap;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::artefact::{FORMAT, FileRow};

/// An artefact that holds `text` in a file of its own.
fn files(text: &str) -> Vec<snnc_backends::File> {
    let row = FileRow {
        path: "deep/file".into(),
        bytes: text.len() as u64,
        sha256: sha256_hex(text.as_bytes()),
    };
    let rows = serde_yaml::to_string(&[row]).unwrap();
    let manifest = format!("format: {FORMAT}\nversion: 1\nfiles:\n{rows}");
    vec![snnc_backends::File::new(MANIFEST, manifest), snnc_backends::File::new("deep/file", text)]
}

fn named(names: &[&str], text: &str) -> Vec<(String, Vec<snnc_backends::File>)> {
    names.iter().map(|name| ((*name).to_owned(), files(text))).collect()
}

fn content(directory: &Path, name: &str) -> String {
    fs::read_to_string(directory.join(name).join("deep/file")).unwrap_or_default()
}

/// Names in a folder.
fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).into_iter().flatten();
    let mut names: Vec<String> =
        entries.map(|e| e.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[test]
fn folders_are_replaced_whole_and_others_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let out = directory.path().join("new/out");
    write_all(&out, &named(&["a"], "1")).unwrap();
    write_all(&out, &named(&["a", "b"], "2")).unwrap();
    assert_eq!([content(&out, "a"), content(&out, "b")], ["2", "2"]);
    fs::create_dir(out.join("mine")).unwrap();
    fs::write(out.join("mine/notes"), "x").unwrap();
    let refused = write_all(&out, &named(&["a", "mine"], "3"));
    assert_eq!(refused.unwrap_err().exit_code(), 2);
    assert_eq!(content(&out, "a"), "2");
    // Notes in an artefact's folder are kept, and the artefact with them.
    fs::write(out.join("b/notes"), "x").unwrap();
    assert_eq!(write_all(&out, &named(&["b"], "3")).unwrap_err().exit_code(), 2);
    assert_eq!([content(&out, "b"), fs::read_to_string(out.join("b/notes")).unwrap()], ["2", "x"]);
    assert_eq!(names(&out), ["a", "b", "mine"], "nothing is left behind");
}

#[test]
fn folders_of_others_that_look_like_staging_are_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let mine = directory.path().join(".snnc-mine");
    fs::create_dir(&mine).unwrap();
    fs::write(mine.join("lock"), "of my bicycle").unwrap();
    fs::write(directory.path().join(".snnc-file"), "x").unwrap();
    write_all(directory.path(), &named(&["a"], "1")).unwrap();
    assert_eq!(names(directory.path()), [".snnc-file", ".snnc-mine", "a"]);
    assert_eq!(names(&mine), ["lock"]);
}

/// Number of steps of one write of two folders, of which one is replaced.
fn steps() -> usize {
    let directory = tempfile::tempdir().unwrap();
    write_all(directory.path(), &named(&["a"], "old")).unwrap();
    let count = AtomicUsize::new(0);
    let step = |_| {
        count.fetch_add(1, Ordering::Relaxed);
        Ok(())
    };
    write_with(directory.path(), &named(&["a", "b"], "new"), &step).unwrap();
    count.into_inner()
}

#[test]
fn a_failure_at_any_step_changes_nothing() {
    let total = steps();
    assert!(total > 20, "{total}");
    for failing in 0..total {
        let directory = tempfile::tempdir().unwrap();
        write_all(directory.path(), &named(&["a", "c"], "old")).unwrap();
        let (count, at) = (AtomicUsize::new(0), Mutex::new(""));
        let step = |what| {
            if count.fetch_add(1, Ordering::Relaxed) == failing {
                *at.lock().unwrap() = what;
                return Err(io::ErrorKind::StorageFull.into());
            }
            Ok(())
        };
        let result = write_with(directory.path(), &named(&["a", "b", "c"], "new"), &step);
        let at = *at.lock().unwrap();
        // What is left of the staging folder is the next run's to remove, or the end of this one's.
        assert_eq!(result.is_ok(), at.starts_with("remove "), "{at}");
        let found = [content(directory.path(), "a"), content(directory.path(), "c")];
        // Once all have taken their places, only the disk does not know of it yet.
        let placed = at == "sync the directory again" || result.is_ok();
        let expected = if placed { "new" } else { "old" };
        assert_eq!(found, [expected; 2], "{at}");
        let left = names(directory.path());
        assert!(!left.iter().any(|name| name.starts_with(PREFIX)), "{at}: {left:?}");
        assert_eq!(left.contains(&"b".to_owned()), expected == "new", "{at}");
    }
}

/// Dies at step `SNNC_DIES_AT` of writing into `SNNC_DIES_IN`; run by the test below in a process of its own.
#[test]
#[ignore = "is run by another test"]
fn dies() {
    let (Ok(at), Ok(directory)) = (std::env::var("SNNC_DIES_AT"), std::env::var("SNNC_DIES_IN"))
    else {
        return;
    };
    let (at, count): (usize, _) = (at.parse().unwrap(), AtomicUsize::new(0));
    let step = |_| {
        if count.fetch_add(1, Ordering::Relaxed) == at {
            std::process::abort();
        }
        Ok(())
    };
    write_with(Path::new(&directory), &named(&["a", "b"], "new"), &step).unwrap();
}

#[test]
fn after_a_death_at_any_step_folders_are_old_or_new_and_the_next_run_cleans_up() {
    let mut seen = BTreeMap::new();
    for at in 0..steps() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        write_all(path, &named(&["a", "b"], "old")).unwrap();
        let status = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "artefact::store::tests::dies", "--ignored", "-q"])
            .env("SNNC_DIES_AT", at.to_string())
            .env("SNNC_DIES_IN", path)
            .output()
            .unwrap()
            .status;
        assert!(!status.success());
        let states = ["a", "b"].map(|name| {
            // Whole: what its manifest lists is there, and nothing else.
            assert!(replaceable(&path.join(name)).unwrap(), "step {at}: {name}");
            content(path, name)
        });
        assert!(states.iter().all(|s| s == "old" || s == "new"), "step {at}: {states:?}");
        *seen.entry(states.clone()).or_insert(0) += 1;
        // The next run, of another target, finishes what was decided.
        write_all(path, &named(&["c"], "other")).unwrap();
        let after = ["a", "b"].map(|name| content(path, name));
        let decided = states.contains(&"new".to_owned());
        assert!(after[0] == after[1], "step {at}: {after:?}");
        assert!(!decided || after[0] == "new", "step {at}: {after:?}");
        assert_eq!(names(path), ["a", "b", "c"], "step {at}");
    }
    // Deaths before, between and after the exchanges were all there.
    assert_eq!(seen.len(), 3, "{seen:?}");
}

#[test]
fn where_names_cannot_be_exchanged_the_old_folder_goes_aside() {
    let directory = tempfile::tempdir().unwrap();
    let (fresh, target) = (directory.path().join("fresh"), directory.path().join("target"));
    for (folder, text) in [(&fresh, "new"), (&target, "old")] {
        fs::create_dir(folder).unwrap();
        fs::write(folder.join("file"), text).unwrap();
    }
    place_by_two(&fresh, &target).unwrap();
    assert_eq!(fs::read_to_string(target.join("file")).unwrap(), "new");
    assert_eq!(fs::read_to_string(fresh.join("file")).unwrap(), "old");
    assert_eq!(names(directory.path()), ["fresh", "target"]);
    // A new folder that is not there leaves the old one where it is.
    assert!(place_by_two(&directory.path().join("nothing"), &target).is_err());
    assert_eq!(names(directory.path()), ["fresh", "target"]);
}

#[test]
fn a_folder_that_cannot_be_written_is_an_error() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("file"), "x").unwrap();
    let error = write_all(&directory.path().join("file/out"), &named(&["a"], "1")).unwrap_err();
    assert_eq!(error.exit_code(), 4);
    assert_eq!(names(directory.path()), ["file"]);
}
