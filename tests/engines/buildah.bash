# Buildah, as root.
readonly image=docker.io/library/busybox:latest
readonly lists=("$HERE/buildah.bash")
readonly states=(/run/runc /run/crun /run/wolffia)

start() {
    make_image "$scratch"
    buildah pull "docker-archive:$scratch/image.tar"
}

warm_up() { container=$(buildah from "$image") && in_it true; clear_away; }
clear_away() { buildah rm --all; }
in_it() { buildah run --runtime "$runtime" "$@"; }

feature_run() {
    container=$(buildah from "$image")
    says '^hello$' in_it "$container" echo hello
    ends 7 in_it "$container" sh -c 'exit 7'
    in_it "$container" touch /kept
    in_it "$container" test -e /kept
}
feature_terminal() {
    container=$(buildah from "$image")
    says '^/dev/pts/0$' terminal buildah run --tty --runtime "$runtime" "$container" tty
}
feature_user_and_volume() {
    container=$(buildah from "$image")
    says '^uid=1000' in_it --user user "$container" id
    in_it --volume "$scratch:/mnt:ro" "$container" test -e /mnt/image.tar
}
feature_isolation() {
    container=$(buildah from "$image")
    says '^lo *$' in_it --network none "$container" ls /sys/class/net
    says '^CapEff:.*0000$' in_it --cap-drop ALL --user 1000 "$container" grep CapEff /proc/self/status
}
feature_build() {
    mkdir -p "$scratch/build"
    printf 'FROM %s\nRUN echo hello >/greeting\nUSER 1000\nRUN id -u >/tmp/user\nCMD ["cat", "/greeting"]\n' "$image" >"$scratch/build/Dockerfile"
    buildah build --runtime "$runtime" --tag built "$scratch/build"
    container=$(buildah from built)
    says '^hello$' in_it "$container" cat /greeting
    says '^1000$' in_it "$container" cat /tmp/user
}
feature_build_failure() {
    mkdir -p "$scratch/failing"
    printf 'FROM %s\nRUN exit 9\n' "$image" >"$scratch/failing/Dockerfile"
    ends 9 buildah build --runtime "$runtime" "$scratch/failing"
}
