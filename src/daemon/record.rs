//! The engine with somebody who writes down what enters and leaves it (`lone64 run --record`).
//!
//! May touch: the one file that it is told to write, on a thread of its own. The loop only copies; what does not fit
//! into the queue ends the trace, because one with holes is worth nothing, and so does the most that the file may
//! hold. None of it ends the daemon.

use std::fs::OpenOptions;
use std::io::{self, BufWriter, Write};
use std::ops::Deref;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, TrySendError, channel, sync_channel};
use std::thread;
use std::time::Duration;

use crate::engine::policy::Policy;
use crate::engine::{Engine, Input, Output, Time};
use crate::trace::{End, Entry, Header};

/// An engine, and who writes down what it does, if somebody does.
pub(super) struct Recorded {
    engine: Engine,
    recorder: Option<Recorder>,
}

/// Writes a trace.
#[derive(Debug)]
pub struct Recorder {
    queue: Option<SyncSender<Line>>,
    /// The input whose outputs are being carried out.
    entry: Option<Box<Entry>>,
    is_torn: Arc<AtomicBool>,
    is_done: Receiver<()>,
}

/// What goes to the thread.
#[derive(Debug)]
enum Line {
    Header(Box<Header>),
    Entry(Box<Entry>),
}

impl Recorded {
    pub(super) fn new(policy: Policy, seed: [u64; 2], mut recorder: Option<Recorder>) -> Self {
        if let Some(recorder) = &mut recorder {
            recorder.send(Line::Header(Box::new(Header::new(policy.clone(), seed))));
        }
        Self { engine: Engine::new(policy, seed), recorder }
    }

    /// As [`Engine::handle`].
    pub(super) fn handle(&mut self, input: Input, now: Time) {
        if let Some(recorder) = &mut self.recorder {
            recorder.enter(&input, now);
        }
        self.engine.handle(input, now);
    }

    /// As [`Engine::poll_output`].
    pub(super) fn poll_output(&mut self) -> Option<Output> {
        let output = self.engine.poll_output();
        if let Some(recorder) = &mut self.recorder {
            recorder.leave(output.as_ref());
        }
        output
    }
}

impl Deref for Recorded {
    type Target = Engine;

    fn deref(&self) -> &Engine {
        &self.engine
    }
}

impl Recorder {
    /// Begins a file, in the place of one that is there. Only its owner may read it.
    pub fn create(path: &Path) -> io::Result<Self> {
        Self::create_with(path, MOST_BYTES)
    }

    fn create_with(path: &Path, most: usize) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        let file = options.write(true).create(true).truncate(true).mode(0o600).open(path)?;
        let (queue, lines) = sync_channel(MOST_LINES);
        let (done, is_done) = channel();
        let is_torn = Arc::new(AtomicBool::new(false));
        let (path, torn) = (path.display().to_string(), Arc::clone(&is_torn));
        let write = move || {
            let mut file = BufWriter::new(file);
            let told = match record(&lines, &torn, &mut file, most) {
                Ok(None) => Ok(()),
                Ok(Some(end)) => {
                    tracing::warn!("the trace {path} ends here: {end}");
                    append(&mut file, &End { end: end.to_owned() }, usize::MAX).map(|_| ())
                }
                Err(error) => Err(error),
            };
            if let Err(error) = told.and_then(|()| file.flush()) {
                tracing::warn!(%error, "the trace {path} ends here");
            }
            let _ = done.send(());
        };
        thread::Builder::new().name("record".to_owned()).spawn(write)?;
        Ok(Self { queue: Some(queue), entry: None, is_torn, is_done })
    }

    fn enter(&mut self, input: &Input, now: Time) {
        if self.queue.is_none() {
            return;
        }
        let entry = Box::new(Entry { at: now, input: input.clone(), outputs: None });
        if let Some(before) = self.entry.replace(entry) {
            self.send(Line::Entry(before));
        }
    }

    fn leave(&mut self, output: Option<&Output>) {
        let Some(entry) = &mut self.entry else { return };
        let outputs = entry.outputs.get_or_insert_default();
        match output {
            Some(output) => outputs.push(output.clone()),
            None => {
                if let Some(entry) = self.entry.take() {
                    self.send(Line::Entry(entry));
                }
            }
        }
    }

    fn send(&mut self, line: Line) {
        let Some(queue) = &self.queue else { return };
        match queue.try_send(line) {
            Ok(()) => return,
            Err(TrySendError::Full(_)) => self.is_torn.store(true, Ordering::Relaxed),
            // It is full, and the thread has said so.
            Err(TrySendError::Disconnected(_)) => {}
        }
        (self.queue, self.entry) = (None, None);
    }
}

