//! The medians as bars, an SVG picture without fonts or scripts of its own.

use crate::contestant::ACTS;
use crate::options::Who;
use crate::results::Results;
use crate::table::milliseconds;

const COLOURS: [&str; 8] = ["#9aa0a6", "#1a7f5a", "#d9822b", "#3f6fb5", "#a04fa0", "#b8a100", "#c0392b", "#4aa3a3"];
const WIDTH: usize = 900;
/// Without and with seccomp stand side by side.
const COLUMN: usize = WIDTH / 2;
const LEFT: usize = 70;
const BARS: usize = 310;
const BAR: usize = 14;
const GAP: usize = 10;

pub fn render(results: &Results) -> String {
    let (mut body, mut y) = (String::new(), 30);
    let machine = &results.machine;
    body += &text(10, 20, 15, &format!("Medians in ms: {}, kernel {}", machine.date, machine.kernel));
    for (place, contestant) in results.contestants.iter().enumerate() {
        body += &rectangle(10, y + 8, 12, 12, place);
        body += &text(28, y + 18, 12, &contestant.name);
        y += 18;
    }
    let mut drawn = results.scenarios();
    drawn.dedup_by_key(|(who, _)| *who);
    for (who, _) in drawn {
        y += 34;
        for (filter, x) in [(false, 0), (true, COLUMN)] {
            let with = if filter { ", seccomp" } else { "" };
            body += &text(x + 10, y, 14, &format!("{}{with}", who.title()));
            body += &scenario(results, who, filter, (x, y + 10));
        }
        y += 10 + (BAR * results.contestants.len() + GAP) * ACTS.len();
    }
    let height = y + 20;
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" height=\"{height}\" \
         font-family=\"sans-serif\" fill=\"#222\">\n<rect width=\"{WIDTH}\" height=\"{height}\" fill=\"#fff\"/>\n{body}</svg>\n"
    )
}

/// The bars of one scenario. The longest takes all the width.
fn scenario(results: &Results, who: Who, filter: bool, (x, top): (usize, usize)) -> String {
    let contestants = results.contestants.len();
    let median = |act, place| results.summary(who, filter, act, place).map(|summary| summary.median);
    let longest = ACTS.into_iter().flat_map(|act| (0..contestants).filter_map(move |place| median(act, place))).max();
    let mut body = String::new();
    for (row, act) in ACTS.into_iter().enumerate() {
        let y = top + row * (BAR * contestants + GAP);
        body += &text(x + 10, y + BAR * contestants / 2 + 5, 13, act.word());
        for place in 0..contestants {
            let Some(median) = median(act, place) else { continue };
            let length = (median as f64 / longest.unwrap_or(1).max(1) as f64 * BARS as f64).max(1.0) as usize;
            let y = y + place * BAR;
            body += &rectangle(x + LEFT, y + 1, length, BAR - 2, place);
            body += &text(x + LEFT + length + 6, y + 11, 11, &milliseconds(median));
        }
    }
    body
}

fn rectangle(x: usize, y: usize, width: usize, height: usize, place: usize) -> String {
    format!("<rect x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\" fill=\"{}\"/>\n", COLOURS[place % COLOURS.len()])
}

fn text(x: usize, y: usize, size: usize, words: &str) -> String {
    let words = words.replace('&', "&amp;").replace('<', "&lt;");
    format!("<text x=\"{x}\" y=\"{y}\" font-size=\"{size}\">{words}</text>\n")
}
