//! Lines over decades as an SVG, for the growth of costs. It draws one thing only: points on two logarithmic axes, a line a series.

use std::fmt::Write as _;

const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 380.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 250.0;
const TOP: f64 = 44.0;
const BOTTOM: f64 = 50.0;
/// Distinguishable without colour vision (Okabe and Ito's palette).
const COLOURS: [&str; 6] = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#000000"];

/// One line.
#[derive(Clone, Debug)]
#[expect(clippy::exhaustive_structs, reason = "made by literals in the benchmarks")]
pub struct Series {
    /// What it is, written at its end.
    pub name: String,
    /// Points, by ascending x; all coordinates above 0.
    pub points: Vec<(f64, f64)>,
}

/// Draws all series; the axes reach over whole decades.
pub fn lines(title: &str, across: &str, up: &str, all: &[Series]) -> String {
    let points = || all.iter().flat_map(|it| &it.points);
    let decades = |of: fn(&(f64, f64)) -> f64| {
        let logs = || points().map(|it| of(it).log10());
        let (low, high) = (logs().fold(f64::MAX, f64::min).floor(), logs().fold(f64::MIN, f64::max).ceil());
        (low, high.max(low + 1.0))
    };
    let ((x_low, x_high), (y_low, y_high)) = (decades(|it| it.0), decades(|it| it.1));
    let x = |value: f64| LEFT + (value.log10() - x_low) / (x_high - x_low) * (WIDTH - LEFT - RIGHT);
    let y = |value: f64| HEIGHT - BOTTOM - (value.log10() - y_low) / (y_high - y_low) * (HEIGHT - TOP - BOTTOM);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" \
         font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n<text x=\"{LEFT}\" y=\"22\" \
         font-size=\"15\">{}</text>\n",
        escaped(title)
    );
    let mut add = |line: std::fmt::Arguments<'_>| writeln!(svg, "{line}").expect("a string takes what is written");
    for decade in x_low as i32..=x_high as i32 {
        let (at, bottom) = (x(10_f64.powi(decade)), HEIGHT - BOTTOM);
        add(format_args!("<path d=\"M{at:.1} {TOP}V{bottom}\" stroke=\"#ddd\"/>"));
        let below = bottom + 18.0;
        add(format_args!("<text x=\"{at:.1}\" y=\"{below}\" text-anchor=\"middle\">{}</text>", number(decade)));
    }
    for decade in y_low as i32..=y_high as i32 {
        let (at, right) = (y(10_f64.powi(decade)), WIDTH - RIGHT);
        add(format_args!("<path d=\"M{LEFT} {at:.1}H{right}\" stroke=\"#ddd\"/>"));
        let (left, middle) = (LEFT - 8.0, at + 4.0);
        add(format_args!("<text x=\"{left}\" y=\"{middle:.1}\" text-anchor=\"end\">{}</text>", number(decade)));
    }
    let (middle, below) = (f64::midpoint(LEFT, WIDTH - RIGHT), HEIGHT - 12.0);
    add(format_args!("<text x=\"{middle}\" y=\"{below}\" text-anchor=\"middle\">{}</text>", escaped(across)));
    add(format_args!(
        "<text transform=\"translate(16 {}) rotate(-90)\" text-anchor=\"middle\">{}</text>",
        HEIGHT / 2.0,
        escaped(up)
    ));
    // Names stand at the ends of their lines, moved apart where these lie close together.
    let ends = all.iter().map(|it| it.points.last().map_or(0.0, |it| y(it.1)));
    let mut order: Vec<(usize, f64)> = ends.enumerate().collect();
    order.sort_by(|a, b| a.1.total_cmp(&b.1));
    let mut lowest = TOP - 16.0;
    for (at, end) in order {
        let (series, colour) = (&all[at], COLOURS[at % COLOURS.len()]);
        let line: Vec<_> = series.points.iter().map(|it| format!("{:.1},{:.1}", x(it.0), y(it.1))).collect();
        add(format_args!(
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>",
            line.join(" ")
        ));
        for it in &series.points {
            add(format_args!("<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"3\" fill=\"{colour}\"/>", x(it.0), y(it.1)));
        }
        lowest = end.max(lowest + 16.0);
        let (right, name) = (WIDTH - RIGHT + 8.0, escaped(&series.name));
        add(format_args!("<text x=\"{right}\" y=\"{:.1}\" fill=\"{colour}\">{name}</text>", lowest + 4.0));
    }
    svg + "</svg>\n"
}

/// A power of ten as people write it.
fn number(decade: i32) -> String {
    match decade {
        6.. => format!("{} M", 10_i64.pow(decade as u32 - 6)),
        3.. => format!("{} k", 10_i64.pow(decade as u32 - 3)),
        _ => format!("{}", 10_f64.powi(decade)),
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_lie_where_their_logarithms_do() {
        let series = Series { name: "a < b".to_owned(), points: vec![(1.0, 10.0), (10.0, 10.0), (100.0, 100.0)] };
        let svg = lines("title", "across", "up", &[series]);
        // Two decades across, one up: the middle point is half way across and at the bottom.
        assert!(svg.contains("points=\"70.0,330.0 290.0,330.0 510.0,44.0\""), "{svg}");
        assert!(svg.contains("a &lt; b"));
    }
}
