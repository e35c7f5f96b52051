//! Every command gives the right answer, as text and as JSON, and says what is wrong where something is.
//!
//! The answers are compared with what the sample's own files say, read here without the engine. All tests share one
//! database made by `tour`; those that write make or copy one of their own.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod answers;
mod circumstances;
mod damage;
mod refusals;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

const SAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/sample");

/// Where the shared database lies: nothing in a test binary runs last and could remove it, so the next run does.
fn shared_folder() -> PathBuf {
    let scratch = Path::new(env!("CARGO_TARGET_TMPDIR"));
    for entry in fs::read_dir(scratch).into_iter().flatten().flatten() {
        let age = entry.metadata().and_then(|data| data.modified()).ok().and_then(|at| at.elapsed().ok());
        let ours = entry.file_name().to_string_lossy().starts_with("commands_answer-");
        if ours && age.is_some_and(|age| age > Duration::from_secs(600)) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
    let folder = scratch.join(format!("commands_answer-{}", std::process::id()));
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    folder
}

struct Tour {
    folder: PathBuf,
    printed: String,
}

fn tour() -> &'static Tour {
    static TOUR: OnceLock<Tour> = OnceLock::new();
    TOUR.get_or_init(|| {
        let folder = shared_folder();
        let printed = Run::of(logwood(&["tour", "--no-kill"]).current_dir(&folder)).good();
        Tour { folder, printed }
    })
}

fn db() -> String {
    tour().folder.join("tour.logwood").display().to_string()
}

/// A copy to write to.
fn copy_of_tour() -> (TempDir, String) {
    let dir = tempfile::tempdir().unwrap();
    let copy = dir.path().join("db");
    fs::create_dir(&copy).unwrap();
    for entry in fs::read_dir(db()).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), copy.join(entry.file_name())).unwrap();
    }
    (dir, copy.display().to_string())
}

fn logwood(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_logwood"));
    command.args(args).stdin(Stdio::null());
    command
}

/// What a command did.
struct Run {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Run {
    fn of(command: &mut Command) -> Self {
        let Output { status, stdout, stderr } = command.output().unwrap();
        let (out, err) =
            (String::from_utf8_lossy(&stdout).into_owned(), String::from_utf8_lossy(&stderr).into_owned());
        assert!(!err.contains("panicked"), "{command:?}: {err}");
        Self { code: status.code(), out, err }
    }

    #[track_caller]
    fn good(self) -> String {
        assert_eq!((self.code, self.err.as_str()), (Some(0), ""), "{}", self.out);
        self.out
    }

    /// Failed with this code, saying all of this.
    #[track_caller]
    fn bad(&self, code: i32, says: &[&str]) {
        assert_eq!(self.code, Some(code), "{}{}", self.out, self.err);
        for text in says {
            assert!(self.err.contains(text), "{text:?} is not said in: {}", self.err);
        }
    }
}

fn run(args: &[&str]) -> Run {
    Run::of(&mut logwood(args))
}

#[track_caller]
fn good(args: &[&str]) -> String {
    run(args).good()
}

/// The lines of a good answer as JSON.
#[track_caller]
fn rows(args: &[&str]) -> Vec<Value> {
    good(args).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}
