//! Landlock rules and labels of security modules: what is asked for against what this host has.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may fail loudly")]

mod common;

use common::{plan, request, root_host};
use serde_json::{Value, json};
use wolffia_plan::host::Lsm;
use wolffia_plan::{FsOption, Host, LandlockMoment, LandlockPort, MountKind, Plan, Refusal};
use wolffia_spec::landlock::{Format, Landlock};

fn config(landlock: Value) -> Value {
    json!({
        "ociVersion": "1.3.0",
        "root": { "path": "rootfs" },
        "process": { "user": { "uid": 0, "gid": 0 }, "args": ["sh"], "cwd": "/", "noNewPrivileges": true, "landlock": landlock },
        "linux": { "namespaces": [{ "type": "mount" }, { "type": "pid" }] }
    })
}

fn rules() -> Value {
    json!({
        "ruleset": { "handledAccessFS": ["read_file", "refer", "truncate", "ioctl_dev"], "handledAccessNet": ["bind_tcp", "bind_udp"], "scoped": ["signal"] },
        "rules": {
            "pathBeneath": [
                { "allowedAccess": ["read_file"], "paths": ["/usr/../bin", "/lib"] },
                { "allowedAccess": ["refer"], "paths": ["/tmp"], "optional": true },
            ],
            "netPort": [{ "allowedAccess": ["bind_tcp"], "port": 80 }, { "allowedAccess": ["bind_udp"], "port": 53 }],
            "standardStreams": ["read_file", "truncate"],
        },
    })
}

fn with_abi(abi: u32, config: &Value) -> Result<Plan, Refusal> {
    plan(config, &request(), &Host { landlock_abi: abi, ..root_host() })
}

fn reasons(plan: &Plan) -> Vec<&str> {
    plan.recorded.iter().filter(|recorded| recorded.field.contains("landlock")).map(|recorded| recorded.reason.as_str()).collect()
}

#[test]
fn what_the_kernel_has_is_planned_and_what_it_lacks_is_recorded() {
    let everything = with_abi(10, &config(rules())).unwrap();
    assert_eq!(reasons(&everything), [""; 0]);
    let domain = everything.process.unwrap().landlock.unwrap();
    assert_eq!((domain.moment, domain.layers.len()), (LandlockMoment::BeforeFilter, 1));
    let layer = &domain.layers[0];
    assert_eq!((layer.handled_fs, layer.handled_net, layer.scoped, layer.streams), (0b1110_0000_0000_0100, 0b101, 2, 0x4004));
    let paths: Vec<_> = layer.paths.iter().map(|rule| (rule.path.as_str(), rule.access, rule.optional)).collect();
    assert_eq!(paths, [("/bin", 4, false), ("/lib", 4, false), ("/tmp", 1 << 13, true)]);
    assert_eq!(layer.ports, [LandlockPort { port: 80, access: 1 }, LandlockPort { port: 53, access: 4 }]);

    let old = with_abi(4, &config(rules())).unwrap();
    assert_eq!(reasons(&old), ["the kernel gave Landlock ABI 4, which lacks ioctl_dev, bind_udp, signal (Linux 7.2, ABI 10)"]);
    let layer = &old.process.unwrap().landlock.unwrap().layers[0];
    assert_eq!((layer.handled_fs, layer.handled_net, layer.scoped), (0b110_0000_0000_0100, 1, 0));
    assert_eq!(layer.ports, [LandlockPort { port: 80, access: 1 }], "a rule that allows nothing is none");

    let oldest = with_abi(1, &config(rules())).unwrap().process.unwrap().landlock.unwrap();
    assert_eq!((oldest.layers[0].handled_fs, oldest.layers[0].paths.len(), oldest.layers[0].streams), (4, 2, 4));

    let none = with_abi(0, &config(rules())).unwrap();
    assert!(none.process.as_ref().unwrap().landlock.is_none());
    assert!(
        reasons(&none)[0].starts_with("the kernel has no Landlock, and nothing of it is enforced: read_file, refer"),
        "{:?}",
        none.recorded
    );
}

