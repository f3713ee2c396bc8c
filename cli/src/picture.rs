//! The tree as a picture: SVG, or what Graphviz draws one of.

use std::fmt::Write as _;

use crate::document::escaped;
use crate::history::{self, History, Memory, Row, Taken};
use crate::words;

/// Sizes in pixels. Letters are all of one width, so the boxes need no font to be measured.
const LETTER: usize = 8;
const LINE: usize = 17;
const BOX_HEIGHT: usize = 3 * LINE + 14;
const GAP_ACROSS: usize = 56;
const GAP_DOWN: usize = 18;
const MARGIN: usize = 20;
const HEAD: usize = 44;
const LEGEND: usize = 34;

/// Kinds, and a fill and an edge for each that are told apart without colours by their words.
const COLORS: [(&str, &str, &str); 4] = [
    ("internal", "#e3eefb", "#2f6db3"),
    ("external", "#fdf0dc", "#b5701b"),
    ("mixed", "#efe6f8", "#7645a8"),
    ("none", "#f0f0f0", "#777777"),
];

fn colors(kind: &str) -> (&'static str, &'static str) {
    let found = COLORS.iter().find(|(name, ..)| *name == kind);
    found.map_or(("#f0f0f0", "#777777"), |(_, fill, edge)| (*fill, *edge))
}

/// What stands in a box.
fn lines(row: &Row<'_>, now: i64) -> Vec<String> {
    match row.taken {
        None => vec!["● you are here".to_owned()],
        Some(taken) => vec![
            taken.name.clone(),
            kind(taken),
            format!(
                "{} ({})",
                words::time(taken.time),
                words::age(now.saturating_sub(taken.time))
            ),
        ],
    }
}

fn kind(taken: &Taken) -> String {
    let memory = if taken.memory == Memory::None {
        ""
    } else {
        " with memory"
    };
    let size = taken
        .size
        .map(|_| format!(", {}", taken.size_words()))
        .unwrap_or_default();
    format!("{}{memory}{size}", taken.kind())
}

/// A box at its place.
struct Placed<'a> {
    row: Row<'a>,
    lines: Vec<String>,
    parent: Option<usize>,
    depth: usize,
    /// The upper edge.
    top: usize,
}

/// Boxes in columns by their depth; a parent is half-way between its first and last child.
fn placed(history: &History, now: i64) -> Vec<Placed<'_>> {
    let mut boxes: Vec<Placed<'_>> = Vec::new();
    let mut above: Vec<usize> = Vec::new();
    for row in history.rows() {
        let depth = row.lasts.len().saturating_sub(1);
        above.truncate(depth);
        let parent = above.last().copied();
        above.push(boxes.len());
        boxes.push(Placed {
            lines: lines(&row, now),
            row,
            parent,
            depth,
            top: 0,
        });
    }
    let has_child: Vec<bool> = (0..boxes.len())
        .map(|index| boxes.iter().any(|other| other.parent == Some(index)))
        .collect();
    let mut next = 0;
    for (placed, has_child) in boxes.iter_mut().zip(has_child) {
        if !has_child {
            placed.top = next;
            next += BOX_HEIGHT + GAP_DOWN;
        }
    }
    // Children stand behind their parents, so going backwards each child has its place already.
    for index in (0..boxes.len()).rev() {
        let tops = boxes
            .iter()
            .filter(|other| other.parent == Some(index))
            .map(|other| other.top);
        let span = tops.fold(None, |span: Option<(usize, usize)>, top| match span {
            None => Some((top, top)),
            Some((low, high)) => Some((low.min(top), high.max(top))),
        });
        if let (Some((low, high)), Some(placed)) = (span, boxes.get_mut(index)) {
            placed.top = usize::midpoint(low, high);
        }
    }
    boxes
}

/// The tree as SVG.
pub fn svg(history: &History) -> String {
    let boxes = placed(history, history::now());
    let letters = boxes
        .iter()
        .flat_map(|placed| &placed.lines)
        .map(|line| line.chars().count());
    let box_width = letters.max().unwrap_or(0) * LETTER + 24;
    let depths = boxes
        .iter()
        .map(|placed| placed.depth + 1)
        .max()
        .unwrap_or(1);
    let bottom = boxes
        .iter()
        .map(|placed| placed.top + BOX_HEIGHT)
        .max()
        .unwrap_or(0);
    let title = format!(
        "{} · {}",
        history.domain,
        words::count(history.snapshots.len(), "snapshot")
    );
    let across = depths * (box_width + GAP_ACROSS) - GAP_ACROSS;
    let width = 2 * MARGIN + across.max(title.chars().count() * 11).max(4 * 110);
    let height = MARGIN + HEAD + bottom + LEGEND + MARGIN;
    let mut out = String::new();
    let _ = write!(
        out,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
         viewBox=\"0 0 {width} {height}\" font-family=\"DejaVu Sans Mono, Menlo, Consolas, monospace\" \
         font-size=\"12\">\n<title>{0}</title>\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n\
         <text x=\"{MARGIN}\" y=\"{1}\" font-size=\"17\" font-weight=\"bold\">{0}</text>\n",
        escaped(&title),
        MARGIN + 16
    );
    let left = |placed: &Placed<'_>| MARGIN + placed.depth * (box_width + GAP_ACROSS);
    let top = |placed: &Placed<'_>| MARGIN + HEAD + placed.top;
    for placed in &boxes {
        let Some(parent) = placed.parent.and_then(|parent| boxes.get(parent)) else {
            continue;
        };
        let (x1, y1) = (left(parent) + box_width, top(parent) + BOX_HEIGHT / 2);
        let (x2, y2) = (left(placed), top(placed) + BOX_HEIGHT / 2);
        let middle = usize::midpoint(x1, x2);
        let dashes = match placed.row.taken {
            None => " stroke=\"#1a7f37\" stroke-dasharray=\"5 4\"",
            Some(_) => " stroke=\"#888888\"",
        };
        let _ = writeln!(
            out,
            "<path d=\"M {x1} {y1} C {middle} {y1}, {middle} {y2}, {x2} {y2}\" fill=\"none\" \
             stroke-width=\"1.6\"{dashes}/>"
        );
    }
    for placed in &boxes {
        out += &box_of(placed, history, (left(placed), top(placed)), box_width);
    }
    out += &legend(history, MARGIN + HEAD + bottom + LEGEND);
    out += "</svg>\n";
    out
}

