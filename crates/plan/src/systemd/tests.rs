use super::*;

fn write(file: &str, value: &str) -> CgroupWrite {
    let controller = file.split('.').next().unwrap().to_owned();
    CgroupWrite { field: String::new(), controller, file: file.into(), value: value.into(), if_absent: IfAbsent::Fail }
}

fn properties(writes: &[(&str, &str)]) -> Vec<(String, PropertyValue)> {
    let writes: Vec<_> = writes.iter().map(|(file, value)| write(file, value)).collect();
    unit_properties(&writes).into_iter().map(|property| (property.name, property.value)).collect()
}

#[test]
fn limits_become_properties() {
    use PropertyValue::*;
    for (file, value, name, expected) in [
        ("memory.max", "1048576", "MemoryMax", Number(1_048_576)),
        ("memory.swap.max", "max", "MemorySwapMax", Number(u64::MAX)),
        ("pids.max", "7", "TasksMax", Number(7)),
        ("cpu.weight", "79", "CPUWeight", Number(79)),
        ("cpu.idle", "1", "CPUWeight", Number(0)),
        ("cpuset.cpus", "0-2,9", "AllowedCPUs", Bits(vec![0b111, 0b10])),
        ("cpuset.mems", "0", "AllowedMemoryNodes", Bits(vec![1])),
        ("io.weight", "default 300", "IOWeight", Number(300)),
        ("io.weight", "8:0 300", "IODeviceWeight", Rates(vec![("/dev/block/8:0".into(), 300)])),
    ] {
        assert_eq!(properties(&[(file, value)]), [(name.to_owned(), expected)], "{file} {value}");
    }
    for unsaid in
        [("cpu.idle", "0"), ("cpu.max.burst", "10"), ("cpuset.cpus", "a"), ("cpuset.cpus", "0-99999"), ("memory.max", "1k")]
    {
        assert_eq!(properties(&[unsaid]), [], "{unsaid:?}");
    }
}

#[test]
fn a_quota_is_rounded_up_to_hundredths_of_a_processor() {
    for (value, per_second, period) in [
        ("50000 100000", 500_000, 100_000),
        ("33333 100000", 340_000, 100_000),
        ("max 50000", u64::MAX, 50_000),
        ("200000", 2_000_000, 100_000),
    ] {
        let expected = [("CPUQuotaPerSecUSec", per_second), ("CPUQuotaPeriodUSec", period)];
        assert_eq!(
            properties(&[("cpu.max", value)]),
            expected.map(|(name, number)| (name.to_owned(), PropertyValue::Number(number)))
        );
    }
    assert_eq!(properties(&[("cpu.max", "1 0")]), []);
}

#[test]
fn throttles_of_several_devices_are_one_property_and_a_later_limit_overrules() {
    let rates = PropertyValue::Rates(vec![("/dev/block/8:0".into(), 1), ("/dev/block/8:16".into(), u64::MAX)]);
    assert_eq!(properties(&[("io.max", "8:0 wbps=1"), ("io.max", "8:16 wbps=max")]), [("IOWriteBandwidthMax".to_owned(), rates)]);
    let later = properties(&[("memory.max", "1"), ("memory.max", "2")]);
    assert_eq!(later, [("MemoryMax".to_owned(), PropertyValue::Number(2))]);
}

#[test]
fn a_slice_lies_in_the_slices_that_its_name_begins_with() {
    assert_eq!(slice_path("system.slice").unwrap(), "/system.slice");
    assert_eq!(slice_path("a-b-c.slice").unwrap(), "/a.slice/a-b.slice/a-b-c.slice");
    assert_eq!(slice_path("-.slice").unwrap(), "");
    for bad in ["", "a", ".slice", "a--b.slice", "-a.slice", "a/b.slice", "../x.slice"] {
        assert!(slice_path(bad).is_err(), "{bad}");
    }
}

#[test]
fn units_are_named_by_prefix_and_name() {
    assert_eq!(unit_name("docker", "0af").unwrap(), "docker-0af.scope");
    assert_eq!(unit_name("", "web").unwrap(), "web.scope");
    assert_eq!(unit_name("w", "a+b/c").unwrap(), "w-a\\x2bb\\x2fc.scope");
    assert!(unit_name("w", "pod.slice").is_err());
    assert!(unit_name("w", &"x".repeat(250)).is_err());
    assert!(split("a:b:c").is_ok() && split("::c").is_ok());
    for bad in ["/a/b", "a:b", "a:b:c:d", "a:b:"] {
        let refusal = split(bad).unwrap_err();
        assert!(refusal.to_string().contains("slice:prefix:name"), "{refusal}");
    }
}

#[test]
fn a_bundle_sets_only_properties_that_start_nothing() {
    let plan = |name: &str, value: &str| {
        annotations::plan_annotations(&[(&format!("org.systemd.property.{name}"), value), ("other", "x")])
    };
    assert_eq!(plan("TimeoutStopUSec", "uint64 5").unwrap()[0].value, PropertyValue::Number(5));
    let in_microseconds = UnitProperty::new("RuntimeMaxUSec", PropertyValue::Number(2_500_000));
    assert_eq!(plan("RuntimeMaxSec", "2.5").unwrap(), [in_microseconds]);
    assert!(plan("RuntimeMaxSec", "-1").is_err() && plan("TimeoutStopSec", "nan").is_err());
    assert_eq!(plan("KillSignal", "15").unwrap()[0].value, PropertyValue::Integer(15));
    assert_eq!(plan("CollectMode", "'inactive'").unwrap()[0].value, PropertyValue::Text("inactive".into()));
    assert_eq!(
        plan("After", "['a.service', \"b.service\"]").unwrap()[0].value,
        PropertyValue::List(vec!["a.service".into(), "b.service".into()])
    );
    assert_eq!(plan("DefaultDependencies", "true").unwrap()[0].value, PropertyValue::Flag(true));
    for (name, value) in
        [("ExecStop", "'/bin/sh'"), ("Wants", "['x.service']"), ("OnFailure", "['x.service']"), ("Slice", "'a.slice'")]
    {
        assert!(plan(name, value).unwrap_err().to_string().contains("may not set"), "{name}");
    }
    for (name, value) in
        [("TimeoutStopUSec", "soon"), ("CollectMode", "inactive"), ("CollectMode", "'a\nb'"), ("After", "'a.service'")]
    {
        assert!(plan(name, value).unwrap_err().to_string().contains("is not a value"), "{name} {value}");
    }
}

#[test]
fn a_user_in_a_namespace_is_known_by_the_number_outside() {
    let map = [IdRange { container: 0, host: 1000, size: 1 }, IdRange { container: 1, host: 100_000, size: 65_536 }];
    assert_eq!(outer(0, &map), 1000);
    assert_eq!(outer(34, &map), 100_033);
    assert_eq!(outer(7, &[]), 7);
}
