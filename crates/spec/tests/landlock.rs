//! Landlock rules: what each form says, and that nothing unknown is passed over.
#![allow(clippy::unwrap_used)]

use serde_json::{Value, json};
use wolffia_spec::landlock::{Format, Landlock, PathRule, PortRule};
use wolffia_spec::{Config, ConfigError, ProcessConfig};

fn rules() -> Value {
    json!({
        "ruleset": { "handledAccessFS": ["execute", "write_file", "read_file", "make_reg"], "handledAccessNet": ["connect_tcp"], "scoped": ["signal"] },
        "rules": {
            "pathBeneath": [{ "allowedAccess": ["execute", "read_file"], "paths": ["/usr", "/bin"] }],
            "netPort": [{ "allowedAccess": ["connect_tcp"], "port": 443 }],
        },
    })
}

fn document(process: Value, linux: Value) -> Vec<u8> {
    let mut config = json!({
        "ociVersion": "1.3.0", "root": { "path": "rootfs" }, "process": { "user": { "uid": 0, "gid": 0 }, "cwd": "/" }, "linux": {}
    });
    config["process"]["landlock"] = process;
    config["linux"]["landlock"] = linux;
    config.to_string().into_bytes()
}

fn parse(process: Value) -> Result<Landlock, ConfigError> {
    Config::parse(&document(process, Value::Null)).map(|config| config.extra.landlock.unwrap())
}

fn set(pointer: &str, value: Value) -> Value {
    let mut rules = rules();
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    rules.pointer_mut(parent).unwrap()[key] = value;
    rules
}

#[test]
fn the_form_of_the_pull_request() {
    let expected = Landlock {
        field: "/process/landlock".to_owned(),
        handled_fs: 0b1_0000_0111,
        handled_net: 2,
        scoped: 2,
        paths: vec![PathRule {
            field: "/process/landlock/rules/pathBeneath/0".to_owned(),
            allowed: 0b101,
            paths: vec!["/usr".to_owned(), "/bin".to_owned()],
            optional: false,
        }],
        ports: vec![PortRule { field: "/process/landlock/rules/netPort/0".to_owned(), allowed: 2, ports: vec![443] }],
        streams: 0,
        required: false,
        minimum_abi: 0,
    };
    assert_eq!(parse(rules()).unwrap(), expected);
    let given =
        ProcessConfig::parse(json!({ "user": { "uid": 0, "gid": 0 }, "cwd": "/", "landlock": rules() }).to_string().as_bytes());
    assert_eq!(given.unwrap().extra.landlock.unwrap().handled_fs, expected.handled_fs);
    assert_eq!(Config::parse(&document(Value::Null, Value::Null)).unwrap().extra.landlock, None);
}

#[test]
fn the_synonym_must_say_the_same() {
    let synonym = |process, linux| Config::parse(&document(process, linux)).map(|config| config.extra.landlock);
    assert_eq!(synonym(Value::Null, rules()).unwrap().unwrap().field, "/linux/landlock");
    assert!(synonym(rules(), rules()).unwrap().is_some());
    assert_eq!(synonym(rules(), set("/ruleset/scoped", json!([]))).unwrap_err().field, "/linux/landlock");
}

/// A name that an escape spells, and a configuration that has to be mended first, are read like any other.
#[test]
fn it_cannot_be_hidden() {
    let text = String::from_utf8(document(rules(), Value::Null)).unwrap();
    let escaped = Config::parse(text.replace("\"landlock\"", "\"l\\u0061ndlock\"").as_bytes()).unwrap();
    assert!(escaped.extra.landlock.is_some());
    let mended = text.replace("\"cwd\"", "\"capabilities\":{\"bounding\":[\"CAP_NOBODY_KNOWS\"]},\"cwd\"");
    let mended = Config::parse(mended.as_bytes()).unwrap();
    assert!(mended.extra.landlock.is_some() && mended.extra.unknown_capabilities.len() == 1);
}

#[test]
fn numbers_groups_and_modes() {
    let read = parse(set("/ruleset/handledAccessFS", json!([7, "make_reg", 1_u64 << 40]))).unwrap();
    assert_eq!(read.handled_fs, 7 | 1 << 8 | 1 << 40);
    let all = parse(set("/ruleset/handledAccessFS", json!(["abi.all"]))).unwrap();
    assert_eq!(all.handled_fs, (1 << 17) - 1);
    let mut older = set("/ruleset/handledAccessFS", json!(["abi.all"]));
    older["abi"] = json!(2);
    assert_eq!(parse(older).unwrap().handled_fs, (1 << 14) - 1);
    let mut strict = rules();
    strict["disableBestEffort"] = json!(true);
    strict["minimumABI"] = json!(6);
    strict["rules"]["netPorts"] = json!([{ "allowedAccess": [2], "ports": [0, 65_535] }]);
    strict["rules"]["standardStreams"] = json!(["read_file"]);
    strict["rules"]["pathBeneath"][0]["optional"] = json!(true);
    let strict = parse(strict).unwrap();
    assert!(strict.required && strict.minimum_abi == 6 && strict.paths[0].optional && strict.streams == 4);
    assert_eq!(strict.ports[1].ports, [0, 65_535]);
}

