//! Streams of pings of which none is to be lost, however late the replies come.

use std::process::{Child, Command, Stdio};

use crate::namespace::{Namespace, PATIENCE};

/// Ten pings a second.
pub(crate) struct Pings {
    child: Child,
    count: u32,
}

impl Pings {
    /// Starts so many; `arguments` say from where and to whom.
    pub(crate) fn start(from: &Namespace, count: u32, arguments: &str) -> Self {
        let mut command = Command::new("ping");
        // Without a deadline it would stop to listen two round trips after the last one. With one it goes on
        // until it has heard so many replies, and then those of the first `count` tell whether any was lost.
        let seconds = u64::from(count / 10) + PATIENCE.as_secs();
        command
            .args(["-n", "-i", "0.1", "-c", &count.to_string(), "-w", &seconds.to_string()])
            .args(arguments.split(' '))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        Self { child: from.spawn(&mut command), count }
    }

    /// Waits until they are over: each one was replied to.
    pub(crate) fn lose_none(self) {
        let output = self.child.wait_with_output().expect("ping ends");
        let text = String::from_utf8_lossy(&output.stdout);
        let replied: Vec<u32> = text
            .lines()
            .filter(|line| line.contains(" bytes from "))
            .filter_map(|line| line.split("icmp_seq=").nth(1)?.split(' ').next()?.parse().ok())
            .collect();
        // What follows the last reply was still under way.
        let last = replied.iter().max().copied().unwrap_or_default();
        let lost: Vec<u32> = (1..=last).filter(|number| !replied.contains(number)).collect();
        assert!(last >= self.count && lost.is_empty(), "lost: {lost:?} of {last}\n{text}");
    }
}
