//! What lies where in the program: functions by its symbols, constants by the linker's map.

use crate::follow::Touched;
use anyhow::{Context, Result, ensure};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::Path;

/// Where the kernel begins, which no step of a follower shows.
const ENTRY: &str = "wolffia_entry";

/// Section of constants without a name, by the module that the compiler made them in: `.rodata..Lanon.MODULE.NUMBER`.
const NAMELESS: &str = ".rodata..Lanon.";

/// One byte of so many.
const NEXT_TO_NOTHING: u64 = 50;

/// A range of addresses that has a name.
#[derive(Debug)]
struct Place {
    size: u64,
    name: String,
}

/// A section of constants.
#[derive(Debug)]
struct Constants {
    size: u64,
    section: String,
    /// What a linker script calls it by; `None` for what the linker has merged of many sections.
    pattern: Option<String>,
}

#[derive(Debug)]
pub struct Program {
    functions: BTreeMap<u64, Place>,
    constants: BTreeMap<u64, Constants>,
}

impl Program {
    /// From what lld wrote for `-Map`: a stripped program does not tell.
    pub fn of_map(map: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(map).with_context(|| map.display().to_string())?;
        let mut program = Self { functions: BTreeMap::new(), constants: BTreeMap::new() };
        let (mut section, mut pattern, mut whole) = ("", None, None);
        for line in text.lines() {
            let Some((address, size, name)) = row(line) else { continue };
            // A section `FILE:(NAME)`; the symbols in it follow. The map shows a mangled name only in the name of a section.
            let symbol = match name.rsplit_once(":(").and_then(|(file, name)| Some((file, name.strip_suffix(')')?))) {
                Some((file, name)) => {
                    section = name;
                    pattern = pattern_of(file, name);
                    whole = Some((address, size)).filter(|_| name.starts_with(".text"));
                    mangled(name)
                }
                None => Some(name).filter(|_| section.starts_with(".text") && mangled(section).is_none()),
            };
            // The symbols of a start file have no sizes: the first one stands for the section.
            if let (Some(symbol), Some((address, size))) = (symbol, whole.take_if(|_| symbol.is_some())) {
                program.functions.insert(address, Place { size, name: symbol.to_owned() });
            }
            if size == 0 {
                continue;
            }
            if let Some(symbol) = symbol {
                program.functions.insert(address, Place { size, name: symbol.to_owned() });
            } else if section.starts_with(".rodata") {
                let constants = || Constants { size, section: section.to_owned(), pattern: pattern.clone() };
                program.constants.entry(address).or_insert_with(constants);
            }
        }
        ensure!(!program.functions.is_empty() && !program.constants.is_empty(), "{}: not a map of lld's", map.display());
        Ok(program)
    }

    /// The functions that were executed: those of all commands before those of some, so that what a small command needs is close
    /// together; those of the same commands side by side; and these in the order of their first execution.
    pub fn functions(&self, touched: &Touched) -> Vec<&str> {
        let (mut commands, mut first): (HashMap<&str, u64>, Vec<&str>) = Default::default();
        for (address, by) in &touched.executed {
            let Some(name) = within(&self.functions, *address).filter(|name| *name != ENTRY) else { continue };
            commands.entry(name).and_modify(|known| *known |= by).or_insert_with(|| {
                first.push(name);
                *by
            });
        }
        let mut groups: Vec<u64> = Vec::new();
        for name in &first {
            if !groups.contains(&commands[name]) {
                groups.push(commands[name]);
            }
        }
        groups.sort_by_key(|group| Reverse(group.count_ones()));
        let all = groups.iter().flat_map(|group| first.iter().filter(|name| commands[*name] == *group));
        std::iter::once(ENTRY).chain(all.copied()).collect()
    }

