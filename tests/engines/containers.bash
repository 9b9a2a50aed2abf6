# What Docker and Podman have in common: a function for each feature. Sourced by an engine's own file, which defines `engine`, the
# command; `image`; `device`; and what else differs.

# NAME [OPTION…]: a container that stays.
stay() {
    local name=$1
    shift
    "$engine" run --detach --name "$name" "$@" "$image" sleep 1000
}

once() { "$engine" run --rm "$@"; }
# NAME FILE-V1 FILE-V2: a limit as the container sees it.
limit() { "$engine" exec "$1" sh -c "cat /sys/fs/cgroup/$2 2>/dev/null || cat /sys/fs/cgroup/$3"; }
status_is() { says "^$2$" "$engine" inspect --format '{{.State.Status}}' "$1"; }
killed() { says "^$2$" "$engine" inspect --format '{{.State.ExitCode}}' "$1"; }

feature_run() {
    says '^hello$' once "$image" echo hello
    ends 7 once "$image" sh -c 'exit 7'
    says '^there$' once --env WHERE=there --workdir /tmp "$image" sh -c '[ "$PWD" = /tmp ] && echo $WHERE'
    says '^in$' bash -c 'echo in | "$@"' - "$engine" run --rm --interactive "$image" cat
}
feature_run_missing() {
    ends 127 once "$image" /no/such/program
    ends 127 once "$image" no-such-program
    ends 126 once "$image" /etc/passwd
    ends 126 once "$image" /etc
}
feature_terminal() {
    says '^/dev/(pts/0|console)$' once --tty "$image" tty
    says '^/dev/(pts/0|console)$' terminal "$engine" run --rm --interactive --tty "$image" tty
    ends 3 terminal "$engine" run --rm --interactive --tty "$image" sh -c 'exit 3'
}
feature_detached_logs() {
    "$engine" run --detach --name logs "$image" sh -c 'echo out; echo err >&2; sleep 1000'
    within 10 says '^out$' "$engine" logs logs
    within 10 says '^err$' "$engine" logs logs
    says '^out$' bash -c '"$@" 2>/dev/null' - "$engine" logs logs
}
feature_megabytes_of_log() {
    "$engine" run --name flood "$image" sh -c 'yes 0123456789012345678901234567890123456789012345678901234567890 | head -c 8000000' | cmp - \
        <(yes 0123456789012345678901234567890123456789012345678901234567890 | head -c 8000000)
    "$engine" logs flood | cmp - <(yes 0123456789012345678901234567890123456789012345678901234567890 | head -c 8000000)
}
feature_exec() {
    stay exec
    says '^hello$' "$engine" exec exec echo hello
    ends 5 "$engine" exec exec sh -c 'exit 5'
    says '^in$' bash -c 'echo in | "$@"' - "$engine" exec --interactive exec cat
    says '^/tmp there$' "$engine" exec --workdir /tmp --env WHERE=there exec sh -c 'echo $PWD $WHERE'
    "$engine" exec --detach exec touch /tmp/detached
    within 10 "$engine" exec exec test -e /tmp/detached
}
feature_exec_terminal() {
    stay exec
    says '^/dev/pts/[0-9]+$' terminal "$engine" exec --interactive --tty exec tty
    ends 4 terminal "$engine" exec --interactive --tty exec sh -c 'exit 4'
}
feature_exec_user() {
    stay exec
    says '^uid=1000\(user\) gid=1000\(user\)' "$engine" exec --user user exec id
    says '^uid=1234 gid=1235' "$engine" exec --user 1234:1235 exec id
}
feature_exec_missing() {
    stay exec
    # Docker says 126 for each.
    ends "$exec_missing" "$engine" exec exec /no/such/program
    ends "$exec_missing" "$engine" exec exec no-such-program
    ends 126 "$engine" exec exec /etc/passwd
}
feature_exec_privileged() {
    stay exec
    says '^CapEff:.*0{9,}$' "$engine" exec --user 1000 exec grep CapEff /proc/self/status
    says '^CapBnd:' "$engine" exec --privileged exec grep CapBnd /proc/self/status
}
feature_stop() {
    "$engine" run --detach --name polite "$image" sh -c 'trap "exit 9" TERM; while :; do sleep 0.1; done'
    "$engine" stop --time 20 polite
    status_is polite exited
    killed polite 9
    stay stubborn
    "$engine" stop --time 1 stubborn
    killed stubborn 137
}
feature_kill() {
    stay kill
    "$engine" kill kill
    within 10 killed kill 137
    "$engine" run --detach --name hup "$image" sh -c 'trap "exit 8" HUP; while :; do sleep 0.1; done'
    sleep 0.5
    "$engine" kill --signal HUP hup
    within 10 killed hup 8
}
feature_pause() {
    stay pause
    "$engine" pause pause
    status_is pause paused
    "$engine" unpause pause
    status_is pause running
    says '^awake$' "$engine" exec pause echo awake
}
feature_stats() {
    stay stats --memory 64m
    says '[0-9.]+[kKM]i?B / (64MiB|67.11MB)' "$engine" stats --no-stream stats
}
feature_top() {
    stay top
    says 'sleep 1000' "$engine" top top
    says '(^| )PID ' "$engine" top top
}
feature_limits() {
    stay limits --memory 64m --pids-limit 33 --cpus 0.5 --cpu-shares 512 --cpuset-cpus 0
    says '^67108864$' limit limits memory/memory.limit_in_bytes memory.max
    says '^33$' limit limits pids/pids.max pids.max
    says '^50000( 100000)?$' limit limits cpu/cpu.cfs_quota_us cpu.max
    says '^0$' limit limits cpuset/cpuset.cpus cpuset.cpus
}
feature_out_of_memory() {
    ends 137 once --memory 16m --memory-swap 16m "$image" sh -c 'exec tail /dev/zero'
}
feature_update_memory_cpus() {
    stay update --memory 64m
    "$engine" update --memory 96m --memory-swap 96m --cpus 0.25 update
    says '^100663296$' limit update memory/memory.limit_in_bytes memory.max
    says '^25000( 100000)?$' limit update cpu/cpu.cfs_quota_us cpu.max
}
feature_restart() {
    stay restart
    "$engine" exec restart touch /kept
    "$engine" restart --time 0 restart
    status_is restart running
    "$engine" exec restart test -e /kept
    "$engine" stop --time 0 restart
    "$engine" start restart
    status_is restart running
}
feature_restart_policy() {
    "$engine" run --detach --name policy --restart on-failure:2 "$image" sh -c 'echo born; exit 1'
    within 20 says '^3$' bash -c '"$1" logs policy | grep -c born' - "$engine"
}
feature_wait_events() {
    local since
    since=$(date +%s)
    "$engine" run --detach --name wait "$image" sh -c 'sleep 0.5; exit 6'
    says '^6$' "$engine" wait wait
    sleep 1
    says ' (die|died) ' events "$since" --filter container=wait
}
feature_copy_and_commit() {
    stay copy
    echo content >"$scratch/copied"
    "$engine" cp "$scratch/copied" copy:/tmp/
    says '^content$' "$engine" exec copy cat /tmp/copied
    "$engine" commit copy committed
    says '^sleep' "$engine" top copy -o comm || says 'sleep' "$engine" top copy
    once committed true
}
feature_read_only() {
    ends 1 once --read-only "$image" touch /file
    once --read-only --tmpfs /scratch "$image" touch /scratch/file
}
feature_tmpfs() { says '^tmpfs .* /work$' once --tmpfs /work:size=1m,mode=700,noexec "$image" sh -c 'df | grep "/work$"'; }
feature_volume() {
    mkdir -p "$scratch/volume"
    chmod 777 "$scratch/volume"
    once --volume "$scratch/volume:/volume" "$image" sh -c 'echo written >/volume/file'
    says '^written$' cat "$scratch/volume/file"
    ends 1 once --volume "$scratch/volume:/volume:ro" "$image" touch /volume/file
    once --volume named:/volume "$image" touch /volume/file
    once --volume named:/volume "$image" test -e /volume/file
    once --mount "type=bind,source=$scratch/volume/file,target=/file,readonly" "$image" grep written /file
}
feature_cap_add() { says '^CapEff:.*0000000000001000$' once --cap-drop ALL --cap-add NET_ADMIN "$image" grep CapEff /proc/self/status; }
feature_cap_drop() {
    ends 1 once --cap-drop CHOWN "$image" chown 1 /tmp
    once "$image" chown 1 /tmp
}
feature_no_new_privileges() {
    says '^NoNewPrivs:\s*1$' once --security-opt no-new-privileges "$image" grep NoNewPrivs /proc/self/status
    says '^NoNewPrivs:\s*0$' once "$image" grep NoNewPrivs /proc/self/status
}
feature_seccomp_file() {
    cat >"$scratch/seccomp.json" <<'X'
{ "defaultAction": "SCMP_ACT_ALLOW", "syscalls": [ { "names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38 } ] }
X
    says 'Function not implemented' bash -c '! "$@"' - "$engine" run --rm --security-opt "seccomp=$scratch/seccomp.json" "$image" mkdir /x
    says '^Seccomp:\s*2$' once "$image" grep Seccomp: /proc/self/status
    says '^Seccomp:\s*0$' once --security-opt seccomp=unconfined "$image" grep Seccomp: /proc/self/status
}
feature_user() {
    says '^uid=1000\(user\) gid=1000\(user\)' once --user user "$image" id
    says '^uid=4321[^ ]* gid=4322[^ ]* groups=.*77' once --user 4321:4322 --group-add 77 "$image" id
}
feature_init() { says '^ *1 .*(init|tini|catatonit)' once --init "$image" ps -o pid,args; }
feature_device() {
    once --device "$device:/dev/there" "$image" test -c /dev/there
    says 'c?.*[Oo]peration not permitted' bash -c '! "$@"' - "$engine" run --rm --cap-add MKNOD "$image" \
        sh -c 'mknod /dev/mem2 c 1 1 && cat /dev/mem2'
}
feature_sysctl() { says '^4242$' once --sysctl net.ipv4.ip_default_ttl=42 --sysctl kernel.msgmax=4242 "$image" cat /proc/sys/kernel/msgmax; }
feature_ulimit() { says '^77$' once --ulimit nofile=77:88 --ulimit nproc=4096:4096 "$image" sh -c 'ulimit -n'; }
feature_hostname() {
    says '^named$' once --hostname named "$image" hostname
    says '10.1.2.3\s+other' once --add-host other:10.1.2.3 "$image" cat /etc/hosts
}
feature_shm_size() { says '^shm +2048 .*' once --shm-size 2m "$image" df /dev/shm; }
# NAMESPACE: the container has the machine's.
same() { says "^$(readlink "/proc/self/ns/$1" | sed 's/[][]/\\&/g')$" once "${@:2}" "$image" readlink "/proc/self/ns/$1"; }
feature_pid_host() { same pid --pid host; }
feature_ipc_host() { same ipc --ipc host; }
feature_uts_host() { same uts --uts host; }
feature_cgroupns() { says '0::/$' once --cgroupns private "$image" cat /proc/self/cgroup; }
feature_pid_container() {
    stay pid --ipc shareable
    says 'sleep 1000' once --pid container:pid "$image" ps
    says 'sleep 1000' once --pid container:pid --network container:pid --ipc container:pid "$image" ps
}
feature_network_none() { says '^lo *$' once --network none "$image" sh -c 'ls /sys/class/net | tr "\n" " "'; }
feature_network_host() { same net --network host; }
feature_healthcheck() {
    stay health --health-cmd 'test -e /tmp/healthy' --health-interval 1s --health-retries 1
    "$engine" exec health touch /tmp/healthy
    within 20 healthy health
}
feature_build() {
    mkdir -p "$scratch/build"
    cat >"$scratch/build/Dockerfile" <<X
FROM $image
ENV GREETING=hello
RUN echo "\$GREETING" >/greeting && id -u >>/greeting
USER 1000
RUN id -u >/tmp/user
COPY Dockerfile /
WORKDIR /tmp
CMD ["cat", "/greeting", "user"]
X
    build "$scratch/build"
    says '^hello$' once built
    says '^1000$' once built
}
feature_ten_at_once() {
    local number
    for number in {0..9}; do stay "many$number" >/dev/null & done
    wait
    for number in {0..9}; do says "^hello$" "$engine" exec "many$number" echo hello & pids[number]=$!; done
    for number in {0..9}; do wait "${pids[number]}"; done
    remove many{0..9}
}
feature_remove_running() {
    stay remove
    "$engine" exec --detach remove sleep 1001
    remove remove
    says '^$' "$engine" ps --all --quiet
}

clear_away() {
    local containers
    mapfile -t containers < <("$engine" ps --all --quiet)
    ((${#containers[@]})) || return 0
    "$engine" unpause --all 2>/dev/null || :
    remove "${containers[@]}"
}
# The first containers make what stays for the next.
warm_up() {
    once "$image" true
    once --network host "$image" true
}
