//! The picture: bars side by side, on a ground of its own, so that it reads well on a dark page, too.

use std::io;
use std::path::Path;

use plotters::backend::SVGBackend;
use plotters::coord::Shift;
use plotters::drawing::{DrawingArea, IntoDrawingArea};
use plotters::element::Rectangle;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{Color, IntoFont, RGBColor, TextStyle};

use super::cold::SILENT;
use super::figures::{Figures, What, addresses};
use super::guests::Manner;
use super::machine::Machine;
use super::numbers::text;
use super::responder::{MANY, MOST, Responder};
use super::scan::{RATES, Scan};

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// Bars that are compared with each other.
struct Panel {
    title: &'static str,
    /// What is better, more or less.
    hint: &'static str,
    bars: Vec<Bar>,
    decimals: usize,
    unit: &'static str,
}

struct Bar {
    responder: Responder,
    case: String,
    value: f64,
}

/// Draws what there is of the figures.
pub fn draw(path: &Path, figures: &Figures, machine: &Machine) -> io::Result<()> {
    let columns = columns(figures);
    let height =
        columns.iter().map(|panels| panels.iter().map(Panel::height).sum::<i32>()).max().unwrap_or(0);
    let (width, height) = (2 * COLUMN + 3 * MARGIN, height + HEAD + MARGIN);
    let area = SVGBackend::new(path, (width as u32, height as u32)).into_drawing_area();
    paint(&area, &columns, machine, (width, height)).map_err(io::Error::other)
}

fn paint(
    area: &Area<'_>,
    columns: &[Vec<Panel>],
    machine: &Machine,
    (width, height): (i32, i32),
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    area.draw(&Rectangle::new([(0, 0), (width, height)], GROUND.filled()))?;
    write(area, "lone64 beside its peers", (MARGIN, 26), 20, INK, HPos::Left)?;
    write(area, &format!("cargo bench --bench flood: {machine}"), (MARGIN, 48), 12, FAINT, HPos::Left)?;
    for (column, panels) in (0..).zip(columns) {
        let (x, mut y) = (MARGIN + column * (COLUMN + MARGIN), HEAD);
        for panel in panels {
            panel.paint(area, x, y)?;
            y += panel.height();
        }
    }
    area.present()?;
    Ok(())
}

impl Panel {
    fn height(&self) -> i32 {
        if self.bars.is_empty() { 0 } else { TITLE + self.bars.len() as i32 * ROW + GAP }
    }

    fn paint(&self, area: &Area<'_>, x: i32, y: i32) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        let Some(most) = self.bars.iter().map(|bar| bar.value).max_by(f64::total_cmp) else { return Ok(()) };
        write(area, self.title, (x, y + 10), 14, INK, HPos::Left)?;
        write(area, self.hint, (x + COLUMN, y + 10), 11, FAINT, HPos::Right)?;
        for (row, bar) in (0..).zip(&self.bars) {
            let (top, left) = (y + TITLE + row * ROW, x + LABEL);
            let middle = top + ROW / 2;
            // The value of the longest bar needs room behind it.
            let length =
                (f64::from(COLUMN - LABEL - VALUE) * (bar.value / most.max(f64::MIN_POSITIVE))) as i32;
            write(area, bar.responder.name(), (x, middle), 12, INK, HPos::Left)?;
            write(area, &bar.case, (left - 8, middle), 11, FAINT, HPos::Right)?;
            let corners = [(left, top + 3), (left + length.max(1), top + ROW - 3)];
            area.draw(&Rectangle::new(corners, color(bar.responder).filled()))?;
            let value = text(Some(bar.value), self.decimals) + self.unit;
            write(area, &value, (left + length + 6, middle), 11, INK, HPos::Left)?;
        }
        Ok(())
    }
}

fn write(
    area: &Area<'_>,
    text: &str,
    at: (i32, i32),
    size: i32,
    color: RGBColor,
    side: HPos,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let style = TextStyle::from(("sans-serif", size).into_font()).color(&color);
    area.draw_text(text, &style.pos(Pos::new(side, VPos::Center)), at)?;
    Ok(())
}

