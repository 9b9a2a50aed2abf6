#!/bin/bash
# Checkpoint and restore on cgroup v2, with cgroups made by the runtime ($1 is cgroupfs) or by systemd: limits, AppArmor, memory saved
# beforehand; and by Podman. Runs in the guest, as root.
set -u
source /host/checks.bash

cp /host/wolffia ~/wolffia
w() { ~/wolffia --cgroup-manager "$manager" "$@"; }
manager=$1
check "criu works here" criu check
mkdir -p ~/demo/rootfs/bin ~/demo/rootfs/tmp
cp /bin/busybox ~/demo/rootfs/bin/
for name in sh cat sleep grep; do ln -sf busybox ~/demo/rootfs/bin/$name; done
cd ~/demo
~/wolffia spec
printf 'profile counting flags=(attach_disconnected) { file, capability, signal, ptrace, network, unix, deny /tmp/denied w, }\n' | apparmor_parser --replace
count='i=0; while :; do i=$((i+1)); echo $i >/tmp/count; sleep 0.1; done'
jq --arg count "$count" '.process.terminal = false | .process.args = ["sh", "-c", $count] | .root.readonly = false
    | .process.apparmorProfile = "counting" | .linux.resources.memory.limit = 67108864 | .linux.resources.pids.limit = 33' \
    config.json >changed && mv changed config.json
[[ $manager != systemd ]] || { jq '.linux.cgroupsPath = "system.slice:wolffia:proof"' config.json >changed && mv changed config.json; }
counts() { local before=$(cat rootfs/tmp/count) && within 20 eval '(($(cat rootfs/tmp/count) > before))'; }
limits() { w exec proof cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/pids.max | xargs; }
cgroup() { cut -d: -f3 "/proc/$(w state proof | jq .pid)/cgroup"; }
label() { cat "/proc/$(w state proof | jq .pid)/attr/current"; }

check "it runs" eval 'w run --detach proof </dev/null >/dev/null 2>&1'
check "it counts" within 20 test -s rootfs/tmp/count
before=$(cgroup)
check "memory is saved beforehand" w checkpoint --pre-dump --image-path ~/pre proof
check "checkpoint" w checkpoint --image-path ~/images --parent-path ../pre proof
check "its cgroup is gone" test ! -e "/sys/fs/cgroup$before"
stopped=$(cat rootfs/tmp/count)
check "restore" eval 'w restore --detach --image-path ~/images proof </dev/null >/dev/null'
check "it goes on where it was" eval 'counts && (($(cat rootfs/tmp/count) > stopped))'
check "its cgroup is the same" equal "$(cgroup)" "$before"
check "its limits are the same" equal "$(limits)" "67108864 33"
check "its profile is the same" equal "$(label)" "counting (enforce)"
check "exec is held by it" eval '! w exec proof sh -c "echo x >/tmp/denied" 2>/dev/null'
check "it has a cgroup namespace" equal "$(w exec proof cat /proc/1/cgroup)" 0::/
check "another profile is refused" eval 'w checkpoint --image-path ~/other proof && jq ".process.apparmorProfile = \"docker-default\"" config.json >changed &&
    cp config.json kept && mv changed config.json && ! w restore --detach --image-path ~/other proof </dev/null >/dev/null 2>error && grep -q /process/apparmorProfile error'
check "nothing of it is left" eval '! w state proof 2>/dev/null && test ! -e "/sys/fs/cgroup$before" && ! pgrep --full tmp/count'

((UID)) || [[ $manager != systemd ]] || {
    tar --directory rootfs --create . | podman import - box >/dev/null 2>&1
    run=(podman --runtime ~/wolffia)
    check "Podman runs it" eval '"${run[@]}" run --detach --name counter --memory 64m box /bin/sh -c "$count" >/dev/null'
    inside() { "${run[@]}" exec counter /bin/cat /tmp/count; }
    check "it counts" within 20 eval '(($(inside) > 5))'
    check "Podman saves it" eval '"${run[@]}" container checkpoint counter >/dev/null'
    check "Podman restores it" eval '"${run[@]}" container restore counter >/dev/null'
    check "it goes on" within 20 eval '(($(inside) > 5))'
    check "its limit is the same" equal "$("${run[@]}" exec counter /bin/cat /sys/fs/cgroup/memory.max)" 67108864
    check "Podman removes it" eval '"${run[@]}" rm --force --time 0 counter >/dev/null'
}
conclude
