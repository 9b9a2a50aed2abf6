//! The medians as bars, an SVG picture without fonts or scripts of its own.

use crate::contestant::ACTS;
use crate::options::Who;
use crate::results::Results;
use crate::table::milliseconds;

const COLOURS: [&str; 8] = ["#9aa0a6", "#1a7f5a", "#d9822b", "#3f6fb5", "#a04fa0", "#b8a100", "#c0392b", "#4aa3a3"];
const WIDTH: usize = 900;
const LEFT: usize = 90;
const BARS: usize = 640;
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
    for (who, filter) in results.scenarios() {
        y += 34;
        let with = if filter { ", seccomp" } else { "" };
        body += &text(10, y, 14, &format!("{}{with}", who.title()));
        y += 10;
        y = scenario(results, who, filter, y, &mut body);
    }
    let height = y + 20;
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" height=\"{height}\" \
         font-family=\"sans-serif\" fill=\"#222\">\n<rect width=\"{WIDTH}\" height=\"{height}\" fill=\"#fff\"/>\n{body}</svg>\n"
    )
}

/// Draws the bars of one scenario and gives where they end.
fn scenario(results: &Results, who: Who, filter: bool, mut y: usize, body: &mut String) -> usize {
    let median = |act, place| results.summary(who, filter, act, place).map(|summary| summary.median);
    let all = ACTS.into_iter().flat_map(|act| (0..results.contestants.len()).filter_map(move |place| median(act, place)));
    let longest = all.max().unwrap_or(1).max(1);
    for act in ACTS {
        *body += &text(10, y + BAR * results.contestants.len() / 2 + 5, 13, act.word());
        for place in 0..results.contestants.len() {
            let Some(median) = median(act, place) else { continue };
            let length = (median as f64 / longest as f64 * BARS as f64).max(1.0) as usize;
            *body += &rectangle(LEFT, y + 1, length, BAR - 2, place);
            *body += &text(LEFT + length + 6, y + 11, 11, &milliseconds(median));
            y += BAR;
        }
        y += GAP;
    }
    y
}

fn rectangle(x: usize, y: usize, width: usize, height: usize, place: usize) -> String {
    format!("<rect x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\" fill=\"{}\"/>\n", COLOURS[place % COLOURS.len()])
}

fn text(x: usize, y: usize, size: usize, words: &str) -> String {
    let words = words.replace('&', "&amp;").replace('<', "&lt;");
    format!("<text x=\"{x}\" y=\"{y}\" font-size=\"{size}\">{words}</text>\n")
}
