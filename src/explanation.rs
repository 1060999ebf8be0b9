//! What a user reads of an error: in a terminal, in the log, and from the control socket.
//!
//! May touch: nothing.

use std::error::Error;
use std::fmt::Write;
use std::io;

use crate::config::Problems;

/// An error and everything that it came from, as it is shown to the user.
pub fn of(error: &(dyn Error + 'static)) -> String {
    // These begin with their places, as a compiler's do, so that editors can jump there.
    if let Some(problems) = error.downcast_ref::<Problems>() {
        return problems.to_string();
    }
    let mut text = format!("lone64: {error}");
    let mut cause = error.source();
    while let Some(error) = cause {
        // Writing to a String cannot fail.
        let _ = write!(text, ": {error}");
        cause = error.source();
    }
    text
}

/// What the system says of an error. The number behind it is for programs, and the words before it say the same.
pub fn words(error: &io::Error) -> String {
    error.to_string().split(" (os error").next().unwrap_or_default().to_owned()
}
