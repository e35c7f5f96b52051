//! How a command fails: a sentence for the person, a code for the script.

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

/// Why a command did not do what was asked.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The engine refused or failed.
    Engine(logwood::Error),
    /// A file or stream of the command's own failed.
    Io {
        /// What was being done.
        doing: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// Input that cannot be used, or a request that makes no sense.
    Input(String),
    /// What was asked for is not there.
    NotFound(String),
    /// `check` found damage; it has been printed.
    Damage(usize),
    /// `salvage` lost so many things known by name, and so many are doubtful; they have been printed.
    Lost(u64, u64),
    /// The reader of the output has gone; nobody is left to tell.
    OutputClosed,
}

impl Failure {
    pub(crate) fn io(doing: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        move |source| Self::Io { doing: doing.into(), source }
    }

    /// Prints the failure and gives the process's exit code.
    pub(crate) fn report(&self) -> ExitCode {
        let (message, code) = match self {
            Self::Engine(error @ logwood::Error::NotFound { .. }) => (error.to_string(), 3),
            Self::Engine(error) => (error.to_string(), 1),
            Self::Io { doing, source } => (format!("{doing}: {source}"), 1),
            Self::Input(message) => (message.clone(), 1),
            Self::NotFound(message) => (message.clone(), 3),
            Self::Damage(findings) => (format!("{findings} findings of damage"), 4),
            Self::Lost(lost, doubtful) => {
                (format!("not everything was saved: {lost} things lost by name, {doubtful} doubtful"), 1)
            }
            Self::OutputClosed => return ExitCode::SUCCESS,
        };
        // Standard error may be closed as well; the exit code still tells.
        let _ = writeln!(std::io::stderr(), "logwood: {message}");
        ExitCode::from(code)
    }
}

/// What a person is told who names a database that is not there.
pub(crate) fn no_database(path: &Path) -> Failure {
    let path = path.display();
    Failure::Input(format!(
        "there is no database at {path}; check the path, or create one with `logwood tour {path}`, `put` or `import`"
    ))
}

impl From<logwood::Error> for Failure {
    fn from(error: logwood::Error) -> Self {
        Self::Engine(error)
    }
}
