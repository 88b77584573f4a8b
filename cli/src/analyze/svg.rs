//! A picture of a trace as SVG: the waterfall with the critical path, what overlapped, what waited in turn.
//!
//! It has no script and loads nothing; its colours follow the reader's light or dark scheme.

use std::{collections::HashMap, fmt::Write as _, time::Duration};

use overlap::{SpanIndex, text as words};

use super::{
    report::Analyzed,
    rows::{indent_level, rows, segments},
    sentence::wrap_sentence,
    xml::escape,
};
use crate::terminal::{
    duration_format::{human, short},
    scale::Scale,
    style::Style,
    text_layout::{counted, cut},
};

const WIDTH: usize = 1000;
const MARGIN: usize = 16;
const NAME_WIDTH: usize = 330;
/// Where the bars begin, and how wide the axis is.
const LEFT: usize = MARGIN + NAME_WIDTH;
const BARS: usize = WIDTH - LEFT - MARGIN - 84;
const ROW: usize = 24;
const BAR: usize = 14;
/// Where the rows begin: below the title and the trace's id.
const TOP: usize = 72;
/// The rows of a picture.
const MAX_ROWS: usize = 100;
/// Characters of a name and of a line of text, in the least favourable usual font.
const NAME_CHARS: usize = 44;
const LINE_CHARS: usize = 128;
/// Parts of the scale: a hundredth of a pixel.
const PER_PIXEL: usize = 100;

/// Colours with a contrast of at least 4.5 for text and 3 for bars, on both backgrounds.
const CSS: &str = "\
.bg{fill:#fff}.t{fill:#1f2328;font:13px system-ui,sans-serif}.h{font-weight:600;font-size:16px}.q{fill:#59636e}\
.e{text-anchor:end}.m{text-anchor:middle}.g{stroke:#d1d9e0}.r{fill:#8fb8e8}.c{fill:#0a5cc4}.x{fill:#e5a3a0}.cx{fill:#b3261e}\
.o{fill:#1a7f37;opacity:.14}.w{stroke:#9a4700;stroke-width:1.5;stroke-dasharray:3 2;fill:none}.wt{fill:#9a4700}\
@media(prefers-color-scheme:dark){.bg{fill:#0d1117}.t{fill:#e6edf3}.q{fill:#9198a1}.g{stroke:#3d444d}.r{fill:#2f5683}\
.c{fill:#58a6ff}.x{fill:#7d3b38}.cx{fill:#ff7b72}.o{fill:#3fb950;opacity:.2}.w{stroke:#f0a35e}.wt{fill:#f0a35e}}";

/// Returns the picture of a trace.
pub(super) fn picture(it: &Analyzed) -> String {
    let mut picture = Picture::new(it);
    picture.overlaps();
    picture.spans();
    picture.turns();
    picture.text();
    picture.finish()
}

struct Picture<'a> {
    it: &'a Analyzed,
    rows: Vec<SpanIndex>,
    /// The row of each span that has one.
    row_of: HashMap<SpanIndex, usize>,
    start: u64,
    scale: Scale,
    end: Duration,
    body: String,
    /// The height so far.
    y: usize,
    has_overlaps: bool,
    has_turns: bool,
}

// === impl Picture ===

impl<'a> Picture<'a> {
    fn new(it: &'a Analyzed) -> Self {
        let rows = rows(it, MAX_ROWS);
        let (start, end) = it.trace.bounds();
        let end = Duration::from_nanos(end - start);
        let scale = Scale::new(end, BARS * PER_PIXEL);
        let row_of = rows.iter().enumerate().map(|(row, span)| (*span, row)).collect();
        let y = TOP + rows.len() * ROW;
        let (body, has_overlaps, has_turns) = (String::new(), false, false);
        let mut picture = Self { it, rows, row_of, start, scale, end, body, y, has_overlaps, has_turns };
        picture.axis();
        picture
    }

    /// Returns where a moment is, in pixels.
    fn x(&self, moment: u64) -> f64 {
        self.x_of(Duration::from_nanos(moment.saturating_sub(self.start)))
    }

    #[allow(clippy::cast_precision_loss, reason = "pixels are few")]
    fn x_of(&self, moment: Duration) -> f64 {
        LEFT as f64 + self.scale.position(moment) as f64 / PER_PIXEL as f64
    }

    fn add(&mut self, element: std::fmt::Arguments<'_>) {
        _ = self.body.write_fmt(element);
        self.body.push('\n');
    }

