//! Several result files side by side, as a Markdown table of the cases on which they differ or fail.

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io;
use std::path::{Path, PathBuf};

/// Details longer than this are cut: the results file holds them whole.
const LONGEST_DETAIL: usize = 110;

struct Column {
    title: String,
    results: BTreeMap<String, Value>,
}

/// Prints totals, then a row for every case that somebody failed, with the reason that `reasons` knows for it.
pub fn print(files: &[PathBuf], reasons: &HashMap<String, String>) -> io::Result<()> {
    let columns = files.iter().map(|file| column(file)).collect::<io::Result<Vec<_>>>()?;
    println!("| | runtime | passed | failed must | failed contract | failed should | skipped |\n|---|---|---|---|---|---|---|");
    for (letter, column) in ('A'..).zip(&columns) {
        let failed =
            |level| column.results.values().filter(|result| result["outcome"] == "fail" && result["level"] == level).count();
        let count = |word| column.results.values().filter(|result| result["outcome"] == word).count();
        let (must, contract, should) = (failed("must"), failed("contract"), failed("should"));
        println!("| {letter} | {} | {} | {must} | {contract} | {should} | {} |", column.title, count("pass"), count("skip"));
    }
    let letters: Vec<String> = ('A'..).take(columns.len()).map(String::from).collect();
    println!(
        "\n| case | level, since | {} | seen | why |\n|---|---|{}---|---|",
        letters.join(" | "),
        "---|".repeat(letters.len())
    );
    let names: BTreeSet<&String> = columns.iter().flat_map(|column| column.results.keys()).collect();
    for name in names {
        let cells: Vec<Option<&Value>> = columns.iter().map(|column| column.results.get(name)).collect();
        if let Some(failure) = cells.iter().flatten().find(|cell| cell["outcome"] == "fail") {
            let words: Vec<&str> = cells.iter().map(|cell| cell_word(*cell)).collect();
            let (level, since) = (word(failure, "level"), word(failure, "since"));
            let why = reasons.get(name).map_or("", String::as_str);
            println!("| `{name}` | {level}, {since} | {} | {} | {why} |", words.join(" | "), seen(failure));
        }
    }
    Ok(())
}

fn column(file: &Path) -> io::Result<Column> {
    let document: Value = serde_json::from_slice(&std::fs::read(file)?)?;
    let title = format!("{} ({}, cgroups {})", word(&document, "runtime"), word(&document, "user"), word(&document, "view"));
    let results = document["results"].as_array().into_iter().flatten();
    Ok(Column { title, results: results.map(|result| (word(result, "name").to_owned(), result.clone())).collect() })
}

fn cell_word(cell: Option<&Value>) -> &'static str {
    match cell.map(|cell| word(cell, "outcome")) {
        Some("pass") => "yes",
        Some("fail") => "**no**",
        Some(_) => "skip",
        None => "–",
    }
}

/// The end of what a failing runtime said, which is the part that tells.
fn seen(failure: &Value) -> String {
    let detail = word(failure, "detail").replace(['\n', '|'], " ");
    let from = detail.ceil_char_boundary(detail.len().saturating_sub(LONGEST_DETAIL));
    let cut = if from > 0 { "…" } else { "" };
    format!("{cut}{}", &detail[from..])
}

fn word<'json>(value: &'json Value, name: &str) -> &'json str {
    value[name].as_str().unwrap_or_default()
}
