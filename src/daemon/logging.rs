//! Log lines on standard error: for a terminal, for the journal, or as JSON.
//!
//! May touch: standard error, and the one variable that says whether the journal is behind it.

use std::fmt;
use std::io::IsTerminal;
use std::os::unix::fs::MetadataExt;

use tracing::{Event, Level, Subscriber};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use crate::config::{Log, LogFormat, LogLevel};

/// Starts logging for the whole process. What was started before stays.
pub fn init(log: Log) {
    let builder = tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_max_level(level(log.level))
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false);
    let format = match log.format {
        LogFormat::Auto if journal_listens() => LogFormat::Journal,
        other => other,
    };
    // A second start in one process, as tests and the demo have it, keeps the first's choice.
    let _ = match format {
        LogFormat::Journal => builder.with_ansi(false).event_format(Priority).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
        LogFormat::Terminal | LogFormat::Auto => builder.try_init(),
    };
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
