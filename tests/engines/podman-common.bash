# What Podman is for root and for a user. Sourced by `podman.bash` and `podman-rootless.bash`, which define `engine`.
source "$HERE/containers.bash"

readonly image=docker.io/library/busybox:latest device=/dev/full exec_missing=127
readonly states=(/run/runc /run/crun /run/wolffia)

start() {
    local file=/etc/containers/containers.conf manager=cgroupfs
    # A user whom root has become nobody to is told by the machine's file, others by one of their own.
    ((UID == 0)) || { file=$scratch/containers.conf && export CONTAINERS_CONF=$file; }
    [[ ! -d /run/systemd/system ]] || manager=systemd
    mkdir -p "${file%/*}"
    # Logs lie in files: root's would be in the journal where there is one, which ended after 4 of 8 MB.
    cat >"$file" <<X
[containers]
default_ulimits = ["nofile=1024:$(ulimit -Hn)", "nproc=4096:4096"]
init_path = "/usr/bin/docker-init"
log_driver = "k8s-file"
[engine]
cgroup_manager = "$manager"
events_logger = "file"
runtime = "$runtime"
X
    make_image "$scratch"
    "$engine" load --input "$scratch/image.tar"
}

remove() { "$engine" rm --force --time 0 "$@"; }
healthy() { "$engine" healthcheck run "$1"; }
# SINCE [OPTION…]: what has happened. With an --until that is past, Podman tells nothing of its file of events (podman issue 29579).
events() { "$engine" events --stream=false --since "$@"; }
build() { "$engine" build --tag built "$1"; }

feature_pod() {
    "$engine" pod create --name pod --infra-image "$image" --infra-command /pause
    stay one --pod pod
    says '^hello$' "$engine" exec one echo hello
    "$engine" pod rm --force --time 0 pod
}