/// Left and right.
fn columns(figures: &Figures) -> [Vec<Panel>; 2] {
    use Responder::{Bare, Kernel, Lone64Always, Lone64Live, NdppdIface, NdppdStatic, Npd6};
    let panel = |title, hint, decimals, unit, bars: Vec<Option<Bar>>| {
        let bars = bars.into_iter().flatten().collect();
        Panel { title, hint, decimals, unit, bars }
    };
    let bar = |responder, what, case: &str, shown: &str, scale: f64| {
        // What is lost in the noise may come out below nothing.
        let value = (figures.of(responder, what, case)? * scale).max(0.0);
        Some(Bar { responder, case: shown.to_owned(), value })
    };
    let per_cpu = |responder, count: u32| {
        let shown = text(Some(f64::from(count)), 0);
        bar(responder, What::AnswersPerCpuSecond, &addresses(count), &shown, 1.0)
    };
    let alone = |what, whom: &[Responder], scale| {
        whom.iter().map(|responder| bar(*responder, what, "", "", scale)).collect()
    };
    let lone = |what, whom: &[Responder]| {
        whom.iter().map(|responder| bar(*responder, what, &addresses(1), "", 1.0)).collect()
    };
    let memory = |responder, count: u32| {
        let shown = text(Some(f64::from(count)), 0);
        bar(responder, What::Resident, &addresses(count), &shown, 1.0 / 1024.0)
    };
    let cold = |what| {
        let all = [(Lone64Live, "", ""), (Lone64Live, SILENT, "no reports"), (NdppdIface, "", "")];
        all.map(|(responder, case, shown)| bar(responder, what, case, shown, 1.0)).into_iter().collect()
    };
    let scans =
        [(Lone64Live, Manner::Reporting), (Lone64Live, Manner::Silent), (NdppdIface, Manner::Reporting)];
    let scans = scans.into_iter().flat_map(|(responder, manner)| RATES.map(|rate| (responder, manner, rate)));
    let scans = scans.map(|(responder, manner, rate)| {
        let says = if manner == Manner::Silent { ", no reports" } else { "" };
        let shown = text(Some(f64::from(rate)), 0) + "/s" + says;
        bar(responder, What::ScanInTime, &Scan::case(rate, manner), &shown, 100.0)
    });
    [
        vec![
            panel(
                "Answers per CPU second, by addresses",
                MORE,
                0,
                "",
                vec![
                    per_cpu(Bare, 1),
                    per_cpu(Lone64Always, 1),
                    per_cpu(Lone64Always, MOST),
                    per_cpu(Lone64Live, 1),
                    per_cpu(Lone64Live, 1_000),
                    per_cpu(Lone64Live, MANY),
                    per_cpu(NdppdStatic, 1),
                    per_cpu(NdppdIface, 1),
                    per_cpu(NdppdIface, 1_000),
                    per_cpu(Npd6, 1),
                    per_cpu(Npd6, MANY),
                ],
            ),
            panel(
                "One lone question: CPU",
                LESS,
                0,
                " µs",
                lone(What::LoneCpu, &[Bare, Lone64Always, Lone64Live, NdppdStatic, NdppdIface, Npd6]),
            ),
            panel(
                "One lone question: time to the answer, p50",
                LESS,
                0,
                " µs",
                lone(
                    What::LoneMedian,
                    &[Bare, Lone64Always, Lone64Live, NdppdStatic, NdppdIface, Npd6, Kernel],
                ),
            ),
            panel(
                "Resident memory, by addresses",
                LESS,
                1,
                " MB",
                vec![
                    memory(Lone64Live, 1),
                    memory(Lone64Live, MANY),
                    memory(NdppdIface, 1),
                    memory(NdppdIface, 1_000),
                    memory(Npd6, MANY),
                ],
            ),
        ],
        vec![
            panel(
                "First answer for a guest never asked for before, p50",
                LESS,
                0,
                " µs",
                cold(What::ColdMedian),
            ),
            panel("Such guests answered per second", MORE, 0, "", cold(What::ColdPerSecond)),
            panel("Such guests answered within 1 s during a scan", MORE, 0, " %", scans.collect()),
            panel(
                "Solicitation outside the range, over no responder",
                LESS,
                0,
                " ns",
                alone(What::Outside, &[Bare, Lone64Live, NdppdStatic, Npd6, Kernel], 1.0),
            ),
            panel(
                "Foreign UDP packet, over no responder",
                LESS,
                0,
                " ns",
                alone(What::Udp, &[Bare, Lone64Live, NdppdStatic, Npd6, Kernel], 1.0),
            ),
        ],
    ]
}

fn color(responder: Responder) -> RGBColor {
    match responder {
        Responder::Bare | Responder::Nobody => RGBColor(176, 184, 196),
        Responder::Lone64Always => RGBColor(58, 142, 214),
        Responder::Lone64Live | Responder::Lone64Metrics | Responder::Lone64Other => RGBColor(22, 96, 167),
        _ => RGBColor(222, 150, 62),
    }
}

const MORE: &str = "more is better";
const LESS: &str = "less is better";

// Pixels.
const MARGIN: i32 = 24;
const COLUMN: i32 = 450;
const HEAD: i32 = 76;
const TITLE: i32 = 24;
const ROW: i32 = 20;
const GAP: i32 = 22;
const LABEL: i32 = 210;
const VALUE: i32 = 70;

const GROUND: RGBColor = RGBColor(255, 255, 255);
const INK: RGBColor = RGBColor(32, 38, 46);
const FAINT: RGBColor = RGBColor(98, 108, 120);
