//! Follows everyday commands of `wolffia` instruction by instruction and writes down what they touch, so that the
//! linker can put it together (docs/decisions/layout.md). As root, on x86_64; `runtime-bin/layout/make` prepares and calls it.

mod commands;
mod follow;
mod program;

use anyhow::{Context, Result};
use follow::Touched;
use program::Program;
use std::path::Path;

fn main() -> Result<()> {
    let words: Vec<_> = std::env::args_os().collect();
    let [_, program, map, payload, output] = words.as_slice() else {
        anyhow::bail!("usage: wolffia-layout PROGRAM LINKER-MAP STATIC-BUSYBOX OUTPUT-DIRECTORY");
    };
    let (program, output) = (Path::new(program), Path::new(output));
    follow::on_one_processor()?;
    let layout = Program::of_map(Path::new(map))?;
    let mut touched = Touched::default();
    for (number, command) in commands::everyday(program, Path::new(payload))?.iter().enumerate() {
        eprintln!("{}", command.name());
        touched.command = 1 << number;
        follow::command(command, &mut touched).with_context(|| command.name())?;
    }
    let functions = layout.functions(&touched);
    let constants = layout.linker_script(&touched.read, &functions);
    let write = |name: &str, text: String| std::fs::write(output.join(name), text).with_context(|| name.to_owned());
    write("functions.txt", functions.iter().map(|name| format!("{name}\n")).collect())?;
    write("constants.ld", constants)
}