/// What is newer than this program only the kernel can judge; what an older kernel cannot have, it has not.
#[test]
fn bits_without_a_name() {
    let mut numbers = rules();
    numbers["ruleset"]["handledAccessFS"] = json!(["read_file", "refer", "truncate", "ioctl_dev", 1_u64 << 40]);
    let handled = |abi| with_abi(abi, &config(numbers.clone())).unwrap().process.unwrap().landlock.unwrap().layers[0].handled_fs;
    assert_eq!(handled(11) >> 40, 1);
    assert_eq!(handled(10) >> 40, 0);
    let newer = with_abi(10, &config(numbers.clone())).unwrap();
    assert_eq!(
        reasons(&newer),
        ["the kernel gave Landlock ABI 10, which lacks 0x10000000000 (a Linux that is newer than ABI 10)"]
    );
}

#[test]
fn what_is_required_is_refused_with_the_kernel_that_would_do() {
    let mut required = rules();
    required["disableBestEffort"] = json!(true);
    assert!(with_abi(10, &config(required.clone())).is_ok());
    let refusal = with_abi(9, &config(required.clone())).unwrap_err();
    assert_eq!(refusal.field, "/process/landlock");
    assert_eq!(refusal.reason, "the kernel has Landlock ABI 9, which lacks bind_udp, and the rules are required");
    assert_eq!(refusal.cure, "needs Linux 7.2, ABI 10; or let it be best effort");
    let refusal = with_abi(0, &config(required)).unwrap_err();
    assert!(refusal.reason.starts_with("the kernel has no Landlock") && refusal.cure.contains("lsm="), "{refusal}");
    let mut least = rules();
    least["minimumABI"] = json!(5);
    assert!(with_abi(5, &config(least.clone())).is_ok());
    let refusal = with_abi(4, &config(least)).unwrap_err();
    assert_eq!(refusal.reason, "the kernel has Landlock ABI 4, and ABI 5 is the least that is asked for");
    assert_eq!(refusal.cure, "needs Linux 6.10, ABI 5");
    let mut relative = rules();
    relative["rules"]["pathBeneath"][0]["paths"][1] = json!("lib");
    let refusal = with_abi(7, &config(relative)).unwrap_err();
    assert_eq!(
        (refusal.field.as_str(), refusal.reason.as_str()),
        ("/process/landlock/rules/pathBeneath/0", "\"lib\" is not an absolute path")
    );
}

#[test]
fn annotations() {
    let mut annotated = config(rules());
    annotated["annotations"] = json!({ "io.wolffia.landlock": "rules.json" });
    let refusal = with_abi(7, &annotated).unwrap_err();
    assert_eq!(refusal.reason, "the file of Landlock rules was not read");
    let mut read = wolffia_spec::Config::parse(annotated.to_string().as_bytes()).unwrap();
    let text = br#"{ "ruleset": [{ "handledAccessFs": ["make_dir"] }] }"#;
    read.extra.landlock_file = Some(Landlock::from_file(text, Format::Json, "rules.json").unwrap());
    let planned = wolffia_plan::plan(&read, &request(), &root_host()).unwrap();
    let layers = planned.process.unwrap().landlock.unwrap().layers;
    assert_eq!(layers.iter().map(|layer| layer.handled_fs & 1 << 7).collect::<Vec<_>>(), [0, 1 << 7]);

    annotated["annotations"] = json!({ "io.wolffia.landlock.required": "true" });
    assert!(with_abi(9, &annotated).unwrap_err().reason.contains("required"));
    annotated["annotations"] = json!({ "io.wolffia.landlock.required": "no" });
    assert_eq!(with_abi(9, &annotated).unwrap_err().field, "/annotations/io.wolffia.landlock.required");
}

