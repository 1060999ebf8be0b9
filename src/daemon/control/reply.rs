//! What is said back on the control socket: always one line, always with the version of its form.

use serde::Serialize;
use serde_json::{Value, json};

/// One line back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// What was asked for, as JSON.
    Result(String),
    /// Why it was not done.
    Fault(Fault),
}

/// Why something was not done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// For programs.
    pub code: &'static str,
    /// For people.
    pub message: String,
    /// Each mistake with its place, where there are some.
    #[serde(skip_serializing_if = "Value::is_null")]
    pub problems: Value,
}

impl Reply {
    /// What was asked for.
    pub fn result(result: &impl Serialize) -> Self {
        match serde_json::to_string(result) {
            Ok(text) => Self::Result(text),
            Err(error) => Self::fault("internal", format!("the reply cannot be written: {error}")),
        }
    }

    /// Why it was not done.
    pub fn fault(code: &'static str, message: String) -> Self {
        Self::Fault(Fault::new(code, message))
    }

    /// An object with one field more. What is long is not read and written again for that.
    pub(in crate::daemon) fn with(self, name: &str, value: &Value) -> Self {
        match self {
            Self::Result(mut text) if text.ends_with('}') && text.len() > 2 => {
                text.pop();
                Self::Result(format!("{text},{}:{value}}}", json!(name)))
            }
            other => other,
        }
    }

    /// Whether it takes memory that is worth giving back.
    pub(in crate::daemon) fn is_long(&self) -> bool {
        matches!(self, Self::Result(text) if text.len() > LONG)
    }

    /// The line, with its end.
    pub fn line(&self) -> String {
        match self {
            // Put around it, because what is long should not be written twice.
            Self::Result(text) => format!("{{\"version\":{VERSION},\"result\":{text}}}\n"),
            Self::Fault(fault) => format!("{}\n", json!({ "version": VERSION, "error": fault })),
        }
    }
}

impl Fault {
    /// Without single problems.
    pub fn new(code: &'static str, message: String) -> Self {
        Self { code, message, problems: Value::Null }
    }
}

/// Bytes.
const LONG: usize = 128 << 10;
/// Of the protocol. It grows when something that a client relies on changes its meaning.
const VERSION: u32 = 1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_one_line_whatever_it_says() {
        let fault = Reply::fault("refused", "two\nlines".to_owned()).line();
        assert_eq!(fault, "{\"error\":{\"code\":\"refused\",\"message\":\"two\\nlines\"},\"version\":1}\n");
        assert_eq!(Reply::result(&[1, 2]).line(), "{\"version\":1,\"result\":[1,2]}\n");
        let object = Reply::result(&json!({ "a": 1 })).with("b", &json!({ "c": null }));
        assert_eq!(object.line(), "{\"version\":1,\"result\":{\"a\":1,\"b\":{\"c\":null}}}\n");
    }
}
