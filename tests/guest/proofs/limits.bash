#!/bin/bash
# cgroupfs|systemd: what a container's limits do, felt from inside and read from outside. Runs in the guest.
set -u
source /host/checks.bash
manager=$1

# A user's session is not in a part of the tree that is the user's; a delegated scope of the user's manager is.
if [[ $manager == cgroupfs && $UID != 0 && -z ${DELEGATED:-} ]]; then
    exec env DELEGATED=1 systemd-run --user --scope --quiet --property=Delegate=yes bash "$0" "$@"
fi

systemctl=(systemctl)
((UID == 0)) || systemctl+=(--user)
work=$(mktemp --directory --tmpdir="$HOME")
cd "$work"
# From the guest's own disk, because the host's directory is slow.
cp /host/wolffia .
mkdir -p rootfs/bin
cp /bin/busybox rootfs/bin/
for name in sh dd sleep cat grep; do ln -s busybox "rootfs/bin/$name"; done

w() { ./wolffia --cgroup-manager "$manager" "$@"; }

value() { cat "$cgroup/$1"; }
# FILE KEY
counter() { awk -v key="$2" '$1 == key { print $2 }' "$cgroup/$1"; }

# ID RESOURCES SCRIPT [EDIT]: starts a container; `cgroup` is its directory then.
start() {
    rm -f config.json
    if ((UID)); then ./wolffia spec --rootless; else ./wolffia spec; fi
    jq --argjson resources "$2" --arg script "$3" \
        '.process.terminal = false | .process.args = ["/bin/sh", "-c", $script] | .linux.resources += $resources | .root.readonly = false | '"${4-.}" \
        config.json >draft && mv draft config.json
    w run --detach --pid-file pid "$1" </dev/null >"$1.out" 2>&1 || { cat "$1.out"; return 1; }
    cgroup=/sys/fs/cgroup$(sed -n 's/^0:://p' "/proc/$(<pid)/cgroup")
}

# ID: deletes it, and looks for what is left.
finish() {
    w delete --force "$1"
    check "$1: no cgroup is left" test ! -e "$cgroup"
    check "$1: no unit is left" equal "$("${systemctl[@]}" list-units --all --no-legend --plain 'wolffia-*' | wc -l)" 0
}

read_back() {
    local disk=$1 cpus
    start values '{
        "memory": {"limit": 67108864, "reservation": 33554432, "swap": 100663296},
        "pids": {"limit": 33},
        "cpu": {"shares": 2048, "quota": 33333, "period": 50000, "cpus": "1", "mems": "0"},
        "blockIO": {"throttleWriteBpsDevice": [{"major": '"${disk%:*}"', "minor": '"${disk#*:}"', "rate": 1048576}]},
        "unified": {"memory.high": "50331648"}}' 'sleep 1000' || { check "values: starts" false; return; }
    check "memory.max reads back" equal "$(value memory.max)" 67108864
    check "memory.low reads back" equal "$(value memory.low)" 33554432
    check "memory.high reads back" equal "$(value memory.high)" 50331648
    check "memory.swap.max reads back" equal "$(value memory.swap.max)" 33554432
    check "pids.max reads back" equal "$(value pids.max)" 33
    check "cpu.max reads back" equal "$(value cpu.max)" "33333 50000"
    check "cpu.weight reads back" equal "$(value cpu.weight)" 174
    check "cpuset.cpus reads back" equal "$(value cpuset.cpus)" 1
    check "cpuset.mems reads back" equal "$(value cpuset.mems)" 0
    check "io.max reads back" equal "$(value io.max)" "$disk rbps=max wbps=1048576 riops=max wiops=max"
    check "cpuset pins" equal "$(w exec values grep Cpus_allowed_list /proc/self/status | tr -d '[:space:]')" Cpus_allowed_list:1
    check "exec is in the container's cgroup" equal "$(w exec values cat /proc/self/cgroup)" 0::/
    check "a cgroup below is made" mkdir "$cgroup/below"
    check "exec --cgroup goes there" equal "$(w exec --cgroup below values cat /proc/self/cgroup)" 0::/below

    w update --memory 33554432 --memory-swap 33554432 --pids-limit 20 --cpu-quota 10000 values
    check "update changes memory.max" equal "$(value memory.max)" 33554432
    check "update changes memory.swap.max" equal "$(value memory.swap.max)" 0
    check "update changes pids.max" equal "$(value pids.max)" 20
    check "update changes cpu.max" equal "$(value cpu.max)" "10000 50000"
    if [[ $manager == systemd ]]; then
        check "systemd knows the limits" equal "$("${systemctl[@]}" show wolffia-values.scope --property=MemoryMax,TasksMax --value | sort -n | xargs)" "20 33554432"
    fi
    finish values
}

# systemd, told of one limit, writes the quota as it keeps it, and memory.oom.group.
update_leaves_the_others() {
    start others '{"cpu": {"quota": 500000, "period": 900000}, "unified": {"memory.oom.group": "1"}}' 'sleep 1000' ||
        { check "others: starts" false; return; }
    w update --pids-limit 50 others
    check "update changes pids.max alone: it" equal "$(value pids.max)" 50
    check "and not cpu.max" equal "$(value cpu.max)" "500000 900000"
    check "nor memory.oom.group" equal "$(value memory.oom.group)" 1
    check "an update that fails is an error" eval '! w update --cpu-idle 7 others >others.out 2>&1'
    check "and leaves cpu.max" equal "$(value cpu.max)" "500000 900000"
    check "and memory.oom.group" equal "$(value memory.oom.group)" 1
    finish others
}

