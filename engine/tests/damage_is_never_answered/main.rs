//! A small database of all four models is damaged in every way that fits in it: every byte flipped, every file cut to
//! every length, files swapped, removed, taken from an older state of it and from another database.
//!
//! Each question is answered rightly, or by an error with file and offset: never by other data, a panic, an endless
//! loop, or a request for as much memory as a damaged byte says. Whatever changes an answer, a check finds.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]

mod allocations;
mod frozen;
mod judge;
mod world;

use std::sync::LazyLock;

use bytes::Bytes;
use judge::{Case, in_threads, judge};
use logwood_fuzz::Rng;
use world::{Files, History, history};

static HISTORY: LazyLock<History> = LazyLock::new(|| history(4, 0));

fn closed() -> &'static Files {
    HISTORY.closed.last().unwrap()
}

fn with(files: &Files, name: &str, contents: impl Into<Bytes>) -> Files {
    let mut files = files.clone();
    files.insert(name.to_owned(), contents.into());
    files
}

fn flipped(contents: &[u8], at: usize, bit: usize) -> Vec<u8> {
    let mut contents = contents.to_vec();
    contents[at] ^= 1 << (bit % 8);
    contents
}

/// As far as the header of a log reaches, in which damage may show behind where it is.
const HEADER_BYTES: usize = 2048;

/// Whether a finding names the file, by its name or by what names of its kind begin with, and no part of it that
/// begins behind the damaged byte.
fn names(report: &logwood::CheckReport, name: &str, at: usize) -> bool {
    let fits = |path: &str| name.starts_with(path.rsplit('/').next().unwrap());
    report.findings.iter().any(|finding| fits(&finding.path) && finding.offset <= at.max(HEADER_BYTES) as u64)
}

fn truth() -> Vec<Vec<String>> {
    vec![HISTORY.truth.clone()]
}

#[test]
fn an_undamaged_database_is_sound_and_small() {
    let bytes: usize = closed().values().map(Bytes::len).sum();
    assert!((10_000..60_000).contains(&bytes), "{bytes} bytes");
    let case = Case { story: "undamaged".into(), files: closed().clone(), thorough: true };
    assert_eq!(judge(&case, &truth()).findings, []);
    let case = Case { story: "crashed".into(), files: HISTORY.crashed.clone(), thorough: true };
    assert!(judge(&case, &HISTORY.prefixes[HISTORY.prefixes.len() - 1..]).is_sound());
}

#[test]
fn every_flipped_byte() {
    let right = truth();
    let bytes: Vec<(&String, &Bytes, usize)> = closed()
        .iter()
        .flat_map(|(name, contents)| (0..contents.len()).map(move |at| (name, contents, at)))
        .collect();
    in_threads(&bytes, |(name, contents, at)| {
        let mut bits = vec![at * 5 + at / 8];
        if at.is_multiple_of(7) {
            bits.push(Rng::new(*at as u64).index(8));
        }
        for bit in bits {
            let files = with(closed(), name, flipped(contents, *at, bit));
            let story = format!("bit {} of byte {at} of {name}", bit % 8);
            let case = Case { story, files, thorough: at.is_multiple_of(11) };
            let report = judge(&case, &right);
            // The frame that closes the manifest may pass for a torn tail: nothing depends on it.
            assert!(names(&report, name, *at), "{}: {report:?}", case.story);
        }
    });
}

#[test]
fn every_cut_and_what_stands_behind_the_end() {
    let right = truth();
    let mut cuts: Vec<(&String, Bytes)> = Vec::new();
    for (name, contents) in closed() {
        cuts.extend((0..contents.len()).map(|len| (name, contents.slice(..len))));
        for more in [&[0][..], &[0; 600], &[0xa5], &[0xa5; 600], contents] {
            cuts.push((name, [contents, more].concat().into()));
        }
    }
    in_threads(&cuts, |(name, contents)| {
        let story = format!("{name} with {} bytes", contents.len());
        let thorough = contents.len().is_multiple_of(11);
        judge(&Case { story, files: with(closed(), name, contents.clone()), thorough }, &right);
    });
}

