#!/bin/bash
# Docker as root, Podman as the user: both ask for systemd's cgroups here. Runs in the guest.
set -u
source /host/checks.bash

cp /host/wolffia ~/wolffia
mkdir -p ~/image/bin
cp /bin/busybox ~/image/bin/
for name in sh cat sleep; do ln -s busybox ~/image/bin/$name; done

systemctl=(systemctl) engine=docker remove=(rm --force)
run=(docker run --runtime wolffia --network none)
if ((UID)); then
    systemctl+=(--user) engine=podman remove=(rm --force --time 0)
    podman() { command podman --runtime ~/wolffia "$@"; }
    run=(podman run --network none)
else
    mkdir -p /etc/docker
    jq --null-input --arg path ~/wolffia '{runtimes: {wolffia: {path: $path}}}' >/etc/docker/daemon.json
    check "dockerd starts" systemctl start docker
fi
units() { "${systemctl[@]}" list-units --all --plain --no-legend "$1" | wc -l; }
unit='docker-*.scope'
((UID == 0)) || unit='libpod-????????????????????????????????????????????????????????????????.scope'
tar --directory ~/image --create . | "$engine" import - box >/dev/null 2>&1

files='cd /sys/fs/cgroup && cat memory.max pids.max cpu.max'
limits=(--memory 64m --pids-limit 33 --cpus 0.5)
check "limits arrive" equal "$("${run[@]}" --rm "${limits[@]}" box /bin/sh -c "$files" | xargs)" "67108864 33 50000 100000"
check "its exit status arrives" eval '"${run[@]}" --rm box /bin/sh -c "exit 7"; (($? == 7))'
check "a detached container starts" eval '"${run[@]}" --detach --name proof --memory 64m box /bin/sleep 1000 >/dev/null'
check "its scope is systemd's" equal "$(units "$unit")" 1
check "exec goes into its cgroup" equal "$("$engine" exec proof /bin/cat /proc/self/cgroup)" 0::/
((UID)) || check "AppArmor holds it" equal "$("$engine" exec proof /bin/cat /proc/self/attr/current)" "docker-default (enforce)"
check "update is taken" eval '"$engine" update --memory 32m --memory-swap 32m proof >/dev/null'
check "and holds" equal "$("$engine" exec proof /bin/cat /sys/fs/cgroup/memory.max)" 33554432
check "pause is taken" eval '"$engine" pause proof >/dev/null'
check "unpause is taken" eval '"$engine" unpause proof >/dev/null'
check "it is removed" eval '"$engine" "${remove[@]}" proof >/dev/null'
check "no scope is left" within 10 eval '(($(units "$unit") == 0))'
conclude
