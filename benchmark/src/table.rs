//! The figures as Markdown.

use crate::contestant::{ACTS, Act};
use crate::growth::Level;
use crate::options::Who;
use crate::results::{Results, Summary};
use std::fmt::Write as _;

/// Place of the floor among the contestants, and of the runtime that the others are compared with.
pub const FLOOR: usize = 0;
pub const FIRST: usize = 1;

pub fn render(results: &Results) -> String {
    let mut text = head(results);
    for (who, filter) in results.scenarios() {
        text += &times(results, who, filter);
    }
    text += &counts(results);
    text += &growth(results);
    if !results.failures.is_empty() {
        text += "\nNot measured:\n\n";
        results.failures.iter().for_each(|why| text += &format!("- {}\n", why.replace('\n', " ")));
    }
    text
}

fn head(results: &Results) -> String {
    let machine = &results.machine;
    let priority = if machine.priority { ", under SCHED_RR" } else { "" };
    let mut text = format!(
        "{}, kernel {}, {} processors, cgroups {}, {} rounds{priority}.\n\n",
        machine.date, machine.kernel, machine.processors, machine.view, machine.rounds
    );
    for contestant in &results.contestants[FIRST..] {
        text += &format!("- {}: {}\n", contestant.name, contestant.version);
    }
    text
}

/// A table's head: one column for each contestant.
fn columns(results: &Results, first: &str) -> String {
    let names: Vec<&str> = results.contestants.iter().map(|contestant| contestant.name.as_str()).collect();
    format!("| {first} | {} |\n|---|{}\n", names.join(" | "), "---|".repeat(names.len()))
}

fn title(who: Who, filter: bool) -> String {
    format!("{}{}", who.title(), if filter { ", seccomp" } else { "" })
}

fn times(results: &Results, who: Who, filter: bool) -> String {
    let first = results.contestants.get(FIRST).map_or("", |contestant| contestant.name.as_str());
    let mut text = format!(
        "\n### {}\n\nMinimum / median in ms, and the medians' ratio to the floor and to {first}.\n\n",
        title(who, filter)
    );
    text += &columns(results, "");
    for act in ACTS {
        let of = |contestant| results.summary(who, filter, act, contestant);
        let cells = (0..results.contestants.len()).map(|contestant| match of(contestant) {
            None => " – |".to_owned(),
            Some(summary) => {
                format!(" {} |", cell(summary, of(FLOOR), (contestant > FIRST).then(|| of(FIRST)).flatten(), contestant))
            }
        });
        text += &format!("| `{}` |{}\n", act.word(), cells.collect::<String>());
    }
    text
}

fn cell(summary: Summary, floor: Option<Summary>, first: Option<Summary>, contestant: usize) -> String {
    let mut text = format!("{} / {}", milliseconds(summary.minimum), milliseconds(summary.median));
    let ratio = |of: Summary| format!("{:.2}", summary.median as f64 / of.median.max(1) as f64);
    match (floor, first) {
        _ if contestant == FLOOR => {}
        (Some(floor), None) => text += &format!(" · {}", ratio(floor)),
        (Some(floor), Some(first)) => text += &format!(" · {} · {}", ratio(floor), ratio(first)),
        (None, Some(first)) => text += &format!(" · – · {}", ratio(first)),
        (None, None) => {}
    }
    text
}

pub fn milliseconds(nanoseconds: u64) -> String {
    let value = nanoseconds as f64 / 1e6;
    if value < 10.0 { format!("{value:.2}") } else { format!("{value:.1}") }
}

fn counts(results: &Results) -> String {
    let who = results.samples.keys().next().map_or(Who::Root, |key| key.who);
    let mut text = format!(
        "\n### What a command takes ({})\n\nSystem calls · minor page faults · peak memory in KiB: as the kernel counts it for the \
         caller (`ru_maxrss`, ±256) / exactly, at the end of the largest process.\n\n",
        who.title()
    );
    text += &columns(results, "");
    for (act, filter) in ACTS.into_iter().map(|act| (act, false)).chain([(Act::Run, true), (Act::Exec, true)]) {
        let cells = (0..results.contestants.len()).map(|contestant| {
            let count = results.count(filter, act, contestant);
            let summary = results.summary(who, filter, act, contestant);
            let number = |value: Option<u64>| value.map_or("–".to_owned(), |value| value.to_string());
            format!(
                " {} · {} · {} / {} |",
                number(count.map(|count| count.traced.count)),
                number(summary.map(|summary| summary.minor_faults)),
                number(summary.map(|summary| summary.peak_kib)),
                number(count.map(|count| count.traced.peak_kib)),
            )
        });
        let with = if filter { ", seccomp" } else { "" };
        text += &format!("| `{}`{with} |{}\n", act.word(), cells.collect::<String>());
    }
    text
}

fn growth(results: &Results) -> String {
    if results.levels.is_empty() {
        return String::new();
    }
    let mut alive: Vec<usize> = results.levels.iter().map(|level| level.alive).collect();
    alive.sort_unstable();
    alive.dedup();
    let mut text = "\n### With many containers\n\n`create` with so many containers alive, median in ms · what each of them holds, KiB (mean Pss \
                    of their processes while they wait for `start`).\n\n"
        .to_owned();
    text += &columns(results, "alive");
    for alive in alive {
        let level = |place| results.levels.iter().find(|level: &&Level| level.alive == alive && level.contestant == place);
        let mut row = format!("| {alive} |");
        for place in 0..results.contestants.len() {
            let done = match level(place) {
                None => write!(row, " – |"),
                Some(level) => write!(row, " {} · {} |", milliseconds(level.create_ns), level.held_kib),
            };
            debug_assert!(done.is_ok());
        }
        text += &format!("{row}\n");
    }
    text
}
