//! The table as a picture: payloads a second, and times, over the number in flight.
//!
//! Plain SVG of our own: two panels with logarithmic scales, a colour for each ordering, and ink that follows the
//! reader's light or dark page.

use std::fmt::Write as _;

/// One ordering.
pub(super) struct Series {
    pub(super) name: String,
    pub(super) points: Vec<Point>,
}

/// One step.
pub(super) struct Point {
    pub(super) in_flight: u32,
    pub(super) per_second: f64,
    pub(super) p50_ms: f64,
    pub(super) p99_ms: f64,
}

/// Distinct for colour-blind readers, too, on light and on dark.
const COLOURS: [&str; 6] = ["#0079c1", "#d9650f", "#00a076", "#c25f9a", "#8a7a00", "#5aa7d6"];
const WIDTH: f64 = 960.0;
const HEIGHT: f64 = 440.0;
const TOP: f64 = 56.0;
const BOTTOM: f64 = 330.0;
/// The panels' left edges, and how wide each is.
const LEFT: [f64; 2] = [80.0, 570.0];
const PANEL: f64 = 360.0;

/// One panel's scales.
struct Panel {
    left: f64,
    in_flight: Vec<u32>,
    /// Powers of ten at the bottom and the top.
    low: i32,
    high: i32,
}

/// Draws it.
pub(super) fn draw(series: &[Series]) -> String {
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" font-size=\"13\">\n\
         <style>text{{fill:#222}}.axis{{stroke:#222;fill:none}}.grid{{stroke:#8884;fill:none}}\
         @media (prefers-color-scheme:dark){{text{{fill:#ddd}}.axis{{stroke:#ddd}}}}</style>\n"
    );
    let rates = |point: &Point| vec![point.per_second];
    let times = |point: &Point| vec![point.p50_ms, point.p99_ms];
    let panel = Panel::new(LEFT[0], series, rates);
    panel.frame(&mut svg, "Payloads final a second", "payloads/s");
    for (one, colour) in series.iter().zip(COLOURS.iter().cycle()) {
        panel.line(&mut svg, one, colour, "", |point| point.per_second);
    }
    let panel = Panel::new(LEFT[1], series, times);
    panel.frame(&mut svg, "Time until final (solid: p50, dashed: p99)", "milliseconds");
    for (one, colour) in series.iter().zip(COLOURS.iter().cycle()) {
        panel.line(&mut svg, one, colour, "", |point| point.p50_ms);
        panel.line(&mut svg, one, colour, " stroke-dasharray=\"5 4\"", |point| point.p99_ms);
    }
    legend(&mut svg, series);
    svg + "</svg>\n"
}

fn legend(svg: &mut String, series: &[Series]) {
    for (number, (one, colour)) in series.iter().zip(COLOURS.iter().cycle()).enumerate() {
        let (x, y) = (LEFT[0] + 220.0 * (number % 4) as f64, 395.0 + 22.0 * (number / 4) as f64);
        let _ = writeln!(
            svg,
            "<rect x=\"{x}\" y=\"{}\" width=\"14\" height=\"14\" fill=\"{colour}\"/><text x=\"{}\" y=\"{y}\">{}</text>",
            y - 12.0,
            x + 20.0,
            one.name
        );
    }
}

impl Panel {
    fn new(left: f64, series: &[Series], values: impl Fn(&Point) -> Vec<f64>) -> Self {
        let points = || series.iter().flat_map(|one| &one.points);
        let mut in_flight: Vec<u32> = points().map(|point| point.in_flight).collect();
        in_flight.sort_unstable();
        in_flight.dedup();
        let shown = points().flat_map(values).filter(|value| *value > 0.0);
        let (least, most) = shown
            .fold((f64::MAX, f64::MIN_POSITIVE), |(least, most), value| (least.min(value), most.max(value)));
        let low = least.min(most).log10().floor() as i32;
        Self { left, in_flight, low, high: (most.log10().ceil() as i32).max(low + 1) }
    }

    /// Steps stand at equal distances, whatever their numbers.
    fn x(&self, in_flight: u32) -> f64 {
        let at = self.in_flight.iter().position(|one| *one == in_flight).unwrap_or_default();
        self.left + PANEL * (at as f64 + 0.5) / self.in_flight.len().max(1) as f64
    }

    fn y(&self, value: f64) -> f64 {
        let share = (value.log10() - f64::from(self.low)) / f64::from(self.high - self.low);
        BOTTOM - (BOTTOM - TOP) * share.clamp(0.0, 1.0)
    }

    fn frame(&self, svg: &mut String, title: &str, unit: &str) {
        let (left, right, middle) = (self.left, self.left + PANEL, self.left + PANEL / 2.0);
        let _ = writeln!(
            svg,
            "<text x=\"{middle}\" y=\"28\" text-anchor=\"middle\" font-size=\"15\">{title}</text>"
        );
        for power in self.low..=self.high {
            let (value, y) = (10f64.powi(power), self.y(10f64.powi(power)));
            let label = if value >= 1e3 { format!("{}k", value / 1e3) } else { format!("{value}") };
            let _ = writeln!(
                svg,
                "<path class=\"grid\" d=\"M{left} {y:.1}H{right}\"/><text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{label}</text>",
                left - 8.0,
                y + 4.0
            );
        }
        for number in &self.in_flight {
            let x = self.x(*number);
            let _ = writeln!(
                svg,
                "<text x=\"{x:.1}\" y=\"{}\" text-anchor=\"middle\">{number}</text>",
                BOTTOM + 18.0
            );
        }
        let _ = writeln!(
            svg,
            "<path class=\"axis\" d=\"M{left} {TOP}V{BOTTOM}H{right}\"/>\
             <text x=\"{middle}\" y=\"{}\" text-anchor=\"middle\">payloads in flight</text>\
             <text x=\"{}\" y=\"{}\" text-anchor=\"start\">{unit}</text>",
            BOTTOM + 38.0,
            left - 60.0,
            TOP - 12.0
        );
    }

    fn line(&self, svg: &mut String, one: &Series, colour: &str, dash: &str, value: fn(&Point) -> f64) {
        let known: Vec<(f64, f64)> = one
            .points
            .iter()
            .filter(|point| value(point) > 0.0)
            .map(|point| (self.x(point.in_flight), self.y(value(point))))
            .collect();
        let path: Vec<String> = known.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        let _ = writeln!(
            svg,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"{dash}/>",
            path.join(" ")
        );
        for (x, y) in known {
            let _ = writeln!(svg, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3.5\" fill=\"{colour}\"/>");
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn point(in_flight: u32, per_second: f64) -> Point {
        Point { in_flight, per_second, p50_ms: 1.0, p99_ms: 10.0 }
    }

    #[test]
    fn more_is_higher_and_what_was_not_measured_is_not_drawn() {
        let points = vec![point(1, 900.0), point(64, 0.0), point(256, 90_000.0)];
        let series = [Series { name: "pbft, 4 members".to_owned(), points }];
        let panel = Panel::new(0.0, &series, |point| vec![point.per_second]);
        assert_eq!((panel.low, panel.high), (2, 5));
        assert!(panel.y(90_000.0) < panel.y(900.0), "upwards is less");
        assert!(panel.x(1) < panel.x(64) && panel.x(64) < panel.x(256));
        let svg = draw(&series);
        assert_eq!(svg.matches("<polyline").count(), 3, "{svg}");
        assert_eq!(svg.matches("<circle").count(), 2 + 3 + 3, "{svg}");
        assert!(svg.contains("pbft, 4 members") && svg.contains("payloads in flight"), "{svg}");
    }
}