#[test]
fn what_is_wrong_is_refused_by_its_field() {
    let cases = [
        ("/ruleset/handledAccessFS", json!(["read_file", "reed_file"]), "/ruleset/handledAccessFS/1"),
        ("/ruleset/handledAccessFS", json!("read_file"), "/ruleset/handledAccessFS"),
        ("/ruleset/handledAccessFS", json!([-1]), "/ruleset/handledAccessFS/0"),
        ("/ruleset/handledAccessNet", json!(["read_file"]), "/ruleset/handledAccessNet/0"),
        ("/ruleset/scoped", json!(["abi.read_write"]), "/ruleset/scoped/0"),
        ("/ruleset/handledAccessFs", json!([]), "/ruleset/handledAccessFs"),
        ("/rules/pathBeneath/0/path", json!(["/"]), "/rules/pathBeneath/0/path"),
        ("/rules/pathBeneath/0/paths", json!([]), "/rules/pathBeneath/0/paths"),
        ("/rules/pathBeneath/0/paths", json!([1]), "/rules/pathBeneath/0/paths/0"),
        ("/rules/pathBeneath/0/allowedAccess", json!([]), "/rules/pathBeneath/0/allowedAccess"),
        ("/rules/pathBeneath/0/allowedAccess", json!(["remove_dir"]), "/rules/pathBeneath/0/allowedAccess"),
        ("/rules/pathBeneath/0/optional", json!("yes"), "/rules/pathBeneath/0/optional"),
        ("/rules/netPort/0/port", json!(65_536), "/rules/netPort/0/port"),
        ("/rules/netPort/0/allowedAccess", json!(["bind_tcp"]), "/rules/netPort/0/allowedAccess"),
        ("/rules/standardStreams", json!(["truncate"]), "/rules/standardStreams"),
        ("/rules/paths", json!([]), "/rules/paths"),
        ("/abi", json!(0), "/abi"),
        ("/minimumABI", json!("6"), "/minimumABI"),
        ("/disableBestEffort", json!("true"), "/disableBestEffort"),
        ("/ruleset", json!({}), "/ruleset"),
        ("/ruleset", Value::Null, "/ruleset"),
        ("/bestEffort", json!(false), "/bestEffort"),
    ];
    for (pointer, value, field) in cases {
        let error = parse(set(pointer, value.clone())).unwrap_err();
        assert_eq!(error.field, format!("/process/landlock{field}"), "{pointer} = {value}: {error}");
    }
    assert_eq!(parse(json!("on")).unwrap_err().field, "/process/landlock");
}

const TOML: &str = r#"
abi = 6

[[variable]]
name = "rw"
literal = ["/tmp", "/home/u"]

[[ruleset]]
handledAccessFs = ["abi.all"]
scoped = ["abi.all"]

[[pathBeneath]]
allowedAccess = ["abi.read_write"]
parent = ["${rw}/x", "/var/$$y"]

[[netPort]]
allowedAccess = ["connect_tcp"]
port = [443, 80]
"#;

#[test]
fn a_file_of_landlockconfig() {
    let read = Landlock::from_file(TOML.as_bytes(), Format::Toml, "rules.toml").unwrap();
    assert_eq!((read.handled_fs, read.handled_net, read.scoped), (0xffff, 2, 3), "what a rule allows is handled");
    assert_eq!(read.paths[0].paths, ["/tmp/x", "/home/u/x", "/var/$y"]);
    assert_eq!(read.paths[0].allowed, 0xfffe);
    assert_eq!(read.ports[0].ports, [443, 80]);
    let json = json!({
        "abi": 6,
        "variable": [{ "name": "rw", "literal": ["/tmp", "/home/u"] }],
        "ruleset": [{ "handledAccessFs": ["abi.all"], "scoped": ["abi.all"] }],
        "pathBeneath": [{ "allowedAccess": ["abi.read_write"], "parent": ["${rw}/x", "/var/$$y"] }],
        "netPort": [{ "allowedAccess": ["connect_tcp"], "port": [443, 80] }],
    });
    assert_eq!(Landlock::from_file(json.to_string().as_bytes(), Format::Json, "rules.toml").unwrap(), read);
}

#[test]
fn what_is_wrong_in_a_file_is_named_and_nothing_else_of_it_is_told() {
    let refused = |text: &str| Landlock::from_file(text.as_bytes(), Format::Toml, "rules.toml").unwrap_err().to_string();
    assert!(refused(&TOML.replace("abi = 6", "")).contains("/ruleset/0/handledAccessFs/0: \"abi.all\" needs the ABI"));
    assert!(refused(&TOML.replace("${rw}", "${ro}")).contains("no variable \"ro\""));
    assert!(refused(&TOML.replace("${rw}", "${rw")).contains("has no end"));
    assert!(refused(&TOML.replace("[443, 80]", "[70000]")).contains("/netPort/0/port/0: 70000 is not a port"));
    assert!(refused("abi = 6\n").contains("restricts nothing"));
    let many = format!("{}{}", TOML.replace("${rw}/x", &"${rw}".repeat(20)), "");
    assert!(refused(&many).contains("more than"));
    for secret in ["root:$6$secret:1:2\n", "{\"secret", "secret = 1x"] {
        for format in [Format::Json, Format::Toml] {
            let error = Landlock::from_file(secret.as_bytes(), format, "f").unwrap_err().to_string();
            assert!(!error.contains("secret"), "{error}");
        }
    }
}
