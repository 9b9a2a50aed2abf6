# containerd, by ctr.
readonly image=docker.io/library/busybox:latest
readonly lists=("$HERE/containerd.bash")
readonly states=(/run/containerd/runc/default /run/wolffia)

start() {
    mkdir -p /etc/containerd
    printf 'version = 2\ndisabled_plugins = ["io.containerd.grpc.v1.cri"]\n' >/etc/containerd/config.toml
    containerd &>"$scratch/containerd.log" &
    within 30 ctr version
    make_image "$scratch"
    ctr image import "$scratch/image.tar"
}

warm_up() { once warm true; }

clear_away() {
    local container
    for container in $(ctr container list --quiet); do
        ctr task resume "$container" 2>/dev/null || :
        ctr task delete --force "$container" 2>/dev/null || :
        ctr container delete "$container"
    done
}

# OPTION… -- NAME COMMAND…
run() {
    local options=()
    while [[ $1 != -- ]]; do
        options+=("$1")
        shift
    done
    shift
    ctr run --runc-binary "$runtime" "${options[@]}" "$image" "$@"
}
once() { run --rm -- "$@"; }
stay() { run --detach --cgroup "/engines/$1" -- "$1" sleep 1000; }
state_is() { says "^$1 .* $2" ctr task list; }

feature_run() {
    says '^hello$' once run echo hello
    ends 7 once run sh -c 'exit 7'
}
feature_run_missing() {
    says 'executable file not found in \$PATH' bash -c '! "$@"' - ctr run --rm --runc-binary "$runtime" "$image" missing no-such-program
    says 'permission denied' bash -c '! "$@"' - ctr run --rm --runc-binary "$runtime" "$image" denied /etc/passwd
}
# It stays for a moment, because ctr can leave before it has passed on what a process said that ends at once, with any runtime.
feature_terminal() { says '^/dev/pts/0$' terminal ctr run --rm --tty --runc-binary "$runtime" "$image" terminal sh -c 'tty; sleep 1'; }
feature_detached() {
    stay detached
    state_is detached RUNNING
}
feature_exec() {
    stay exec
    says '^hello$' ctr task exec --exec-id one exec echo hello
    ends 5 ctr task exec --exec-id two exec sh -c 'exit 5'
    says '^uid=1000' ctr task exec --exec-id three --user 1000 exec id
}
feature_exec_terminal() {
    stay exec
    says '^/dev/pts/[0-9]+$' terminal ctr task exec --tty --exec-id one exec sh -c 'tty; sleep 1'
}
feature_exec_missing() {
    stay exec
    says 'executable file not found in \$PATH' bash -c '! "$@"' - ctr task exec --exec-id one exec no-such-program
    says '^hello$' ctr task exec --exec-id two exec echo hello
}
feature_kill() {
    stay kill
    ctr task kill --signal KILL kill
    within 10 state_is kill STOPPED
    ctr task delete kill
}
feature_kill_all() {
    stay kill
    ctr task exec --detach --exec-id one kill sleep 1001
    ctr task kill --all --signal KILL kill
    within 10 state_is kill STOPPED
}
feature_pause() {
    stay pause
    ctr task pause pause
    state_is pause PAUSED
    ctr task resume pause
    state_is pause RUNNING
}
feature_ps() {
    stay ps
    says '^[0-9]+ ' ctr task ps ps
}
feature_metrics() {
    stay metrics
    says 'memory' ctr task metrics metrics
}
feature_limits() {
    says '^67108864$' run --rm --memory-limit 67108864 --cgroup /engines/limits --mount \
        type=bind,src=/sys/fs/cgroup,dst=/mnt,options=rbind:ro -- limits sh -c \
        'cat /mnt/memory/engines/limits/memory.limit_in_bytes 2>/dev/null || cat /mnt/engines/limits/memory.max'
}
feature_read_only() { says 'Read-only' bash -c '! "$@"' - ctr run --rm --read-only --runc-binary "$runtime" "$image" ro touch /file; }
feature_mount() { says '^hello$' run --rm --mount "type=bind,src=$scratch/image,dst=/mnt,options=rbind:ro" -- mount sh -c 'test -e /mnt/config.json && echo hello'; }
feature_capabilities() {
    says '^CapEff:.*0000a80435fb$' run --rm --cap-add CAP_NET_ADMIN -- add grep CapEff /proc/self/status
    says '^CapEff:.*0000a80425fa$' run --rm --cap-drop CAP_CHOWN -- drop grep CapEff /proc/self/status
}
feature_seccomp() { says '^Seccomp:\s*2$' run --rm --seccomp -- seccomp grep Seccomp: /proc/self/status; }
feature_device() { run --rm --device /dev/full -- device test -c /dev/full; }
feature_network_host() { says "$(readlink /proc/self/ns/net | tr --delete 'net:[]')" run --rm --net-host -- net readlink /proc/self/ns/net; }
feature_user_namespace() {
    says '^ *0 +100000 +1000$' run --rm --uidmap 0:100000:1000 --gidmap 0:100000:1000 -- userns cat /proc/self/uid_map
}
feature_ten_at_once() {
    local number
    for number in {0..9}; do stay "many$number" & done
    wait
    for number in {0..9}; do says '^hello$' ctr task exec --exec-id one "many$number" echo hello; done
}
feature_megabytes() { cmp <(once flood sh -c 'yes 0123456789 | head -c 8000000') <(yes 0123456789 | head -c 8000000); }
feature_document() { paste containerd.md; }
