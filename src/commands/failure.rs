//! How a command fails: one sentence for people or, with `--json`, one object for programs.
//!
//! May touch: standard output and error.

use std::error::Error;
use std::io;
use std::process::ExitCode;

use serde_json::{Value, json};

use super::control::ControlError;
use super::terminal::complain;
use super::{print, show};
use crate::config::Problems;
use crate::explanation;
use crate::import::ImportError;

/// In which form a command says what it says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// For people.
    Text,
    /// For programs: one object.
    Json,
    /// For programs: an object on each line.
    JsonLines,
}

/// Says why a command failed. It exits with status 1.
pub fn tell(error: &(dyn Error + 'static), form: Form) -> ExitCode {
    let said = match form {
        Form::Text => {
            complain(&format!("{}\n", explanation::of(error)));
            Ok(())
        }
        Form::Json => print(&format!("{:#}\n", json!({ "error": described(error) }))),
        Form::JsonLines => print(&format!("{}\n", json!({ "error": described(error) }))),
    };
    if let Err(unwritten) = said {
        // It may be that very thing that failed before.
        let text = explanation::of(error);
        if text != explanation::of(&unwritten) {
            complain(&format!("{text}\n"));
        }
        tell_unwritten(&unwritten);
    }
    ExitCode::FAILURE
}

fn tell_unwritten(error: &io::Error) {
    complain(&format!("{}\n", explanation::of(error)));
}

/// Says that a command line is none, or shows the help that it asks for.
pub fn tell_usage(error: &clap::Error, form: Form) -> ExitCode {
    let text = error.render();
    if !error.use_stderr() {
        return match show(&text.ansi().to_string()) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                tell_unwritten(&error);
                ExitCode::FAILURE
            }
        };
    }
    if form == Form::Text {
        complain(&text.ansi().to_string());
        return ExitCode::from(2);
    }
    let message = text.to_string();
    let error = json!({ "error": { "code": "usage", "message": message.trim_end() } });
    if let Err(unwritten) = print(&format!("{error:#}\n")) {
        complain(&text.ansi().to_string());
        tell_unwritten(&unwritten);
    }
    ExitCode::from(2)
}

/// `code` for programs, `message` for people, and `problems` where there are some, each with its place.
pub(super) fn described(error: &(dyn Error + 'static)) -> Value {
    if let Some(error) = error.downcast_ref::<ControlError>() {
        return match error {
            ControlError::Refused(fault) => fault.clone(),
            other => json!({ "code": other.code(), "message": other.to_string() }),
        };
    }
    let problems = match error.downcast_ref::<ImportError>() {
        Some(ImportError::Unreadable(problems)) => Some(problems),
        Some(error @ ImportError::Nothing { notes, .. }) => {
            return json!({ "code": "nothing_to_import", "message": error.to_string(), "notes": notes });
        }
        None => error.downcast_ref::<Problems>(),
    };
    let message = explanation::of(error);
    let message = message.strip_prefix("lone64: ").unwrap_or(&message);
    match problems {
        Some(problems) => {
            json!({ "code": "configuration", "message": message, "problems": problems.as_slice() })
        }
        None => json!({ "code": "failed", "message": message }),
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    #[test]
    fn has_a_code_and_a_message_and_each_problem_with_its_place() {
        let nobody = described(&ControlError::NotRunning(PathBuf::from("/run/x.sock")));
        assert_eq!(nobody["code"], "not_running");
        assert!(nobody["message"].as_str().unwrap().contains("/run/x.sock"), "{nobody}");
        let fault = json!({ "code": "refused", "message": "why", "problems": [] });
        assert_eq!(described(&ControlError::Refused(fault.clone())), fault);
        let problems = crate::config::parse("[log]\nlevel = 7", "f").unwrap_err();
        let wrong = described(&problems);
        assert_eq!((&wrong["code"], &wrong["problems"][0]["line"]), (&"configuration".into(), &2.into()));
        assert_eq!(described(&io::Error::other("no")), json!({ "code": "failed", "message": "no" }));
    }
}
