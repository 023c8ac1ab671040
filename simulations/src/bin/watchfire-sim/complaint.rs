//! What a command that fails says, and the code it leaves with.

use serde_json::json;

/// The exit codes, a part of those of `watchfire`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Code {
    /// Everything held.
    Ok,
    /// An expectation failed, or the machine did.
    Failure,
    /// The command line or a scenario file is wrong.
    Usage,
}

impl Code {
    pub(crate) const fn number(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::Failure => 1,
            Self::Usage => 2,
        }
    }
}

/// What failed and why; what to do next stands in the hints.
#[derive(Debug)]
pub(crate) struct Complaint {
    pub(crate) code: Code,
    messages: Vec<String>,
    hints: Vec<&'static str>,
}

impl Complaint {
    /// The machine failed, not the scenario.
    pub(crate) fn failure(message: String) -> Self {
        Self {
            code: Code::Failure,
            messages: vec![message],
            hints: Vec::new(),
        }
    }

    /// The files are wrong: a line for each thing that is.
    pub(crate) fn files(messages: Vec<String>) -> Self {
        Self {
            code: Code::Usage,
            messages,
            hints: vec![
                "every key is described in simulations/scenario.schema.json and by \"watchfire-sim schema\"",
            ],
        }
    }

    pub(crate) fn tell(&self, json: bool) {
        if json {
            let document = json!({
                "schema": "watchfire.error/1",
                "data": {
                    "code": self.code.number(),
                    "message": self.messages.join("; "),
                    "hints": self.hints,
                },
            });
            super::say(&document.to_string());
            return;
        }
        for message in &self.messages {
            super::say(&format!("watchfire-sim: error: {message}"));
        }
        for hint in &self.hints {
            super::say(&format!("watchfire-sim: hint: {hint}"));
        }
    }
}