fn box_of(placed: &Placed<'_>, history: &History, (x, y): (usize, usize), width: usize) -> String {
    let mut out = String::new();
    let Some(taken) = placed.row.taken else {
        let text = placed.lines.join(" ");
        let middle = y + BOX_HEIGHT / 2 + 5;
        let _ = writeln!(
            out,
            "<text x=\"{}\" y=\"{middle}\" font-size=\"13\" font-weight=\"bold\" fill=\"#1a7f37\">{}</text>",
            x + 6,
            escaped(&text)
        );
        return out;
    };
    let (fill, edge) = colors(taken.kind());
    let is_current = history.is_current(&taken.name);
    let (edge, thick) = if is_current {
        ("#1a7f37", "3")
    } else {
        (edge, "1.2")
    };
    let _ = write!(
        out,
        "<g><title>{}</title>\n<rect x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{BOX_HEIGHT}\" \
         rx=\"7\" fill=\"{fill}\" stroke=\"{edge}\" stroke-width=\"{thick}\"/>\n",
        escaped(taken.description.as_deref().unwrap_or(&taken.name))
    );
    for (number, line) in placed.lines.iter().enumerate() {
        let style = if number == 0 {
            " font-weight=\"bold\""
        } else {
            " fill=\"#444444\""
        };
        let _ = writeln!(
            out,
            "<text x=\"{}\" y=\"{}\"{style}>{}</text>",
            x + 11,
            y + 20 + number * LINE,
            escaped(line)
        );
    }
    out += "</g>\n";
    out
}

/// The kinds that occur, and their colours.
fn legend(history: &History, y: usize) -> String {
    let mut out = String::new();
    let mut x = MARGIN;
    for (kind, fill, edge) in COLORS {
        if history.snapshots.iter().any(|taken| taken.kind() == kind) {
            let _ = writeln!(
                out,
                "<rect x=\"{x}\" y=\"{}\" width=\"14\" height=\"12\" rx=\"3\" fill=\"{fill}\" \
                 stroke=\"{edge}\"/>\n<text x=\"{}\" y=\"{y}\" fill=\"#444444\">{kind}</text>",
                y - 10,
                x + 20
            );
            x += 110;
        }
    }
    out
}

/// The tree for Graphviz.
pub fn dot(history: &History) -> String {
    let now = history::now();
    let quoted = |text: &str| text.replace('\\', "\\\\").replace('"', "\\\"");
    let mut out = format!(
        "digraph \"{}\" {{\n  rankdir=LR;\n  node [shape=box, style=\"rounded,filled\", \
         fontname=\"DejaVu Sans Mono\"];\n",
        quoted(&history.domain)
    );
    for row in history.rows() {
        let text = lines(&row, now)
            .iter()
            .map(|line| quoted(line))
            .collect::<Vec<_>>()
            .join("\\n");
        let Some(taken) = row.taken else {
            let current = quoted(history.current.as_deref().unwrap_or_default());
            // A snapshot's name has no slash, so no other node is called like this.
            let _ = writeln!(
                out,
                "  \"/here\" [label=\"{text}\", shape=plain, fontcolor=\"#1a7f37\", fillcolor=white];\n  \
                 \"{current}\" -> \"/here\" [style=dashed, color=\"#1a7f37\"];"
            );
            continue;
        };
        let (fill, edge) = colors(taken.kind());
        let is_current = history.is_current(&taken.name);
        let (edge, thick) = if is_current {
            ("#1a7f37", 3)
        } else {
            (edge, 1)
        };
        let name = quoted(&taken.name);
        let _ = writeln!(
            out,
            "  \"{name}\" [label=\"{text}\", fillcolor=\"{fill}\", color=\"{edge}\", penwidth={thick}];"
        );
        if row.lasts.len() > 1 {
            let parent = quoted(taken.parent.as_deref().unwrap_or_default());
            let _ = writeln!(out, "  \"{parent}\" -> \"{name}\";");
        }
    }
    out += "}\n";
    out
}
