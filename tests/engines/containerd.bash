# containerd, by ctr.
source "$HERE/check.bash"

readonly image=docker.io/library/busybox:latest
readonly states=(/run/containerd/runc/default /run/wolffia)

start() {
    containerd &>"$scratch/containerd.log" &
    within 30 ctr version
    make_archive "$scratch"
    ctr image import "$scratch/image.tar"
}

run() { ctr run --runc-binary "$runtime" "$@"; }
once() { run --rm "${@:1:$#-1}" "${@: -1}"; }
