//! One line of a client of the control socket.
//!
//! Held to: no panic. A line that is no request gets one line of JSON back, with the version of its form, a code that
//! programs know, and a sentence that is short however long the line was. A request means the same with its fields in
//! another order and with other white space. What is claimed has bounds, and its words mean the same when they are read again.

use lone64::daemon::claiming::object_of;
use lone64::daemon::control::{Method, Reply};
use lone64::engine::guests::Object;
use serde_json::Value;

/// One input.
pub fn run(bytes: &[u8]) {
    let method = match Method::parse(bytes) {
        Ok(method) => method,
        Err(fault) => {
            assert!(["not_a_request", "wrong_params", "unknown_method"].contains(&fault.code), "{fault:?}");
            assert!((1..=MOST_SAID).contains(&fault.message.chars().count()), "{fault:?}");
            let line = Reply::Fault(fault.clone()).line();
            assert!(line.ends_with('\n') && line.matches('\n').count() == 1, "{line}");
            let said: Value = serde_json::from_str(&line).expect("JSON");
            assert_eq!(said["version"], 1);
            assert_eq!(said["error"]["code"], fault.code);
            assert_eq!(said["error"]["message"], fault.message.as_str());
            return;
        }
    };
    assert_eq!(Method::parse(&[b" ", bytes, b"\r\n"].concat()).as_ref(), Ok(&method));
    let value: Value = serde_json::from_slice(bytes).expect("JSON, as it was read before");
    assert_eq!(Method::parse(value.to_string().as_bytes()).as_ref(), Ok(&method));
    match &method {
        Method::Claim(claim) => {
            objects(&claim.what);
            assert!(claim.time.is_none_or(|time| !time.is_zero()), "{claim:?}");
        }
        Method::Release(release) => objects(&release.what),
        _ => {}
    }
}

fn objects(what: &[Object]) {
    assert!((1..=1_000).contains(&what.len()));
    for object in what {
        assert_eq!(object_of(&object.to_string()).as_ref(), Ok(object));
    }
}

/// Characters of a sentence that quotes what the client wrote.
const MOST_SAID: usize = 700;
