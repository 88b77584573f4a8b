//! The picture of `docs/performance.md`: processor time of a request, for each peer.

use std::fmt::Write as _;

use crate::summary::Row;

const WIDTH: f64 = 760.0;
const LEFT: f64 = 190.0;
const RIGHT: f64 = 110.0;
const ROW: f64 = 26.0;
const HEAD: f64 = 46.0;

/// Bars that are longer than this many times the reference's are cut off, so that the others can be told apart.
const LONGEST: f64 = 3.0;

/// Returns the picture of the peers at this number of requests in flight, in relation to the first of them.
pub(crate) fn svg(rows: &[Row], in_flight: usize) -> String {
    let rows: Vec<_> = rows.iter().filter(|row| row.scenario == "peers" && row.in_flight == in_flight).collect();
    let Some(reference) = rows.first() else { return String::new() };
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
    svg
}

/// Returns the ratio to the first peer, which has 1.
fn ratio(row: &Row) -> crate::summary::Spread {
    row.processor_ratio.unwrap_or(crate::summary::Spread { median: 1.0, min: 1.0, max: 1.0 })
}
