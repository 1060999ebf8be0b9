//! A stream of pings to a guest, and how long it was interrupted at most.

use std::io::{BufRead, BufReader};
use std::net::Ipv6Addr;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::PATIENCE;
use crate::namespace::{Namespace, eventually};

/// Twenty pings a second, for two minutes at most.
pub(crate) struct Traffic {
    ping: Child,
    /// When each reply came, as seconds since the epoch, and to which ping.
    replies: Arc<Mutex<Vec<(f64, usize)>>>,
}

impl Traffic {
    /// Starts it, and waits for the first reply.
    pub(crate) fn start(from: &Namespace, to: Ipv6Addr) -> Self {
        let mut ping = from.spawn(
            Command::new("ping")
                // With a deadline (-w) it would end at the first errors that a router reports.
                .args(["-D", "-n", "-i", "0.05", "-c", "2400", &to.to_string()])
                .stdin(Stdio::null())
                .stdout(Stdio::piped())
                .stderr(Stdio::inherit()),
        );
        let lines = BufReader::new(ping.stdout.take().expect("piped")).lines();
        let replies = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::clone(&replies);
        thread::spawn(move || {
            // [1769423456.123456] 64 bytes from …: icmp_seq=1 ttl=63 time=0.1 ms
            for line in lines.map_while(Result::ok).filter(|line| line.contains(" bytes from ")) {
                let time = line.trim_start_matches('[').split(']').next().and_then(|time| time.parse().ok());
                let number =
                    line.split_once("icmp_seq=").and_then(|(_, rest)| rest.split(' ').next()?.parse().ok());
                heard.lock().expect("nobody panics with it").push((
                    time.expect("ping -D begins with the time"),
                    number.expect("and numbers what it sends"),
                ));
            }
        });
        let traffic = Self { ping, replies };
        traffic.flows();
        traffic
    }

    /// Waits for five further replies.
    pub(crate) fn flows(&self) {
        let count = || self.replies.lock().expect("nobody panics with it").len();
        let wanted = count() + 5;
        eventually("pings are replied to", PATIENCE, || {
            // Every look costs a process's start, as elsewhere, and not a spin.
            _ = Command::new("true").status();
            (count() >= wanted).then_some(())
        });
    }

    /// How many pings had no reply so far, and how many had one.
    pub(crate) fn lost(&self) -> (usize, usize) {
        let replies = self.replies.lock().expect("nobody panics with it");
        let numbers = || replies.iter().map(|(_, number)| *number);
        let sent = numbers().max().unwrap_or(0) + 1 - numbers().min().unwrap_or(1);
        (sent - replies.len(), replies.len())
    }

    /// Ends it. The longest time between two replies, which is 50 ms where nothing was lost.
    pub(crate) fn longest_gap(mut self) -> Duration {
        self.end();
        let replies = self.replies.lock().expect("nobody panics with it");
        let gaps = replies.windows(2).map(|pair| pair[1].0 - pair[0].0);
        Duration::from_secs_f64(gaps.fold(0.0, f64::max))
    }

    fn end(&mut self) {
        // It may have ended by itself.
        _ = kill(Pid::from_raw(self.ping.id().cast_signed()), Signal::SIGINT);
        self.ping.wait().expect("it is our child");
    }
}

impl Drop for Traffic {
    fn drop(&mut self) {
        self.end();
    }
}
