//! The picture of `docs/performance.md`: processor time of a request, for each peer.

use std::fmt::Write as _;

use crate::summary::{Row, Spread};

const WIDTH: f64 = 760.0;
const LEFT: f64 = 190.0;
const RIGHT: f64 = 110.0;
const ROW: f64 = 26.0;
const HEAD: f64 = 46.0;

/// Bars that are longer than this many times the reference's are cut off, so that the others can be told apart.
const LONGEST: f64 = 3.0;

/// Returns the picture of the peers at this number of requests in flight, in relation to their reference. None without it.
pub(crate) fn svg(rows: &[Row], in_flight: usize) -> Option<String> {
    let rows: Vec<_> = rows.iter().filter(|row| row.scenario == "peers" && row.in_flight == in_flight).collect();
    let reference = rows.iter().find(|row| row.subject == row.reference)?;
    #[expect(clippy::cast_precision_loss, reason = "a few rows")]
    let height = HEAD + ROW * rows.len() as f64 + 12.0;
    let what = format!("Processor time of a request, {in_flight} in flight: {} = 1", reference.subject);
    let mut svg = format!(
        r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" role="img" aria-labelledby="title desc">
  <title id="title">{what}</title>
  <desc id="desc">{}</desc>
  <style>
    text {{ font: 13px system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif; fill: #59636e; }}
    .head {{ font-weight: 600; fill: #1f2328; }}
    .ours {{ fill: #3b6fd4; }}
    .other {{ fill: #8b949e; }}
    .spread {{ stroke: #1f2328; stroke-width: 1.5; }}
    @media (prefers-color-scheme: dark) {{
      text {{ fill: #9da7b3; }}
      .head {{ fill: #e6edf3; }}
      .spread {{ stroke: #e6edf3; }}
    }}
  </style>
  <text class="head" x="8" y="24">{what}</text>
"#,
        rows.iter().map(|row| format!("{}: {:.2}", row.subject, ratio(row).median)).collect::<Vec<_>>().join("; "),
    );
    let scale = |ratio: f64| LEFT + ratio.min(LONGEST) / LONGEST * (WIDTH - LEFT - RIGHT);
    for (index, row) in rows.iter().enumerate() {
        #[expect(clippy::cast_precision_loss, reason = "a few rows")]
        let y = HEAD + ROW * index as f64;
        let spread = ratio(row);
        let is_ours = row.subject == "fanout";
        let (class, head) = if is_ours { ("ours", r#" class="head""#) } else { ("other", "") };
        let cut = if spread.median > LONGEST { " →" } else { "" };
        let _ = write!(
            svg,
            r#"  <text{head} x="8" y="{:.0}">{}</text>
  <rect class="{class}" x="{LEFT}" y="{y:.0}" width="{:.1}" height="16" rx="2"/>
"#,
            y + 13.0,
            row.subject,
            scale(spread.median) - LEFT,
        );
        if spread.median <= LONGEST && spread.max > spread.min {
            let (from, to, y) = (scale(spread.min), scale(spread.max), y + 8.0);
            let _ = writeln!(svg, r#"  <path class="spread" d="M{from:.1} {y:.0}H{to:.1}"/>"#);
        }
        let _ = writeln!(
            svg,
            r#"  <text{head} x="{:.1}" y="{:.0}">{:.2}{cut}</text>"#,
            scale(spread.max) + 8.0,
            y + 13.0,
            spread.median
        );
    }
    svg.push_str("</svg>\n");
    Some(svg)
}

/// Returns the ratio to the reference, which has 1 itself.
fn ratio(row: &Row) -> Spread {
    row.processor_ratio.unwrap_or(Spread { median: 1.0, min: 1.0, max: 1.0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: Spread = Spread { median: 1.0, min: 1.0, max: 1.0 };

    fn row(subject: &'static str, in_flight: usize, ratio: Option<f64>) -> Row {
        Row {
            scenario: "peers".into(),
            subject,
            reference: "plain",
            in_flight,
            width: 2,
            requests: 1,
            failed: 0,
            processor: ONE,
            kernel_share: ONE,
            per_second: ONE,
            p50: ONE,
            p99: ONE,
            processor_ratio: ratio.map(|median| Spread { median, min: median, max: median }),
            per_second_ratio: None,
            p50_ratio: None,
        }
    }

    /// Returns the values of an attribute of all elements of a name, in the order in which they are drawn.
    fn values(svg: &str, element: &str, attribute: &str) -> Vec<String> {
        let start = format!("<{element} ");
        let elements = svg.split(&start).skip(1);
        let value = |text: &str| {
            let tag = text.split_once('>')?.0;
            Some(tag.split_once(&format!("{attribute}=\""))?.1.split_once('"')?.0.to_owned())
        };
        elements.filter_map(value).collect()
    }

    #[test]
    fn a_bar_for_each_row_as_long_as_its_ratio() {
        let rows = [
            row("plain", 128, None),
            row("fanout", 128, Some(0.5)),
            row("node", 128, Some(6.0)),
            row("fanout", 1, Some(0.1)),
        ];
        let svg = svg(&rows, 128).unwrap();
        assert_eq!(values(&svg, "rect", "class"), ["other", "ours", "other"]);
        let widths: Vec<f64> = values(&svg, "rect", "width").iter().map(|width| width.parse().unwrap()).collect();
        let full = WIDTH - LEFT - RIGHT;
        let expected = [full / LONGEST, full / LONGEST / 2.0, full];
        assert!(widths.iter().zip(expected).all(|(width, expected)| (width - expected).abs() < 0.1), "{widths:?}");
        let tops: Vec<f64> = values(&svg, "rect", "y").iter().map(|y| y.parse().unwrap()).collect();
        assert_eq!(tops, [HEAD, HEAD + ROW, HEAD + 2.0 * ROW]);
    }

    #[test]
    fn without_the_reference_there_is_no_picture() {
        assert_eq!(svg(&[row("fanout", 128, None)], 128), None);
    }
}