#[test]
fn files_that_are_gone_or_have_changed_places() {
    let right = truth();
    let mut cases = Vec::new();
    let all: Vec<_> = closed().iter().collect();
    for (at, (name, contents)) in all.iter().enumerate() {
        let mut files = closed().clone();
        files.remove(*name);
        cases.push(Case { story: format!("{name} removed"), files, thorough: true });
        let zeros = with(closed(), name, vec![0; contents.len()]);
        cases.push(Case { story: format!("{name} zeroed"), files: zeros, thorough: true });
        for (other, theirs) in &all[at + 1..] {
            let files = with(&with(closed(), name, (*theirs).clone()), other, (*contents).clone());
            let thorough = at.is_multiple_of(3);
            cases.push(Case { story: format!("{name} swapped with {other}"), files, thorough });
        }
    }
    in_threads(&cases, |case| drop(judge(case, &right)));
}

/// Each file as another state of a database has it, in the place of the one of its name, of any of its kind, or
/// beside them.
fn mixed(theirs: &Files, story: &str) -> Vec<Case> {
    let mut cases = Vec::new();
    let kind = |name: &str| name.replace(|c: char| c.is_ascii_digit(), "");
    for (name, contents) in theirs.iter().filter(|(name, contents)| closed().get(*name) != Some(*contents)) {
        let files = with(closed(), name, contents.clone());
        cases.push(Case { story: format!("{name} {story}"), files, thorough: true });
        for mine in closed().keys().filter(|mine| kind(mine) == kind(name)) {
            let files = with(closed(), mine, contents.clone());
            cases.push(Case { story: format!("{mine} replaced by {name} {story}"), files, thorough: true });
            let mut files = closed().clone();
            files.remove(mine);
            files.insert(name.clone(), contents.clone());
            cases.push(Case { story: format!("{name} {story} instead of {mine}"), files, thorough: true });
        }
    }
    cases
}

#[test]
fn files_of_an_older_state() {
    let right = truth();
    let (_, older) = HISTORY.closed.split_last().unwrap();
    let cases: Vec<Case> =
        older.iter().enumerate().flat_map(|(at, files)| mixed(files, &format!("of state {at}"))).collect();
    assert!(cases.len() > 100, "{}", cases.len());
    in_threads(&cases, |case| drop(judge(case, &right)));
}

#[test]
fn files_of_another_database() {
    let right = truth();
    let other = history(5, 1);
    let theirs = other.closed.last().unwrap();
    assert_eq!(
        theirs.keys().collect::<Vec<_>>(),
        closed().keys().collect::<Vec<_>>(),
        "the same in all but bytes"
    );
    in_threads(&mixed(theirs, "of another database"), |case| drop(judge(case, &right)));
}

/// Of a database that a crash left, the last commit is attested by nothing: it may be taken for a torn tail. A file
/// that was cut may have lost all that only its last frames knew.
#[test]
fn a_database_that_was_not_closed_loses_its_tail_at_most() {
    let crashed = &HISTORY.crashed;
    let states = &HISTORY.prefixes;
    let mut cases = Vec::new();
    for (name, contents) in crashed {
        let is_log = name.ends_with(".avro");
        let end = contents.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        for at in (0..end).step_by(if is_log { 1 } else { 13 }) {
            let files = with(crashed, name, flipped(contents, at, at));
            let story = format!("crashed, byte {at} of {name}");
            cases.push((Case { story, files, thorough: at.is_multiple_of(9) }, 2));
            let files = with(crashed, name, contents.slice(..at));
            let story = format!("crashed, {name} cut to {at}");
            cases.push((Case { story, files, thorough: at.is_multiple_of(9) }, states.len()));
        }
    }
    in_threads(&cases, |(case, lost_max)| {
        judge(case, &states[states.len().saturating_sub(*lost_max)..]);
    });
}
