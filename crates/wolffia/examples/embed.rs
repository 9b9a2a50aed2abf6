//! A program that makes a container from a value, uses it, and takes it away again; and one with threads, which cannot.
//!
//! ```sh
//! cargo run --package wolffia --example embed -- STATE_DIRECTORY PATH_OF_WOLFFIA
//! ```

use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use wolffia::sandbox::Sandbox;
use wolffia::sys::signals;
use wolffia::{Bundle, CreateOptions, ExecOptions, ExecProcess, Helper, Overrides, Runtime};

fn main() -> Result<(), Box<dyn Error>> {
    // First of all: the container must not reach this program for writing.
    wolffia::protect_self()?;
    let mut args = std::env::args_os().skip(1).map(PathBuf::from);
    let (Some(root), Some(wolffia)) = (args.next(), args.next()) else {
        return Err("embed STATE_DIRECTORY PATH_OF_WOLFFIA".into());
    };
    single_threaded(&Runtime::new(&root))?;
    with_threads(&Runtime::new(&root), &Helper::new(wolffia, &root), &root)
}

/// This host's files, read-only. Any other configuration will do, for example one that is built with [`wolffia::oci::SpecBuilder`]
/// ([`Bundle::of_spec`]).
fn configuration() -> wolffia::Result<Vec<u8>> {
    let mut configuration = Sandbox { args: vec!["sleep".into(), "1000".into()], ..Sandbox::default() }.configuration()?;
    configuration["hostname"] = "embedded".into();
    Ok(configuration.to_string().into_bytes())
}

fn single_threaded(runtime: &Runtime) -> Result<(), Box<dyn Error>> {
    let bundle = Bundle::of_text(Path::new("/"), configuration()?)?;
    let container = runtime.create("first", &bundle, &CreateOptions::default())?;
    println!("it is {:?}", container.status()?);
    container.start()?;
    println!("it is {:?}", container.status()?);

    let hostname = Overrides { args: vec!["uname".into(), "-n".into()], ..Overrides::default() };
    let running = container.exec(&ExecOptions::new(ExecProcess::Derived(hostname)))?;
    println!("a process in it ended with {}", running.wait().map_err(|cause| cause.text)?.code());

    // Errors are typed, and know the step that failed, its cause and a cure.
    match container.start() {
        Err(wolffia::Error::Forbidden(reason)) => println!("a second start: {reason}"),
        other => return Err(format!("a second start: {other:?}").into()),
    }
    container.kill(signals::number("KILL").ok_or("no such signal")?)?;
    println!("it ended with {:?}", container.wait()?.map(|status| status.code()));
    container.delete(false)?;
    println!("it is gone: {}", runtime.container("first").is_err_and(|error| error.is_not_found()));
    Ok(())
}

/// A copy of this process would lack the other threads, so the `wolffia` command does what has to fork. Everything else works here.
fn with_threads(runtime: &Runtime, helper: &Helper, root: &Path) -> Result<(), Box<dyn Error>> {
    let (stop, stopped) = mpsc::channel::<()>();
    let other = std::thread::spawn(move || stopped.recv().is_err());

    let text = configuration()?;
    let in_memory = Bundle::of_text(Path::new("/"), text.clone())?;
    match runtime.create("second", &in_memory, &CreateOptions::default()) {
        Err(error @ wolffia::Error::Threaded) => println!("refused: {}", error.cure()),
        other => return Err(format!("with two threads: {other:?}").into()),
    }

    let directory = root.with_file_name("bundle");
    std::fs::create_dir_all(&directory)?;
    std::fs::write(directory.join("config.json"), text)?;
    helper.run_detached("second", &directory)?;
    let output = helper.exec("second", &["uname", "-n"])?;
    println!("its name is {}", String::from_utf8_lossy(&output.stdout).trim());
    let container = runtime.container("second")?;
    println!("it is {:?}", container.status()?);
    container.delete(true)?;

    drop(stop);
    println!("the other thread ended: {}", other.join().is_ok_and(|ended| ended));
    Ok(())
}