    /// The script that puts the constants that are read before the others, and modules of which next to nothing is read behind them:
    /// the numbers of single constants change with every change of their module, and then the modules still hold.
    pub fn linker_script(&self, read: &HashSet<u64>, functions: &[&str]) -> String {
        let all: HashSet<&str> = self.constants.values().map(|place| &*place.section).collect();
        let tables = functions.iter().map(|name| format!(".rodata.{name}")).filter(|name| all.contains(&**name));
        let touched: BTreeSet<&String> = read.iter().filter_map(|address| self.pattern_at(*address)).collect();
        let mut seen = HashSet::new();
        let warm = tables
            .map(|name| format!("*({name})"))
            .chain(touched.into_iter().cloned())
            .filter(|pattern| seen.insert(pattern.clone()))
            .map(|pattern| format!("    {pattern}\n"))
            .collect::<String>();
        let cold = self.cold_modules(read);
        let cold = cold.into_iter().map(|name| format!("    *({NAMELESS}{name}.*)\n")).collect::<String>();
        format!(
            "SECTIONS {{\n  .rodata.warm : {{\n{warm}    *(.rodata.cst* .rodata.str1.1)\n  }}\n}} INSERT BEFORE .rodata;\n\
             SECTIONS {{\n  .rodata.cold : {{\n{cold}    *(.rodata._* .rodata.unlikely.*)\n  }}\n}} INSERT AFTER .rodata;\n"
        )
    }

    fn pattern_at(&self, address: u64) -> Option<&String> {
        let (start, place) = self.constants.range(..=address).next_back()?;
        place.pattern.as_ref().filter(|_| address < start + place.size)
    }

    /// Modules of which next to nothing is read. The linker merges equal constants, so that a module which is never used may hold
    /// some of others.
    fn cold_modules(&self, read: &HashSet<u64>) -> BTreeSet<String> {
        let touched: HashSet<u64> =
            read.iter().filter_map(|address| Some(*self.constants.range(..=*address).next_back()?.0)).collect();
        let mut modules: BTreeMap<String, (u64, u64)> = BTreeMap::new();
        for (start, place) in &self.constants {
            let Some(module) = module(&place.section) else { continue };
            let (size, warm) = modules.entry(module.to_owned()).or_default();
            *size += place.size;
            *warm += if touched.contains(start) { place.size } else { 0 };
        }
        modules.into_iter().filter(|(_, (size, warm))| warm * NEXT_TO_NOTHING < *size).map(|(module, _)| module).collect()
    }
}

/// What a linker script calls a section of constants by. Those of the C library have no names but their files'.
fn pattern_of(file: &str, section: &str) -> Option<String> {
    let member = file.strip_suffix(')').and_then(|file| file.rsplit_once('/')?.1.split_once('('));
    match (section, member) {
        _ if file.ends_with("<internal>") => None,
        (".rodata", Some((archive, member))) => Some(format!("*{archive}:{member}(.rodata)")),
        (".rodata", None) => None,
        (name, _) => Some(format!("*({name})")),
    }
}

/// The module that a section of nameless constants comes from.
fn module(section: &str) -> Option<&str> {
    section.strip_prefix(NAMELESS)?.split('.').next()
}

/// The function that a section of text is of.
fn mangled(section: &str) -> Option<&str> {
    let name = section.strip_prefix(".text.")?;
    let name = name.strip_prefix("unlikely.").or_else(|| name.strip_prefix("hot.")).unwrap_or(name);
    Some(name).filter(|name| name.starts_with("_ZN") || name.starts_with("_R"))
}

/// A line of the map: `VMA LMA Size Align` and a name.
fn row(line: &str) -> Option<(u64, u64, &str)> {
    let mut words = line.split_ascii_whitespace();
    let address = u64::from_str_radix(words.next()?, 16).ok()?;
    let size = u64::from_str_radix(words.nth(1)?, 16).ok()?;
    words.nth(1).map(|word| (address, size, &line[word.as_ptr() as usize - line.as_ptr() as usize..]))
}

fn within(places: &BTreeMap<u64, Place>, address: u64) -> Option<&str> {
    let (start, place) = places.range(..=address).next_back()?;
    (address < start + place.size).then_some(&place.name)
}
