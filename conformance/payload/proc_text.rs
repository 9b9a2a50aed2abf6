//! Readers of the kernel's text files in `/proc`.

use serde_json::{Value, json};

/// A file of `/proc`, or nothing where it cannot be read: not every bundle mounts `/proc`.
pub fn text(path: &str) -> Option<String> {
    std::fs::read_to_string(path).ok()
}

/// The words of every line, as numbers where they are numbers.
pub fn table(path: &str) -> Value {
    let Some(text) = text(path) else { return Value::Null };
    let row = |line: &str| line.split_whitespace().map(number_or_word).collect::<Vec<_>>();
    json!(text.lines().map(row).collect::<Vec<_>>())
}

/// One `Name:\tvalue` line of `/proc/self/status`.
pub fn field<'text>(status: &'text str, name: &str) -> Option<&'text str> {
    status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
}

/// The fields of `/proc/self/stat` after the command name, which may hold blanks and brackets itself.
pub fn stat_fields(stat: &str) -> Vec<i64> {
    let after = stat.rfind(')').map_or(stat, |end| &stat[end + 1..]);
    after.split_whitespace().skip(1).map(|word| word.parse().unwrap_or(0)).collect()
}

/// Every mount of `/proc/self/mountinfo`, see proc_pid_mountinfo(5).
pub fn mounts() -> Value {
    let Some(text) = text("/proc/self/mountinfo") else { return Value::Null };
    json!(text.lines().filter_map(mount).collect::<Vec<_>>())
}

fn mount(line: &str) -> Option<Value> {
    let (before, after) = line.split_once(" - ")?;
    let mut head = before.split(' ').skip(3);
    let (root, point, options) = (head.next()?, head.next()?, head.next()?);
    let mut tail = after.split(' ');
    let (kind, source, superblock) = (tail.next()?, tail.next()?, tail.next()?);
    Some(json!({
        "root": plain(root),
        "point": plain(point),
        "options": options.split(',').collect::<Vec<_>>(),
        "propagation": head.collect::<Vec<_>>(),
        "type": kind,
        "source": plain(source),
        "super": superblock.split(',').collect::<Vec<_>>(),
    }))
}

/// Undoes the kernel's octal escapes of blanks in mountinfo.
fn plain(escaped: &str) -> String {
    escaped.replace("\\040", " ").replace("\\011", "\t").replace("\\012", "\n").replace("\\134", "\\")
}

fn number_or_word(word: &str) -> Value {
    word.parse::<i64>().map_or_else(|_| json!(word), |number| json!(number))
}