    fn text_at(&mut self, x: f64, y: usize, class: &str, text: &str) {
        self.add(format_args!(r#"<text x="{x:.1}" y="{y}" class="t {class}">{}</text>"#, escape(text)));
    }

    /// Draws lines at round times, and their labels.
    fn axis(&mut self) {
        let bottom = self.y + 6;
        for tick in Scale::new(self.end, BARS).ticks(90) {
            let x = self.x_of(tick);
            self.add(format_args!(r#"<path class="g" d="M{x:.1} {}V{bottom}"/>"#, TOP - 6));
            self.text_at(x, bottom + 16, "q m", &short(tick));
        }
        self.y = bottom + 34;
    }

    /// Shades the times in which several calls of one span ran.
    fn overlaps(&mut self) {
        for fan_out in self.it.analysis.fan_outs() {
            let rows = fan_out.calls.iter().filter_map(|call| self.row_of.get(call).copied());
            let (Some(first), Some(last)) = (rows.clone().min(), rows.max()) else { continue };
            for overlap in fan_out.overlaps() {
                let (from, to) = (self.x(overlap.start), self.x(overlap.end));
                let (y, height) = (TOP + first * ROW, (last - first + 1) * ROW);
                let width = (to - from).max(0.5);
                self.add(format_args!(
                    r#"<rect class="o" x="{from:.1}" y="{y}" width="{width:.1}" height="{height}"/>"#
                ));
                self.has_overlaps = true;
            }
        }
    }

    fn spans(&mut self) {
        let path = segments(self.it);
        for row in 0..self.rows.len() {
            let index = self.rows[row];
            let span = self.it.trace.span(index);
            let y = TOP + row * ROW;
            let baseline = y + 16;
            let indent = indent_level(self.it, index);
            #[allow(clippy::cast_precision_loss, reason = "pixels are few")]
            let name_x = (MARGIN + 14 * indent) as f64;
            let label = self.it.label(index);
            let name = cut(&self.it.short_label(index), NAME_CHARS - 2 * indent, Style::PLAIN);
            let (class, critical) = if span.error { ("x", "cx") } else { ("r", "c") };
            let title = format!("{label}: {}", human(span.duration()));
            self.add(format_args!("<g><title>{}</title>", escape(&title)));
            self.text_at(name_x, baseline, "", &name);
            self.bar(span.start, span.end, y, class);
            for part in path.get(&index).map(Vec::as_slice).unwrap_or_default() {
                self.bar(part.start.max(span.start), part.end.min(span.end.max(span.start)), y, critical);
            }
            let right = self.x(span.end.max(span.start)) + 6.0;
            let duration = human(span.duration());
            let failed = if span.error { " ✗" } else { "" };
            self.text_at(right, baseline, "q", &(duration + failed));
            self.add(format_args!("</g>"));
        }
    }

    fn bar(&mut self, from: u64, to: u64, y: usize, class: &str) {
        let (from, to) = (self.x(from), self.x(to));
        let (y, width) = (y + (ROW - BAR) / 2, (to - from).max(1.0));
        self.add(format_args!(
            r#"<rect class="{class}" x="{from:.1}" y="{y}" width="{width:.1}" height="{BAR}" rx="2"/>"#
        ));
    }

    /// Connects calls that waited for one another, and need not have.
    fn turns(&mut self) {
        let it = self.it;
        for (_, sequence) in it.sequences() {
            for pair in sequence.calls.windows(2) {
                let [Some(above), Some(below)] = [0, 1].map(|place| self.row_of.get(&pair[place]).copied()) else {
                    continue;
                };
                let (from, to) = (self.x(it.trace.span(pair[0]).end), self.x(it.trace.span(pair[1]).start));
                let middle = |row: usize| TOP + row * ROW + ROW / 2;
                let (y1, y2) = (middle(above), middle(below));
                self.add(format_args!(r#"<path class="w" d="M{from:.1} {y1}L{to:.1} {y2}"/>"#));
                self.has_turns = true;
            }
        }
    }

    /// Writes the title, what the colours mean, and what was found.
    fn text(&mut self) {
        let it = self.it;
        let margin = f64::from(u16::try_from(MARGIN).unwrap_or(0));
        self.text_at(margin, 28, "h", &cut(&it.title(), LINE_CHARS * 3 / 4, Style::PLAIN));
        let spans = counted(it.trace.spans().len() as u64, "span");
        let hidden = it.trace.spans().len() - self.rows.len();
        let shown = if hidden > 0 { format!(", {} of them shown", self.rows.len()) } else { String::new() };
        let id = it.trace.id();
        self.text_at(margin, 50, "q", &format!("{}, {spans}{shown}, trace {id}", human(it.wall())));
        let mut legend = vec!["strong colour: the critical path"];
        if self.has_overlaps {
            legend.push("shaded: calls overlap");
        }
        if self.has_turns {
            legend.push("dashed: calls wait in turn");
        }
        let y = self.y;
        self.text_at(margin, y, "q", &legend.join(", "));
        self.y += 12;
        for sentence in words::verdict(&it.trace, &it.analysis) {
            self.y += 4;
            for line in wrap_sentence(&sentence, LINE_CHARS, 0).lines() {
                self.y += 18;
                let y = self.y;
                self.text_at(margin, y, "", line);
            }
        }
    }

    fn finish(self) -> String {
        let (height, title) = (self.y + MARGIN, escape(&self.it.title()));
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" \
             viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-labelledby=\"title\">\n\
             <title id=\"title\">{title}</title>\n<style>{CSS}</style>\n\
             <rect class=\"bg\" width=\"{WIDTH}\" height=\"{height}\"/>\n{}</svg>\n",
            self.body
        )
    }
}
