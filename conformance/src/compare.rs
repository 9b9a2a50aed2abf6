//! Several result files side by side, as a Markdown table of the cases on which they differ or fail.

use serde_json::Value;
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

/// Details longer than this are cut: the results file holds them whole.
const LONGEST_DETAIL: usize = 110;

struct Column {
    title: String,
    results: BTreeMap<String, Value>,
}

/// Prints totals and the table of differences.
pub fn print(files: &[PathBuf]) -> io::Result<()> {
    let columns = files.iter().map(|file| column(file)).collect::<io::Result<Vec<_>>>()?;
    println!("| runtime | passed | failed must | failed contract | failed should | skipped |\n|---|---|---|---|---|---|");
    for column in &columns {
        let failed =
            |level| column.results.values().filter(|result| result["outcome"] == "fail" && result["level"] == level).count();
        let count = |word| column.results.values().filter(|result| result["outcome"] == word).count();
        let (must, contract, should) = (failed("must"), failed("contract"), failed("should"));
        println!("| {} | {} | {must} | {contract} | {should} | {} |", column.title, count("pass"), count("skip"));
    }
    let titles: Vec<&str> = columns.iter().map(|column| column.title.as_str()).collect();
    println!("\n| case | level, since | {} |\n|---|---|{}", titles.join(" | "), "---|".repeat(titles.len()));
    let mut names: Vec<&String> = columns.iter().flat_map(|column| column.results.keys()).collect();
    names.sort();
    names.dedup();
    for name in names {
        let cells: Vec<Option<&Value>> = columns.iter().map(|column| column.results.get(name)).collect();
        if let Some(any) = cells.iter().flatten().next().filter(|_| worth_a_row(&cells)) {
            let texts: Vec<String> = cells.iter().map(|cell| text(*cell)).collect();
            println!("| `{name}` | {}, {} | {} |", word(any, "level"), word(any, "since"), texts.join(" | "));
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

/// A row is for a failure, or for one who passes what another does not: skips alone tell nothing.
fn worth_a_row(cells: &[Option<&Value>]) -> bool {
    cells.iter().flatten().any(|cell| cell["outcome"] == "fail")
}

fn text(cell: Option<&Value>) -> String {
    let Some(cell) = cell else { return "–".to_owned() };
    let detail = word(cell, "detail").replace('|', "\\|").replace('\n', " ");
    let short = &detail[..detail.floor_char_boundary(LONGEST_DETAIL)];
    match word(cell, "outcome") {
        "pass" => "yes".to_owned(),
        "fail" => format!("**no**: {short}"),
        _ => format!("skip: {short}"),
    }
}

fn word<'json>(value: &'json Value, name: &str) -> &'json str {
    value[name].as_str().unwrap_or_default()
}
