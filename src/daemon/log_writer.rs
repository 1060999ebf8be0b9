//! Log lines on their way to standard error, which somebody may have stopped reading.
//!
//! May touch: standard error, on a thread of its own. A logger only queues a line and never waits. What does not
//! fit is counted, and the count is a line itself as soon as there is room again.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use tracing_subscriber::fmt::MakeWriter;

/// Takes lines.
#[derive(Debug, Clone)]
pub(super) struct Lines {
    queue: SyncSender<Item>,
    lost: Arc<AtomicU64>,
}

/// One line that is being made.
#[derive(Debug)]
pub(super) struct Line<'a> {
    lines: &'a Lines,
    text: Vec<u8>,
}

#[derive(Debug)]
enum Item {
    Text(Vec<u8>),
    /// A waiting task hears when everything before this is written.
    Mark(SyncSender<()>),
}

impl Lines {
    /// Lines that this thread of ours writes to `output`. `tell` logs how many were lost.
    pub(super) fn start(
        output: impl Write + Send + 'static,
        tell: impl Fn(u64) + Send + 'static,
    ) -> io::Result<Self> {
        let (queue, items) = sync_channel(MOST_LINES);
        let lost = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&lost);
        let write = move || write_all(&items, output, &counted, tell);
        thread::Builder::new().name("log".to_owned()).spawn(write)?;
        Ok(Self { queue, lost })
    }

    /// Waits until everything that is queued is written, but no longer than this.
    pub(super) fn flush(&self, limit: Duration) {
        let deadline = Instant::now() + limit;
        let (written, is_written) = sync_channel(1);
        // A full queue that nobody reads stays full.
        while self.queue.try_send(Item::Mark(written.clone())).is_err() {
            if Instant::now() >= deadline {
                return;
            }
            thread::sleep(BETWEEN_TRIES);
        }
        let _ = is_written.recv_timeout(deadline.saturating_duration_since(Instant::now()));
    }

    fn queue(&self, text: Vec<u8>) {
        if self.queue.try_send(Item::Text(text)).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Line<'a> {
        Line { lines: self, text: Vec::new() }
    }
}

impl Write for Line<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.text.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Line<'_> {
    fn drop(&mut self) {
        if !self.text.is_empty() {
            self.lines.queue(std::mem::take(&mut self.text));
        }
    }
}

fn write_all(items: &Receiver<Item>, mut output: impl Write, lost: &AtomicU64, tell: impl Fn(u64)) {
    while let Ok(item) = items.recv() {
        match item {
            // A pipe whose reader has gone takes nothing more, and there is nobody to be told.
            Item::Text(text) => drop(output.write_all(&text)),
            Item::Mark(written) => {
                let _ = output.flush();
                let _ = written.try_send(());
            }
        }
        // One has just been taken out, so there is room.
        let count = lost.swap(0, Ordering::Relaxed);
        if count > 0 {
            tell(count);
        }
    }
}

/// Lines that wait; a few hundred KiB.
const MOST_LINES: usize = 4_096;
const BETWEEN_TRIES: Duration = Duration::from_millis(10);

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::mpsc::channel;

    use super::*;

    /// Writes only while it is let.
    struct Gate(Receiver<()>, Arc<Mutex<Vec<u8>>>);

    impl Write for Gate {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            // Nobody holds it shut any more.
            let _ = self.0.recv();
            self.1.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn what_nobody_reads_holds_up_nothing_and_is_counted() {
        let written = Arc::new(Mutex::new(Vec::new()));
        let (open, shut) = channel();
        let (told, lost) = channel();
        let tell = move |count| told.send(count).unwrap();
        let lines = Lines::start(Gate(shut, Arc::clone(&written)), tell).unwrap();
        let total = 2 * MOST_LINES;
        for number in 0..total {
            writeln!(lines.make_writer(), "{number}").unwrap();
        }
        lines.flush(Duration::from_millis(1));
        assert!(written.lock().unwrap().is_empty(), "it came back, and nothing is written yet");
        drop(open);
        lines.flush(Duration::from_secs(60));
        let text = String::from_utf8(written.lock().unwrap().clone()).unwrap();
        let lost = lost.try_iter().sum::<u64>();
        assert_eq!(text.lines().count() as u64 + lost, total as u64);
        assert!(text.starts_with("0\n1\n2\n") && lost > 0);
    }
}
