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
# Moved while it runs: the first gives its memory away by network, `criu lazy-pages` takes it for the second when it is needed.
move() {
    local ready=~/ready saved fetched
    mkfifo "$ready" && exec 9<>"$ready" && mkdir ~/lazy || return
    w checkpoint --lazy-pages --page-server 127.0.0.1:27277 --status-fd 9 --image-path ~/lazy proof &
    saved=$!
    timeout 30 head --bytes 1 "$ready" >/dev/null || return
    criu lazy-pages --page-server --address 127.0.0.1 --port 27277 --images-dir ~/lazy >/dev/null 2>&1 &
    fetched=$!
    within 20 test -S ~/lazy/lazy-pages.socket || return
    w restore --detach --lazy-pages --image-path ~/lazy moved </dev/null >/dev/null && wait "$saved" && wait "$fetched"
}
# The second is beside the first for a while, in a cgroup of its own.
check "the first runs again" eval 'cp kept config.json && w restore --detach --image-path ~/other proof </dev/null >/dev/null && counts'
jq 'del(.linux.cgroupsPath)' config.json >changed && mv changed config.json
check "it is moved with its memory to follow" move
check "the second goes on, and the first is gone" eval 'counts && ! w state proof 2>/dev/null && w delete --force moved'
check "nothing of it is left" eval '! w state proof 2>/dev/null && test ! -e "/sys/fs/cgroup$before" && ! pgrep --full tmp/count'

# A connection that the container has with itself. In perl, because busybox's nc ends when CRIU interrupts it.
talk='my $door = IO::Socket::INET->new(LocalAddr => "127.0.0.1:7777", Listen => 1) or die;
    if (!fork) { my $from = $door->accept; open my $file, ">", "/tmp/heard"; $file->autoflush; print $file $_ while <$from>; exit }
    my $to = IO::Socket::INET->new("127.0.0.1:7777") or die;
    for (my $i = 1;; $i++) { print $to "$i\n"; $to->flush; select undef, undef, undef, 0.1 }'
hears() { local before=$(tail -n 1 rootfs/tmp/heard) && within 20 eval '(($(tail -n 1 rootfs/tmp/heard) > before))'; }
mkdir rootfs/usr && ln -s usr/lib rootfs/lib && ln -s usr/lib64 rootfs/lib64
jq --arg talk "$talk" '.process.args = ["/usr/bin/perl", "-MIO::Socket::INET", "-e", $talk]
    | .mounts += [{"destination": "/usr", "type": "bind", "source": "/usr", "options": ["rbind", "ro"]}]' config.json >changed && mv changed config.json
check "it talks by TCP" eval 'w run --detach talks </dev/null >/dev/null 2>&1 && within 20 test -s rootfs/tmp/heard && hears'
check "its connection is saved" w checkpoint --tcp-established --image-path ~/tcp talks
stopped=$(tail -n 1 rootfs/tmp/heard)
check "restore of a connection" eval 'w restore --detach --tcp-established --image-path ~/tcp talks </dev/null >/dev/null'
check "it goes on where it was" eval 'hears && equal "$(sed -n "$((stopped + 1))p" rootfs/tmp/heard)" $((stopped + 1)) && w delete --force talks'

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
