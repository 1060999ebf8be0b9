//! Log lines on standard error: for a terminal, for the journal, or as JSON.
//!
//! May touch: standard error, and the variables that say whether the journal is behind it, and whether it has colours.

use std::fmt;
use std::os::unix::fs::MetadataExt;
use std::sync::OnceLock;
use std::time::Duration;

use anstream::{AutoStream, ColorChoice};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::writer::BoxMakeWriter;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::layer::{Layered, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry, reload};

use super::log_writer;
use crate::config::{Log, LogFormat, LogLevel};

/// Starts logging for the whole process, with a thread that writes. What was started before stays.
pub fn init(log: Log) {
    if WRITER.get().is_none() {
        let tell =
            |lost| tracing::warn!("{lost} lines of the log were lost, because they were not read in time");
        // Without a thread more, lines are written where they are made.
        if let Ok(writer) = log_writer::Lines::start(std::io::stderr(), tell) {
            let _ = WRITER.set(writer);
        }
    }
    let (filter, filter_handle) = reload::Layer::new(level(log.level));
    let (lines, lines_handle) = reload::Layer::new(lines(log.format));
    // A second start in one process, as tests and the demo have it, keeps the first's choice.
    if tracing_subscriber::registry().with(filter).with(lines).try_init().is_ok() {
        let _ = RUNNING.set((filter_handle, lines_handle));
    }
}

/// Logs differently from now on.
pub fn change(log: Log) {
    let Some((filter, format)) = RUNNING.get() else { return };
    // Only a subscriber that is gone refuses, and then there is no log.
    let _ = filter.reload(level(log.level));
    let _ = format.reload(lines(log.format));
}

/// Waits until what was logged is written, but not for long: nobody may be there to read it.
pub fn flush() {
    if let Some(writer) = WRITER.get() {
        writer.flush(PATIENCE);
    }
}

/// Whatever passes the level.
type Filtered = Layered<reload::Layer<LevelFilter, Registry>, Registry>;
/// How it is written.
type Lines = Box<dyn Layer<Filtered> + Send + Sync>;

static RUNNING: OnceLock<(reload::Handle<LevelFilter, Registry>, reload::Handle<Lines, Filtered>)> =
    OnceLock::new();

static WRITER: OnceLock<log_writer::Lines> = OnceLock::new();

fn lines(format: LogFormat) -> Lines {
    let writer = match WRITER.get() {
        Some(writer) => BoxMakeWriter::new(writer.clone()),
        None => BoxMakeWriter::new(std::io::stderr),
    };
    let layer = tracing_subscriber::fmt::layer()
        .with_writer(writer)
        .with_ansi(AutoStream::choice(&std::io::stderr()) != ColorChoice::Never)
        .with_target(false);
    let format = match format {
        LogFormat::Auto if journal_listens() => LogFormat::Journal,
        other => other,
    };
    match format {
        LogFormat::Journal => Box::new(layer.with_ansi(false).event_format(Priority)),
        LogFormat::Json => Box::new(layer.json().flatten_event(true)),
        LogFormat::Terminal | LogFormat::Auto => Box::new(layer),
    }
}

/// `<6>message field=value`, as sd-daemon(3) has it; the journal knows time and program itself.
struct Priority;

impl<S, N> FormatEvent<S, N> for Priority
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        write!(writer, "<{}>", priority(*event.metadata().level()))?;
        context.field_format().format_fields(writer.by_ref(), event)?;
        writeln!(writer)
    }
}

/// systemd names the stream that leads to the journal; it may have been redirected since.
fn journal_listens() -> bool {
    let Ok(named) = std::env::var("JOURNAL_STREAM") else { return false };
    std::fs::metadata("/proc/self/fd/2")
        .is_ok_and(|stderr| named == format!("{}:{}", stderr.dev(), stderr.ino()))
}

/// The levels of syslog(3).
fn priority(level: Level) -> u8 {
    match level {
        Level::ERROR => 3,
        Level::WARN => 4,
        Level::INFO => 6,
        Level::DEBUG | Level::TRACE => 7,
    }
}

fn level(level: LogLevel) -> LevelFilter {
    match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    }
}

/// For lines that wait when the process ends.
const PATIENCE: Duration = Duration::from_millis(500);
