//! The daemon's part: when metrics are served, what a scrape gets, and what a reload changes.

use tokio::time::Instant;

use super::exposition::Snapshot;
use super::reach;
use super::stopwatch::Stopwatch;
use super::{Metrics, MetricsError, Scrape};
use crate::config::{Control, Endpoint};
use crate::daemon::Daemon;
use crate::kernel::packet::Stamps;

/// What becomes of the metrics.
#[derive(Debug)]
pub(in super::super) enum Next {
    /// They are served, or not, as they were.
    Same,
    /// They are served here.
    There(Metrics),
    /// They are served no more.
    Nowhere,
}

impl Daemon {
    /// As the configuration says, if that can be: without metrics there are answers all the same.
    pub(in super::super) fn serve_metrics(&mut self) {
        let Some(endpoint) = &self.config.control.metrics else { return };
        match Metrics::open(endpoint) {
            Ok(metrics) => self.switch_metrics(Next::There(metrics)),
            Err(error) => tracing::warn!("{error}; lone64 runs without metrics"),
        }
    }

    /// What a new configuration makes of them. One that moves them must be able to.
    pub(in super::super) fn next_metrics(&self, control: &Control) -> Result<Next, MetricsError> {
        let Some(endpoint) = &control.metrics else { return Ok(Next::Nowhere) };
        match &self.operator.metrics {
            Some(metrics) if metrics.endpoint() == endpoint => Ok(Next::Same),
            // There were none to be had at the start; that may be another matter now.
            None if self.config.control.metrics.as_ref() == Some(endpoint) => Ok(Metrics::open(endpoint)
                .map_or_else(
                    |error| {
                        tracing::warn!("{error}");
                        Next::Same
                    },
                    Next::There,
                )),
            _ => Metrics::open(endpoint).map(Next::There),
        }
    }

    pub(in super::super) fn switch_metrics(&mut self, next: Next) {
        match next {
            Next::Same => {}
            Next::There(metrics) => {
                tell(metrics.endpoint());
                self.operator.metrics = Some(metrics);
                if self.measures.stopwatch.is_none() {
                    self.measures.stopwatch = Some(Stopwatch::default());
                    self.frames.stamp(Stamps::On);
                }
            }
            Next::Nowhere => {
                if self.operator.metrics.take().is_some() {
                    tracing::info!("metrics are off");
                    self.measures.stopwatch = None;
                    self.frames.stamp(Stamps::Off);
                }
            }
        }
    }

    pub(in super::super) fn scrape(&mut self, scrape: Scrape) {
        let start = Instant::now();
        let snapshot = Snapshot::of(&self.engine, self.frames.ears.drops(), &self.measures);
        // It may have gone meanwhile.
        let _ = scrape.answer.send(snapshot.text(scrape.format));
        if let Some(metrics) = &mut self.operator.metrics {
            metrics.rest(start);
        }
    }
}

/// Says where they are, and who cannot read them there.
fn tell(endpoint: &Endpoint) {
    match endpoint {
        Endpoint::Socket(path) => {
            tracing::info!("metrics are at http://localhost/metrics on the socket {}", path.display());
        }
        Endpoint::Port(address) => {
            tracing::info!("metrics are at http://{address}/metrics");
            if reach::is_filtered(*address) == Some(true) {
                tracing::info!(
                    "of other hosts, only those in IPAddressAllow= of the unit can read the metrics; `systemctl edit` \
                     adds one ([Service], IPAddressAllow=ADDRESS)"
                );
            }
        }
    }
}