memory_kills() {
    start memory '{"memory": {"limit": 16777216, "swap": 16777216}}' \
        'while [ ! -e /go ]; do sleep 0.1; done; dd if=/dev/zero of=/dev/null bs=64M count=1; echo $? >/status; sleep 1000' ||
        { check "memory: starts" false; return; }
    w events memory >events &
    local events=$!
    sleep 1
    touch rootfs/go
    check "memory.max kills who takes more" within 30 test -s rootfs/status
    check "it is SIGKILL" equal "$(cat rootfs/status)" 137
    check "the kernel counted it" between 1 "$(counter memory.events oom_kill)" 100
    check "events tell of it" within 20 grep --quiet '"type":"oom"' events
    finish memory
    wait "$events"
    rm rootfs/go rootfs/status
}

pids_stop_a_fork_bomb() {
    start pids '{"pids": {"limit": 10}}' 'bomb() { bomb | bomb & }; bomb; sleep 1000' || { check "pids: starts" false; return; }
    check "pids.max is hit" within 20 eval '(($(counter pids.events max) > 0))'
    check "pids.current stays below it" between 1 "$(value pids.current)" 10
    finish pids
}

cpu_holds() {
    start cpu '{"cpu": {"quota": 20000, "period": 100000}}' 'while :; do :; done' || { check "cpu: starts" false; return; }
    sleep 1
    local used=$(counter cpu.stat usage_usec) begin=$(now)
    sleep 5
    used=$(($(counter cpu.stat usage_usec) - used))
    # In hundredths of a processor. A machine with other work gives less, and nothing gives more but the last period's rest.
    check "a fifth of a processor is a fifth" between 8 $((used / 10 / ($(now) - begin))) 24
    check "it was throttled" between 1 "$(counter cpu.stat nr_throttled)" 1000000
    finish cpu
}

io_throttles() {
    local disk=$1 begin
    start io '{"blockIO": {"throttleWriteBpsDevice": [{"major": '"${disk%:*}"', "minor": '"${disk#*:}"', "rate": 1048576}]}}' \
        'sleep 1000' || { check "io: starts" false; return; }
    begin=$(now)
    check "a write goes through" w exec io dd if=/dev/zero of=/file bs=64k count=64 oflag=direct
    check "four times as much as a second may have takes three seconds or more" between 3000 $(($(now) - begin)) 60000
    finish io
}

pause_stops() {
    local before
    start pause '{}' 'n=0; while :; do n=$((n+1)); echo $n >/count; sleep 0.05; done' || { check "pause: starts" false; return; }
    within 20 test -s rootfs/count
    w pause pause
    check "its state is paused" equal "$(w state pause | jq --raw-output .status)" paused
    before=$(<rootfs/count)
    sleep 1
    check "a paused counter stands still" equal "$(<rootfs/count)" "$before"
    w resume pause
    check "it goes on" within 20 eval '[[ $(<rootfs/count) != "$before" ]]'
    finish pause
}

# config-linux.md, "Cgroup ownership".
a_writable_cgroup_is_its_users() {
    local user=0 edit='(.mounts[] | select(.type == "cgroup").options) -= ["ro"]
        | .linux.namespaces |= map(select(.type != "cgroup")) + [{"type": "cgroup"}]'
    ((UID)) || user=1000 edit+=' | .process.user = {"uid": 1000, "gid": 1000}'
    start owned '{"pids": {"limit": 9}}' 'sleep 1000' "$edit" || { check "owned: starts" false; return; }
    for file in . cgroup.procs cgroup.threads cgroup.subtree_control; do
        check "owned: $file is the user's" equal "$(stat --format=%u "$cgroup/$file")" 1000
    done
    ((UID)) || check "owned: pids.max is root's" equal "$(stat --format=%u "$cgroup/pids.max")" 0
    check "owned: it makes a cgroup" w exec --user "$user" owned /bin/busybox mkdir /sys/fs/cgroup/inner
    check "owned: and is in it" equal \
        "$(w exec --user "$user" owned sh -c 'echo 0 >/sys/fs/cgroup/inner/cgroup.procs; cat /proc/self/cgroup')" 0::/inner
    finish owned
}

failure_leaves_nothing() {
    start lost '{"memory": {"limit": 33554432}}' 'sleep 1000' && finish lost
    jq '.process.args = ["/no/such/program"]' config.json >draft && mv draft config.json
    check "a program that is not there is an error" eval '! w run lost </dev/null >lost.out 2>&1'
    check "lost: no cgroup is left, nor a unit" eval '[[ ! -e $cgroup ]] && ! "${systemctl[@]}" is-active --quiet wolffia-lost.scope'
    # The limit is set after the scope was made around init, and cannot be.
    jq '.linux.resources.unified = {"memory.high": "nonsense"}' config.json >draft && mv draft config.json
    check "a limit that cannot be set is an error" eval '! w run lost </dev/null >lost.out 2>&1'
    check "which names the file" grep --quiet memory.high lost.out
    check "lost again: no cgroup is left, nor a unit" eval '[[ ! -e $cgroup ]] && ! "${systemctl[@]}" is-active --quiet wolffia-lost.scope'
    check "nor a state" equal "$(./wolffia list --quiet)" ""
}

check "the rootfs is on the guest's disk" equal "$(stat --file-system --format=%T "$work")" ext2/ext3
disk=$(stat --format='%Hd:%Ld' "$work")
read_back "$disk"
update_leaves_the_others
memory_kills
pids_stop_a_fork_bomb
cpu_holds
io_throttles "$disk"
pause_stops
a_writable_cgroup_is_its_users
failure_leaves_nothing
rm -rf "$work"
conclude
