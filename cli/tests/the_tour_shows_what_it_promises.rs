//! The tour imports the sample, answers, has a child killed in the middle of its work, finds everything again and
//! leaves a sound database.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::process::{Command, Output};

fn logwood(args: &[&str], folder: &std::path::Path) -> String {
    let Output { status, stdout, stderr } =
        Command::new(env!("CARGO_BIN_EXE_logwood")).args(args).current_dir(folder).output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    assert_eq!((status.code(), err.as_ref()), (Some(0), ""), "{args:?}: {out}");
    out.into_owned()
}

/// The number before `what` in the text.
fn number(text: &str, what: &str) -> u64 {
    let before = &text[..text.find(what).unwrap_or_else(|| panic!("{what:?} is not in: {text}"))];
    before.split_whitespace().next_back().unwrap().parse().unwrap()
}

#[test]
fn the_whole_tour_with_the_kill() {
    let dir = tempfile::tempdir().unwrap();
    let said = logwood(&["tour"], dir.path());
    for (what, count) in
        [(" documents,", 2_421), (" relations of", 17_050), (" vectors of", 2_377), (" files,", 2)]
    {
        assert_eq!(number(&said, what), count, "{said}");
    }
    for answer in ["firefox-esr, ", "gnome-core -", "javascript-common (", "within three hops of firefox-esr"]
    {
        assert!(said.contains(answer), "{answer:?} is not in: {said}");
    }
    let acknowledged = number(&said, " acknowledged transactions");
    assert!(acknowledged > 0, "the child was killed before it had done anything: {said}");
    let found = number(&said, " transactions are there, each of them whole");
    assert!((acknowledged..=acknowledged + 2).contains(&found), "{said}");
    assert!(said.contains("every byte of") && said.contains("Done in"), "{said}");
    assert_eq!(said.lines().filter(|line| line.starts_with("  logwood ")).count(), 3, "{said}");

    assert!(logwood(&["check", "tour.logwood"], dir.path()).contains("sound: "));
    let count = logwood(&["find", "tour.logwood", "work", "--count"], dir.path());
    assert_eq!(count.trim().parse(), Ok(found));
    assert_eq!(logwood(&["find", "tour.logwood", "packages", "--count"], dir.path()), "2421\n");
    logwood(&["put", "tour.logwood", "notes", "one", "{}"], dir.path());
    assert!(logwood(&["check", "tour.logwood"], dir.path()).contains("sound: "));
}
