//! What a container sees and reaches of the machine, whole.

use crate::canary::Canary;
use wolffia_tests::{ANYBODY, json, scenario};

/// The mounts of a container are its own: none appears on the host, whose mounts are shared here as systemd makes them, even when
/// the configuration asks for a shared root. (The harness compares the host's mounts after every scenario.)
#[test]
fn mounts_of_a_container_stay_in_it() {
    scenario(ANYBODY, |case| {
        let canary = Canary::new(case);
        let volume = case.directory("volume");
        for propagation in ["private", "rprivate", "slave", "rslave", "shared", "rshared", "unbindable"] {
            let bundle = case.shell("mount -t tmpfs none /tmp; mount -t tmpfs none /volume; mount --bind /bin /home; grep -c . /proc/self/mountinfo > /dev/null; echo honest");
            bundle.edit(|config| {
                config["root"]["readonly"] = json!(false);
                config["linux"]["rootfsPropagation"] = json!(propagation);
                for set in ["bounding", "effective", "permitted"] {
                    config["process"]["capabilities"][set].as_array_mut().unwrap().push(json!("CAP_SYS_ADMIN"));
                }
                config["mounts"]
                    .as_array_mut()
                    .unwrap()
                    .push(json!({ "destination": "/volume", "source": volume, "options": ["rbind", "rslave"] }));
            });
            let before = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
            let outcome = canary.survives(case, &bundle);
            // In a shared tree a mount on a part of it shows up in that part too, and may be in the runtime's own way.
            assert!(propagation.contains("shared") || outcome.stdout == "honest\n", "{outcome}");
            assert_eq!(std::fs::read_to_string("/proc/self/mountinfo").unwrap(), before, "{propagation}");
        }
    });
}

/// The default configuration: paths that must not be read or written, whatever the capabilities of root.
#[test]
fn kernel_interfaces_are_out_of_reach() {
    scenario(ANYBODY, |case| {
        let canary = Canary::new(case);
        let script = "for f in core_pattern modprobe sysrq; do
                [ -e /proc/sys/kernel/$f ] || continue; (: >> /proc/sys/kernel/$f) 2>/dev/null && echo LEAK $f; done
            (: >> /proc/sysrq-trigger) 2>/dev/null && echo LEAK sysrq-trigger
            for f in kcore keys timer_list sched_debug scsi acpi; do [ -n \"$(head -c 1 /proc/$f 2>/dev/null)\" ] && echo LEAK $f; done
            [ -n \"$(ls /sys/firmware 2>/dev/null)\" ] && echo LEAK firmware
            (: >> /sys/kernel/profiling) 2>/dev/null && echo LEAK sys
            for d in mem kmsg port sda vda loop0 fuse; do [ -e /dev/$d ] && echo LEAK $d; done
            echo honest";
        assert_eq!(canary.survives(case, &case.shell(script)).succeeds(), "honest\n");
    });
}