impl Drop for Recorder {
    /// What is queued is written, unless the disk does not answer.
    fn drop(&mut self) {
        self.queue = None;
        let _ = self.is_done.recv_timeout(PATIENCE_AT_EXIT);
    }
}

/// Writes lines until there are no more, or returns why it does not go on.
fn record(
    lines: &Receiver<Line>,
    is_torn: &AtomicBool,
    file: &mut impl Write,
    most: usize,
) -> io::Result<Option<&'static str>> {
    let mut room = most;
    loop {
        let line = match lines.try_recv() {
            Ok(line) => line,
            Err(TryRecvError::Disconnected) => break,
            Err(TryRecvError::Empty) => {
                file.flush()?;
                match lines.recv() {
                    Ok(line) => line,
                    Err(_) => break,
                }
            }
        };
        let written = match &line {
            Line::Header(header) => append(file, header, room)?,
            Line::Entry(entry) => append(file, entry, room)?,
        };
        match written {
            Some(bytes) => room -= bytes,
            None => return Ok(Some("it has reached its maximum size")),
        }
    }
    let is_torn = is_torn.load(Ordering::Relaxed);
    Ok(is_torn.then_some("more happened than lone64 could write"))
}

/// Returns how many bytes were written; `None` if there is no room for them.
fn append(file: &mut impl Write, line: &impl serde::Serialize, room: usize) -> io::Result<Option<usize>> {
    let mut text = serde_json::to_vec(line)?;
    text.push(b'\n');
    if text.len() > room {
        return Ok(None);
    }
    file.write_all(&text)?;
    Ok(Some(text.len()))
}

/// Bytes of a file.
const MOST_BYTES: usize = 64 << 20;
/// Inputs that wait to be written; a second of a busy network.
const MOST_LINES: usize = 16_384;
const PATIENCE_AT_EXIT: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::facts::IfIndex;
    use crate::trace::{Trace, replay};
    use crate::wire::DropReason;

    fn policy() -> Policy {
        crate::config::parse("[[range]]\nprefix = \"2001:db8::/112\"\ninterface = \"br0\"", "test")
            .unwrap()
            .policy
    }

    fn recorded(most: usize, inputs: u32) -> Trace {
        let path = std::env::temp_dir().join(format!("lone64-record-{}-{most}", std::process::id()));
        let recorder = Recorder::create_with(&path, most).unwrap();
        let mut engine = Recorded::new(policy(), [1, 2], Some(recorder));
        for number in 0..inputs {
            let reason = DropReason::FrameTooLong;
            engine.handle(Input::Discarded(IfIndex(number), reason), Time::at(Duration::from_secs(1)));
            // Some are handed in together.
            if number % 3 == 0 {
                while engine.poll_output().is_some() {}
            }
        }
        while engine.poll_output().is_some() {}
        drop(engine);
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        assert!(text.len() < most + 100);
        Trace::parse(&text).unwrap()
    }

    #[test]
    fn holds_every_input_in_its_order() {
        let trace = recorded(MOST_BYTES, 100);
        assert_eq!((trace.entries.len(), &trace.end), (100, &None));
        assert!(matches!(trace.entries[7].input, Input::Discarded(IfIndex(7), _)));
        assert_eq!(replay(&trace), []);
    }

    #[test]
    fn ends_with_a_note_when_it_is_full_and_replays_as_far_as_it_goes() {
        let trace = recorded(4_000, 1_000);
        assert!(trace.end.is_some_and(|end| end.contains("its maximum size")));
        assert!((1..1_000).contains(&trace.entries.len()));
    }
}
