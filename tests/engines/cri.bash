# containerd as a node of Kubernetes has it: pods by the Container Runtime Interface, with the runtime as the handler `tested`.
readonly image=docker.io/library/busybox:latest pause=docker.io/library/pause:latest socket=/run/containerd/containerd.sock
readonly lists=("$HERE/cri.bash")
readonly states=(/run/containerd/runc/k8s.io /run/wolffia)
# Whom a pod's cgroup belongs to: systemd, where it is there, as kubelets have it.
systemd=false parent=/engines
[[ ! -d /run/systemd/system ]] || systemd=true parent=engines.slice
readonly systemd in_host_network='security_context { namespace_options { network: NODE } }'

start() {
    mkdir -p /etc/containerd /etc/cni/net.d "$scratch/logs"
    configure "[plugins.\"io.containerd.grpc.v1.cri\".containerd]
default_runtime_name = \"tested\"
[plugins.\"io.containerd.grpc.v1.cri\".containerd.runtimes.tested]
runtime_type = \"io.containerd.runc.v2\"
[plugins.\"io.containerd.grpc.v1.cri\".containerd.runtimes.tested.options]
BinaryName = \"$runtime\"
SystemdCgroup = $systemd"
    cat >/etc/cni/net.d/10-engines.conflist <<'X'
{ "cniVersion": "0.4.0", "name": "engines", "plugins": [ { "type": "bridge", "bridge": "engines0", "isGateway": true,
  "ipam": { "type": "host-local", "ranges": [ [ { "subnet": "10.253.7.0/24" } ] ] } } ] }
X
    start_containerd
    make_image "$scratch"
    ctr --namespace k8s.io image import "$scratch/image.tar"
    # The same with another command, for what holds a pod's namespaces.
    sed -i 's|"Cmd": \["sh"\]|"Cmd": ["/pause"]|' "$scratch/image/config.json"
    sed -i "s|docker.io/library/busybox:latest|$pause|" "$scratch/image/manifest.json"
    tar --directory "$scratch/image" --create --file "$scratch/pause.tar" manifest.json config.json layer.tar
    ctr --namespace k8s.io image import "$scratch/pause.tar"
}

# LINES: its file, with the lines that name runtimes.
configure() {
    cat >/etc/containerd/config.toml <<X
version = 2
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "$pause"
# Nobody's score may fall below its parent's without CAP_SYS_RESOURCE.
restrict_oom_score_adj = true
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "/usr/lib/cni"
$1
X
}

start_containerd() {
    containerd &>>"$scratch/containerd.log" &
    echo $! >"$scratch/containerd.pid"
    within 60 ask ListPodSandbox ''
}

# METHOD MESSAGE: calls the runtime service; message and answer are protobuf's text. On the wire each has five bytes before it: whether
# it is compressed, and its length.
ask() {
    local call length status
    call=$(mktemp --directory --tmpdir="$scratch" call.XXXXXX)
    protoc --proto_path "$HERE" --encode "runtime.v1.$1Request" cri.proto <<<"$2" >"$call/message" || return
    printf -v length '%08x' "$(stat --format %s "$call/message")"
    { printf "\\x00\\x${length:0:2}\\x${length:2:2}\\x${length:4:2}\\x${length:6:2}" && cat "$call/message"; } >"$call/request"
    curl --silent --show-error --http2-prior-knowledge --unix-socket "$socket" --header 'content-type: application/grpc' \
        --header 'te: trailers' --data-binary "@$call/request" --dump-header "$call/headers" --output "$call/answer" \
        "http://localhost/runtime.v1.RuntimeService/$1" || return
    status=$(tr --delete '\r' <"$call/headers" | sed -n 's/^grpc-status: //p')
    [[ $status == 0 ]] || { sed -n 's/^grpc-message: /'"$1"': /p' "$call/headers" >&2; return 1; }
    tail -c +6 "$call/answer" | protoc --proto_path "$HERE" --decode "runtime.v1.$1Response" cri.proto
}
# NAME: the values of a field in an answer.
field() { sed -n "s/^ *$1: \"\?\([^\"]*\)\"\?$/\1/p"; }
# FIELD WORD…: as protobuf's text.
words() {
    local word
    for word in "${@:2}"; do
        word=${word//\\/\\\\}
        printf "%s: '%s' " "$1" "${word//\'/\\\'}"
    done
}

# NAME [LINUX [FIELDS]]: starts a pod, in the machine's network unless LINUX says otherwise, and makes it the one that is meant below.
start_pod() {
    sandbox="metadata { name: '$1' uid: '$1' namespace: 'engines' } log_directory: '$scratch/logs'
        linux { cgroup_parent: '$parent' ${2-$in_host_network} } ${3-}"
    pod=$(ask RunPodSandbox "config { $sandbox } runtime_handler: '${handler:-tested}'" | field pod_sandbox_id)
    [[ $pod ]]
}
# NAME FIELDS COMMAND…: starts a container in it, likewise.
start_container() {
    container=$(ask CreateContainer "pod_sandbox_id: '$pod' sandbox_config { $sandbox } config {
        metadata { name: '$1' } image { image: '$image' } log_path: '$1.log' $2 $(words command "${@:3}") }" | field container_id)
    [[ $container ]] && ask StartContainer "container_id: '$container'"
}
stay() { start_pod "$1" && start_container "$1" "${2-}" sleep 1000; }
# FIELDS COMMAND…: what a container says that runs to its end in a pod of its own.
once() {
    local name=once-$RANDOM
    start_pod "$name" && start_container "$name" "$@" && within 100 state_is EXITED && said "$name"
}
said() { sed 's/^[^ ]* std[a-z]* [FP] //' "$scratch/logs/$1.log"; }
state_is() { says "state: CONTAINER_$1" ask ContainerStatus "container_id: '$container'"; }
# Zero is not in the answer.
exited() { state_is EXITED && says "exit_code: $1" ask ContainerStatus "container_id: '$container'"; }
# COMMAND…: prints what it says, and ends as it does.
exec_in() {
    local answer
    answer=$(ask ExecSync "container_id: '$container' timeout: 20 $(words cmd "$@")") || return 125
    printf '%b' "$(field stdout <<<"$answer")" "$(field stderr <<<"$answer")"
    return "$(field exit_code <<<"$answer" | grep . || echo 0)"
}
limit() { exec_in sh -c "cat /sys/fs/cgroup/$1 2>/dev/null || cat /sys/fs/cgroup/$2"; }
# TEXT COMMAND…: succeeds if the command fails and says something that matches.
refused() {
    local output
    ! output=$("${@:2}" 2>&1) || { echo "succeeded: ${*:2}"; return 1; }
    grep -Eq -- "$1" <<<"$output" || { printf 'no %s in what %s says:\n%s\n' "$1" "${*:2}" "$output"; return 1; }
}

# A pod on the bridge makes it.
warm_up() { once '' true && start_pod warm ''; clear_away; }
clear_away() {
    local id
    for id in $(ask ListPodSandbox '' | field id); do
        ask StopPodSandbox "pod_sandbox_id: '$id'"
        ask RemovePodSandbox "pod_sandbox_id: '$id'"
    done
}

feature_runtime_class() {
    stay handler
    says 'runtime_handler: "tested"' ask PodSandboxStatus "pod_sandbox_id: '$pod'"
    state_is RUNNING
    handler=unknown refused 'no runtime for' start_pod unknown
}
feature_logs() {
    start_pod logs
    start_container logs '' sh -c 'echo out; echo err >&2'
    within 20 state_is EXITED
    says ' stdout F out$' cat "$scratch/logs/logs.log"
    says ' stderr F err$' cat "$scratch/logs/logs.log"
}
# It stays for a moment, because containerd 1.6 can lose the end of what is still in the pipe when the process ends, with any runtime.
feature_megabytes_of_log() { cmp <(once '' sh -c 'yes 0123456789 | head -n 700000; sleep 3') <(yes 0123456789 | head -n 700000); }
feature_terminal() { says '^/dev/pts/0' once 'tty: true' tty; }
feature_exit_code() {
    start_pod code
    start_container code '' sh -c 'exit 7'
    within 20 exited 7
}
feature_run_missing() {
    start_pod missing
    refused 'executable file not found in \$PATH' start_container missing '' no-such-program
    refused 'permission denied' start_container denied '' /etc/passwd
}
feature_exec() {
    stay exec
    says '^hello$' exec_in echo hello
    ends 5 exec_in sh -c 'exit 5'
    refused 'executable file not found in \$PATH' exec_in no-such-program
}
feature_exec_timeout() {
    stay exec
    refused 'timed out|timeout|DeadlineExceeded' ask ExecSync "container_id: '$container' timeout: 1 $(words cmd sleep 77)"
    within 10 ends 1 exec_in sh -c 'ps | grep "[s]leep 77"'
}
feature_stop() {
    start_pod polite
    start_container polite '' sh -c 'trap "exit 9" TERM; echo ready; while :; do sleep 0.1; done'
    within 10 says ready said polite
    ask StopContainer "container_id: '$container' timeout: 20"
    exited 9
    start_container stubborn '' sh -c 'trap "" TERM; echo ready; while :; do sleep 0.1; done'
    within 10 says ready said stubborn
    ask StopContainer "container_id: '$container' timeout: 1"
    exited 137
    ask RemoveContainer "container_id: '$container'"
}
feature_stop_pod() {
    stay pod
    ask StopPodSandbox "pod_sandbox_id: '$pod'"
    state_is EXITED
}
feature_environment() {
    says '^/tmp there$' once "working_dir: '/tmp' envs { key: 'WHERE' value: 'there' }" sh -c 'echo $PWD $WHERE'
}
feature_mount() {
    local mount="mounts { container_path: '/file' host_path: '$scratch/mounted' readonly: true }"
    echo content >"$scratch/mounted"
    says '^content$' once "$mount" cat /file
    says 'Read-only' once "$mount" sh -c 'echo x >/file'
}
feature_device() {
    says '^there$' once "devices { container_path: '/dev/there' host_path: '/dev/full' permissions: 'rw' }" \
        sh -c 'test -c /dev/there && echo there'
}

# FIELDS COMMAND…: `once` with that in the container's security context.
secured() { once "linux { security_context { $1 } }" "${@:2}"; }
feature_user() {
    says '^uid=1000\(user\) gid=1001 groups=.*77' secured \
        'run_as_user { value: 1000 } run_as_group { value: 1001 } supplemental_groups: 77' id
}
feature_read_only() { says 'Read-only' secured 'readonly_rootfs: true' touch /file; }
feature_capabilities() {
    says '^CapEff:.*0000000000001000$' secured "capabilities { add_capabilities: 'NET_ADMIN' drop_capabilities: 'ALL' }" \
        grep CapEff /proc/self/status
}
feature_no_new_privileges() { says '^NoNewPrivs:\s*1$' secured 'no_new_privs: true' grep NoNewPrivs /proc/self/status; }
feature_seccomp() {
    says '^Seccomp:\s*2$' secured 'seccomp { profile_type: RuntimeDefault }' grep Seccomp: /proc/self/status
    says '^Seccomp:\s*0$' secured 'seccomp { profile_type: Unconfined }' grep Seccomp: /proc/self/status
    cat >"$scratch/seccomp.json" <<'X'
{ "defaultAction": "SCMP_ACT_ALLOW", "syscalls": [ { "names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38 } ] }
X
    says 'Function not implemented' secured "seccomp { profile_type: Localhost localhost_ref: '$scratch/seccomp.json' }" mkdir /x
}
feature_masked_paths() {
    local paths="masked_paths: '/proc/version' readonly_paths: '/proc/sys'"
    says '^0$' secured "$paths" sh -c 'wc -c </proc/version'
    says 'Read-only' secured "$paths" sh -c 'echo x >/proc/sys/kernel/domainname'
}
feature_privileged() {
    start_pod privileged "security_context { namespace_options { network: NODE } privileged: true }"
    start_container privileged 'linux { security_context { privileged: true } }' sh -c 'mount -t tmpfs none /mnt && exit 3'
    within 20 exited 3
}

feature_limits() {
    stay limits "linux { resources { memory_limit_in_bytes: 67108864 cpu_quota: 50000 cpu_period: 100000 cpuset_cpus: '0' } }"
    says '^67108864$' limit memory/memory.limit_in_bytes memory.max
    says '^50000( 100000)?$' limit cpu/cpu.cfs_quota_us cpu.max
    says '^0$' limit cpuset/cpuset.cpus cpuset.cpus
}
feature_update() {
    stay update 'linux { resources { memory_limit_in_bytes: 67108864 cpu_quota: 50000 cpu_period: 100000 } }'
    ask UpdateContainerResources "container_id: '$container' linux { memory_limit_in_bytes: 100663296 cpu_quota: 25000 cpu_period: 100000 }"
    says '^100663296$' limit memory/memory.limit_in_bytes memory.max
    says '^25000( 100000)?$' limit cpu/cpu.cfs_quota_us cpu.max
}
feature_out_of_memory() {
    start_pod oom
    start_container oom 'linux { resources { memory_limit_in_bytes: 16777216 } }' sh -c 'exec tail /dev/zero'
    within 30 exited 137
}
feature_out_of_memory_told() {
    start_pod oom
    start_container oom 'linux { resources { memory_limit_in_bytes: 16777216 } }' sh -c 'exec tail /dev/zero'
    within 30 says 'reason: "OOMKilled"' ask ContainerStatus "container_id: '$container'"
}
feature_stats() {
    stay stats
    within 20 says 'working_set_bytes' ask ContainerStats "container_id: '$container'"
}
feature_pid_of_pod() {
    local shared='security_context { namespace_options { pid: POD network: NODE } }'
    start_pod shared "$shared"
    start_container one "linux { $shared }" sleep 1001
    start_container two "linux { $shared }" sleep 1002
    says 'sleep 1001' exec_in ps
    says 'sleep 100000' exec_in ps
    start_container alone 'linux { security_context { namespace_options { pid: CONTAINER network: NODE } } }' sleep 1003
    says '^ *1 .*sleep 1003' exec_in ps
}
# NAMESPACE: the container has the machine's.
same() { says "^$(readlink "/proc/self/ns/$1" | sed 's/[][]/\\&/g')" exec_in readlink "/proc/self/ns/$1"; }
feature_namespaces_of_host() {
    local host='security_context { namespace_options { pid: NODE network: NODE ipc: NODE } }'
    start_pod node "$host"
    start_container node "linux { $host }" sleep 1000
    same pid
    same net
    same ipc
}
feature_hostname_and_sysctl() {
    start_pod named "sysctls { key: 'net.ipv4.ip_default_ttl' value: '42' }" "hostname: 'named'"
    start_container named '' sleep 1000
    says '^named' exec_in hostname
    says '^42' exec_in cat /proc/sys/net/ipv4/ip_default_ttl
}
feature_network() {
    local address
    start_pod server ''
    start_container server '' httpd -f -h /etc
    address=$(ask PodSandboxStatus "pod_sandbox_id: '$pod'" | field ip)
    start_pod client ''
    start_container client '' sleep 1000
    within 10 exec_in wget -q -O - "http://$address/passwd"
}
feature_ten_at_once() {
    local number pids
    for number in {0..9}; do { stay "many$number" && says '^hello$' exec_in echo hello; } & pids[number]=$!; done
    for number in {0..9}; do wait "${pids[number]}"; done
}
# A node gets the document's lines of TOML; a cluster gets those of YAML, which have to name the same handler.
feature_document() {
    # The lines leave a pod's cgroup to the runtime.
    local document=$HERE/../../docs/containerd.md handler parent=/engines
    install -D "$wolffia" /usr/local/bin/wolffia
    configure "$(sed -n '/^```toml$/,/^```$/{/^```/d;p}' "$document")"
    handler=$(sed -n '/^```yaml$/,/^```$/s/^handler: //p' "$document")
    kill "$(<"$scratch/containerd.pid")"
    within 20 test ! -d "/proc/$(<"$scratch/containerd.pid")"
    start_containerd
    stay document
    says "runtime_handler: \"$handler\"" ask PodSandboxStatus "pod_sandbox_id: '$pod'"
    says '^hello$' exec_in echo hello
}
