//! The calls that a process makes to the system, by `strace`.

use std::path::Path;
use std::process::{Command, Stdio};

use super::is_acknowledgement;

/// A call, as `strace -y` tells of it.
pub(crate) struct Call {
    /// What was called.
    pub(crate) name: String,
    /// All that stands behind the name.
    pub(crate) rest: String,
}

impl Call {
    /// `12 pwrite64(5</dir/log-000000000001.avro>, …) = -1 EIO (Input/output error) (INJECTED)`
    pub(crate) fn parse(line: &str) -> Option<Self> {
        let call = line.trim_start_matches(|c: char| c.is_ascii_digit()).trim_start();
        let (name, rest) = call.split_once('(')?;
        Some(Self { name: name.to_owned(), rest: rest.to_owned() })
    }

    pub(crate) fn is_on(&self, db: &Path) -> bool {
        self.rest.contains(&db.display().to_string())
    }

    pub(crate) fn failed(&self) -> bool {
        self.rest.contains("(INJECTED)")
    }

    /// Whether the file of its first argument is one of the log, in use.
    pub(crate) fn is_on_the_log(&self) -> bool {
        let file =
            self.rest.split_once(">,").or_else(|| self.rest.split_once(">)")).map_or("", |(file, _)| file);
        file.contains("/log-") && file.ends_with(".avro")
    }

    pub(crate) fn acknowledges(&self) -> bool {
        let text = self.rest.split('"').nth(1).unwrap_or_default();
        self.name == "write"
            && self.rest.starts_with("1<")
            && is_acknowledgement(text.trim_end_matches("\\n"))
    }
}

/// Runs a command under `strace` with these expressions, by way of the file `trace`. Returns its calls and what it
/// printed, or why there are none: `strace` may be missing, or not be let.
pub(crate) fn traced(
    command: &Command,
    trace: &Path,
    options: &[String],
) -> Result<(Vec<Call>, String), String> {
    let mut strace = Command::new("strace");
    strace.args(["-f", "-qq", "-y", "-s", "64", "-o"]).arg(trace);
    strace.args(options.iter().flat_map(|option| ["-e", option]));
    strace.arg(command.get_program()).args(command.get_args()).stdin(Stdio::null());
    let output = strace.output().map_err(|error| error.to_string())?;
    let calls = std::fs::read_to_string(trace).unwrap_or_default();
    let calls: Vec<Call> = calls.lines().filter_map(Call::parse).collect();
    if calls.is_empty() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    Ok((calls, String::from_utf8_lossy(&output.stdout).into_owned()))
}

/// Says on the terminal that a test shows nothing, past the capture of output, which would hide it.
pub(crate) fn skip(why: &str) {
    use std::io::Write as _;
    let _ = writeln!(std::io::stderr(), "SKIPPED: {why}");
}