#[test]
fn without_the_right_to_do_it_late_it_is_done_early() {
    let moment = |no_new_privileges: bool, capabilities: Value| {
        let mut config = config(rules());
        config["process"]["noNewPrivileges"] = json!(no_new_privileges);
        config["process"]["capabilities"] = capabilities;
        with_abi(7, &config).unwrap().process.unwrap().landlock.unwrap().moment
    };
    let admin = json!({ "bounding": ["CAP_SYS_ADMIN"], "permitted": ["CAP_SYS_ADMIN"], "effective": ["CAP_SYS_ADMIN"] });
    assert_eq!(moment(false, json!({})), LandlockMoment::BeforeIdentity);
    assert_eq!(moment(true, json!({})), LandlockMoment::BeforeFilter);
    assert_eq!(moment(false, admin), LandlockMoment::BeforeFilter);
}

fn labelled() -> Value {
    let mut config = config(Value::Null);
    config["process"]["apparmorProfile"] = json!("docker-default");
    config["process"]["selinuxLabel"] = json!("system_u:system_r:container_t:s0:c1,c2");
    config["linux"]["mountLabel"] = json!("system_u:object_r:container_file_t:s0:c1,c2");
    config["mounts"] = ["proc", "sysfs", "mqueue", "tmpfs", "devpts"]
        .iter()
        .map(|fstype| json!({ "destination": format!("/{fstype}"), "type": fstype, "source": fstype }))
        .chain([json!({ "destination": "/b", "type": "bind", "source": "/b", "options": ["bind"] })])
        .collect();
    config
}

#[test]
fn labels_are_for_processes_and_for_what_is_mounted_anew() {
    let host = Host { lsm: Lsm { apparmor: true, selinux: true }, ..root_host() };
    let planned = plan(&labelled(), &request(), &host).unwrap();
    let labels = planned.process.unwrap().labels;
    assert_eq!(labels.apparmor.as_deref(), Some("docker-default"));
    assert_eq!(labels.selinux.as_deref(), Some("system_u:system_r:container_t:s0:c1,c2"));
    assert!(planned.mount_label.is_some());
    let context = FsOption::Value { key: "context".to_owned(), value: planned.mount_label.unwrap() };
    for mount in &planned.mounts {
        let place = mount.destination.as_str();
        let has = matches!(&mount.what, MountKind::Filesystem { options, .. } if options.contains(&context));
        assert_eq!(has, matches!(place, "/tmpfs" | "/devpts"), "{place}");
        assert_eq!(mount.root_label.is_some(), place == "/mqueue", "{place}");
    }
}

#[test]
fn labels_for_a_module_that_is_not_there_are_refused() {
    let cases = [
        (
            Lsm { apparmor: false, selinux: true },
            "/process/apparmorProfile",
            "apparmor: config provided but apparmor not supported",
        ),
        (
            Lsm { apparmor: true, selinux: false },
            "/linux/mountLabel",
            "selinux label is specified in config, but selinux is disabled or not supported",
        ),
    ];
    for (lsm, field, reason) in cases {
        let refusal = plan(&labelled(), &request(), &Host { lsm, ..root_host() }).unwrap_err();
        assert_eq!((refusal.field.as_str(), refusal.reason.as_str()), (field, reason));
    }
    let host = Host { lsm: Lsm { apparmor: true, selinux: true }, ..root_host() };
    for (pointer, name) in
        [("/process/apparmorProfile", "a\nexec b"), ("/process/selinuxLabel", "a\0b"), ("/linux/mountLabel", "a\",x=\"")]
    {
        let mut config = labelled();
        *config.pointer_mut(pointer).unwrap() = json!(name);
        assert_eq!(plan(&config, &request(), &host).unwrap_err().field, pointer);
    }
    let mut empty = labelled();
    for pointer in ["/process/apparmorProfile", "/process/selinuxLabel", "/linux/mountLabel"] {
        *empty.pointer_mut(pointer).unwrap() = json!("");
    }
    plan(&empty, &request(), &root_host()).unwrap();
}
