//! The library in another program.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test")]

use wolffia_tests::{ANYBODY, build_example, example, scenario};

#[test]
fn a_program_makes_and_uses_containers() {
    build_example("wolffia", "embed");
    scenario(ANYBODY, |case| {
        // A copy that is the user's own, so that it has to protect itself.
        let program = case.directory("bin").join("embed");
        std::fs::copy(example("embed"), &program).unwrap();
        let out = case.program(program).arg(case.root()).arg(case.binary()).run().succeeds();
        let expected = [
            "it is Created",
            "it is Running",
            "embedded",
            "a process in it ended with 0",
            "a second start: cannot start an already running container",
            "it ended with Some(137)",
            "it is gone: true",
            "refused: make the container before you start threads, or use wolffia::Helper, which runs the work in a process of its own",
            "its name is embedded",
            "it is Running",
            "the other thread ended: true",
        ];
        assert_eq!(out.lines().collect::<Vec<_>>(), expected);
    });
}
