//! lone64-metrics(7): every metric and every verdict, out of the same values as a scrape.

use clap_mangen::roff::{bold, italic, roman};

use super::page::Writer;
use crate::daemon::metrics::ANSWERED;
use crate::daemon::metrics::catalog::{self, Kind};
use crate::wire::DropReason;

/// The page in roff.
pub(super) fn render() -> String {
    let mut page = Writer::new("LONE64-METRICS", "7", "metrics and verdicts of lone64");
    page.section("DESCRIPTION").text(DESCRIPTION).code(SWITCH).text(FORMATS).code(CHECK);
    page.section("METRICS").text(TYPES);
    for metric in catalog::ALL {
        let mut head = vec![bold(metric.series())];
        if !metric.labels.is_empty() {
            head.extend([roman("{"), italic(metric.labels.join(",")), roman("}")]);
        }
        let kind = match metric.kind {
            Kind::Counter => "Counter.",
            Kind::Gauge => "Gauge.",
            Kind::Histogram => "Histogram, in seconds.",
            Kind::Info => "Always 1.",
        };
        page.term(head, &format!("{kind} {}", metric.help));
    }
    page.section("VERDICTS").text(VERDICTS);
    page.term(vec![bold(ANSWERED)], ABOUT_ANSWERED);
    for reason in DropReason::ALL {
        page.term(vec![bold(reason.as_str())], reason.about());
    }
    page.section("SEE ALSO").text("lone64(8), lone64.toml(5)");
    page.render()
}

/// What the verdict of an answer means, beside the sentences of [`DropReason::about`].
const ABOUT_ANSWERED: &str = "The router got its answer.";

const DESCRIPTION: &str = "\
lone64 serves metrics for Prometheus over HTTP if its configuration says where. A path is a Unix socket, which those may \
read who may use the control socket:";

const SWITCH: &str = r#"
[control]
metrics = "/run/lone64/metrics.sock"
"#;

const FORMATS: &str = "\
An address and a port, such as metrics = \"[::1]:9164\", is for everyone who can reach it, as far as IPAddressAllow= of \
the unit lets them. GET and HEAD of /metrics are served. A client that names application/openmetrics-text in its Accept header, with the \
highest weight, gets OpenMetrics 1.0.0. Every other client gets the text format of Prometheus, version 0.0.4. The \
metrics name interfaces. They name no address of a guest. To check the text format:";

const CHECK: &str =
    "curl -s --unix-socket /run/lone64/metrics.sock localhost/metrics |\n    promtool check metrics";

const TYPES: &str = "\
A counter starts at 0 when the daemon starts. The labels of a metric are in braces. An upstream that goes away takes \
its samples with it.";

const VERDICTS: &str = "\
Each frame that arrives on an upstream gets one verdict: it was answered, or there is one reason why not. \
lone64_solicitations_total counts them, and lone64 status, lone64 watch and lone64 explain use the same words. The \
verdicts are in the order in which lone64 checks a frame.";
