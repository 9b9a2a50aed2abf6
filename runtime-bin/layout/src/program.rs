//! What lies where in the program: functions by its symbols, constants by the linker's map.

use anyhow::{Context, Result, ensure};
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::Path;

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

#[derive(Debug)]
pub struct Program {
    functions: BTreeMap<u64, Place>,
    constants: BTreeMap<u64, Place>,
}

impl Program {
    /// From what lld wrote for `-Map`: a stripped program does not tell.
    pub fn of_map(map: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(map).with_context(|| map.display().to_string())?;
        let mut program = Self { functions: BTreeMap::new(), constants: BTreeMap::new() };
        let mut section = "";
        for line in text.lines() {
            let Some((address, size, name)) = row(line).filter(|(_, size, _)| *size > 0) else { continue };
            // A section `FILE:(NAME)`; the symbols in it follow. The map shows a mangled name only in the name of a section.
            let symbol = match name.rsplit_once(":(").and_then(|(_file, name)| name.strip_suffix(')')) {
                Some(name) => {
                    section = name;
                    mangled(name)
                }
                None => Some(name).filter(|_| section.starts_with(".text") && mangled(section).is_none()),
            };
            if let Some(symbol) = symbol {
                program.functions.insert(address, Place { size, name: symbol.to_owned() });
            } else if section.starts_with(".rodata") {
                program.constants.entry(address).or_insert(Place { size, name: section.to_owned() });
            }
        }
        ensure!(!program.functions.is_empty() && !program.constants.is_empty(), "{}: not a map of lld's", map.display());
        Ok(program)
    }

    /// The functions at these addresses, each once, in this order.
    pub fn functions(&self, addresses: &[u64]) -> Vec<&str> {
        let mut seen = HashSet::new();
        addresses.iter().filter_map(|address| within(&self.functions, *address)).filter(|name| seen.insert(*name)).collect()
    }

    /// The script that puts the constants that are read before the others: jump tables of the functions, then whole modules, because
    /// the numbers in them change with every change of the source.
    pub fn linker_script(&self, read: &HashSet<u64>, functions: &[&str]) -> String {
        let all: HashSet<&str> = self.constants.values().map(|place| &*place.name).collect();
        let tables = functions.iter().map(|name| format!(".rodata.{name}")).filter(|name| all.contains(&**name));
        let cold = self.cold_modules(read);
        let touched = read.iter().filter_map(|address| within(&self.constants, *address));
        let strays: BTreeSet<_> = touched.filter(|name| module(name).is_some_and(|module| cold.contains(module))).collect();
        let warm = tables.chain(strays.into_iter().map(str::to_owned)).map(|name| format!("    *({name})\n")).collect::<String>();
        let cold = cold.into_iter().map(|name| format!("    *({NAMELESS}{name}.*)\n")).collect::<String>();
        format!(
            "SECTIONS {{\n  .rodata.warm : {{\n    *(.rodata.cst* .rodata.str1.1)\n{warm}  }}\n}} INSERT BEFORE .rodata;\n\
             SECTIONS {{\n  .rodata.cold : {{\n{cold}    *(.rodata._* .rodata.unlikely.*)\n  }}\n}} INSERT AFTER .rodata;\n"
        )
    }

    /// Modules of which next to nothing is read. The linker merges equal constants, so that a module which is never used may hold
    /// some of others.
    fn cold_modules(&self, read: &HashSet<u64>) -> BTreeSet<String> {
        let touched: HashSet<u64> =
            read.iter().filter_map(|address| Some(*self.constants.range(..=*address).next_back()?.0)).collect();
        let mut modules: BTreeMap<String, (u64, u64)> = BTreeMap::new();
        for (start, place) in &self.constants {
            let Some(module) = module(&place.name) else { continue };
            let (size, warm) = modules.entry(module.to_owned()).or_default();
            *size += place.size;
            *warm += if touched.contains(start) { place.size } else { 0 };
        }
        modules.into_iter().filter(|(_, (size, warm))| warm * NEXT_TO_NOTHING < *size).map(|(module, _)| module).collect()
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
