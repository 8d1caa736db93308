//! The figures as a picture: one panel of bars for each group of them. In: figures. Out: SVG. Pure.
//!
//! A bar is the median, the thin line on it the spread. Every panel has its own scale, from 0 to its longest bar; what
//! was not run is written where its bar would be.

use std::fmt::Write as _;

use crate::bench::contestant::Contestant;
use crate::bench::figures::Figures;
use crate::bench::measure::{DELAYS, DIRECTIONS, Measure, Pace, Quantile, STALLS, Shape};
use crate::bench::statistics::{Spread, short};

const WIDTH: f64 = 900.0;
/// Where bars begin.
const LEFT: f64 = 260.0;
/// How long the longest bar is.
const LONGEST: f64 = 520.0;
const BAR: f64 = 11.0;
const GAP: f64 = 8.0;
const HEADING: f64 = 34.0;

/// Panels of figures of one unit.
fn panels() -> Vec<(&'static str, Vec<Measure>)> {
    let quantiles = [Quantile::P50, Quantile::P99];
    let beside = DIRECTIONS.into_iter().flat_map(|direction| {
        quantiles.map(|quantile| Measure::RoundTrip(Some(direction), quantile))
    });
    let delayed = DELAYS
        .into_iter()
        .flat_map(|delay| DIRECTIONS.map(|direction| Measure::Delayed(delay, direction)));
    vec![
        (
            "Throughput, GB/s",
            Shape::all().map(Measure::Throughput).collect(),
        ),
        (
            "CPU of server and agent, s/GB",
            Shape::all().map(Measure::Cpu).collect(),
        ),
        (
            "Round trip of 64 bytes, µs",
            quantiles.map(|one| Measure::RoundTrip(None, one)).into(),
        ),
        (
            "The same beside one saturating transfer, µs",
            beside.collect(),
        ),
        (
            "Dials a second",
            [1, 16]
                .map(|count| Measure::DialRate(Pace::Parallel(count)))
                .into(),
        ),
        (
            "Round trip p99 beside those who stand still, µs",
            STALLS.map(Measure::StalledEcho).into(),
        ),
        (
            "Dial p99 beside those who stand still, µs",
            STALLS.map(Measure::StalledDial).into(),
        ),
        (
            "One connection through a slow line of 30 MB/s, MB/s",
            delayed.collect(),
        ),
    ]
}

fn colour(contestant: Contestant) -> &'static str {
    match contestant {
        Contestant::TcpRelay => "#bbbbbb",
        Contestant::TlsRelay => "#777777",
        Contestant::Legacy => "#66ccee",
        Contestant::Native => "#4477aa",
        Contestant::Reference => "#ee6677",
        Contestant::OurServer => "#ccbb44",
        Contestant::OurAgent => "#aa3377",
    }
}

/// The whole picture.
pub fn svg(figures: &Figures) -> String {
    let mut body = String::new();
    let mut top = legend(&mut body);
    for (title, measures) in panels() {
        top = panel(&mut body, figures, title, &measures, top);
    }
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{top}\" viewBox=\"0 0 {WIDTH} {top}\" \
         font-family=\"sans-serif\" font-size=\"10\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n{body}</svg>\n"
    )
}

fn legend(body: &mut String) -> f64 {
    let mut left = 10.0;
    for contestant in Contestant::ALL {
        let fill = colour(contestant);
        let _ = writeln!(
            body,
            "<rect x=\"{left}\" y=\"10\" width=\"10\" height=\"10\" fill=\"{fill}\"/>"
        );
        text(body, left + 14.0, 19.0, contestant.title());
        left += 125.0;
    }
    30.0
}

/// Draws one panel below `top` and says where it ends.
fn panel(body: &mut String, figures: &Figures, title: &str, measures: &[Measure], top: f64) -> f64 {
    let spreads = measures.iter().flat_map(|&measure| {
        Contestant::ALL.map(|contestant| figures.cell(contestant, measure)?.spread())
    });
    let longest = spreads
        .flatten()
        .map(|spread| spread.most)
        .fold(0.0, f64::max);
    let scale = if longest > 0.0 {
        LONGEST / longest
    } else {
        0.0
    };
    let _ = writeln!(
        body,
        "<text x=\"10\" y=\"{}\" font-size=\"13\" font-weight=\"bold\">{}</text>",
        top + 20.0,
        escaped(title)
    );
    let mut y = top + HEADING;
    for &measure in measures {
        text(body, 10.0, y + BAR - 2.0, &measure.title());
        for contestant in Contestant::ALL {
            let Some(cell) = figures.cell(contestant, measure) else {
                continue;
            };
            match cell.spread() {
                Some(spread) => bar(body, spread, scale, y, colour(contestant)),
                None => text(body, LEFT, y + BAR - 2.0, &cell.text()),
            }
            y += BAR;
        }
        y += GAP;
    }
    y
}

fn bar(body: &mut String, spread: Spread, scale: f64, y: f64, fill: &str) {
    let [median, least, most] = [spread.median, spread.least, spread.most].map(|one| one * scale);
    let middle = y + BAR / 2.0;
    let _ = writeln!(
        body,
        "<rect x=\"{LEFT}\" y=\"{y}\" width=\"{median:.1}\" height=\"{}\" fill=\"{fill}\"/>",
        BAR - 1.0
    );
    let _ = writeln!(
        body,
        "<line x1=\"{:.1}\" x2=\"{:.1}\" y1=\"{middle}\" y2=\"{middle}\" stroke=\"black\"/>",
        LEFT + least,
        LEFT + most
    );
    text(
        body,
        LEFT + most + 5.0,
        y + BAR - 2.0,
        &short(spread.median),
    );
}

fn text(body: &mut String, x: f64, y: f64, what: &str) {
    let _ = writeln!(
        body,
        "<text x=\"{x:.1}\" y=\"{y:.1}\">{}</text>",
        escaped(what)
    );
}

fn escaped(what: &str) -> String {
    what.replace('&', "&amp;").replace('<', "&lt;")
}

#[cfg(test)]
mod tests {
    use super::{Contestant, Figures, LONGEST, Measure, Shape, svg};
    use crate::bench::measure::Direction;

    #[test]
    fn the_longest_bar_fills_its_panel_and_half_of_it_half() {
        let mut figures = Figures::default();
        let measure = Measure::Throughput(Shape {
            connections: 1,
            direction: Direction::Up,
        });
        figures.add(Contestant::TlsRelay, measure, 2.0);
        figures.add(Contestant::Native, measure, 1.0);
        let picture = svg(&figures);
        assert!(picture.contains(&format!("width=\"{LONGEST:.1}\"")));
        assert!(picture.contains(&format!("width=\"{:.1}\"", LONGEST / 2.0)));
        assert!(picture.contains("not run"));
    }

    #[test]
    fn nothing_measured_is_still_a_picture_without_a_number_that_is_none() {
        let picture = svg(&Figures::default());
        assert!(picture.starts_with("<svg") && picture.ends_with("</svg>\n"));
        assert!(!picture.contains("NaN") && !picture.contains("inf"));
        assert_eq!(
            picture.matches("<text").count(),
            picture.matches("</text>").count()
        );
    }
}
