# Docker, as a user.
source "$HERE/docker-common.bash"
source "$HERE/user.bash"

export DOCKER_HOST=unix:///run/user/$user/docker.sock
readonly lists=("$HERE"/{containers,docker-common,docker-rootless}.bash)
readonly states=("/run/user/$user/docker/runtime-runc/moby" "/run/user/$user/wolffia")

start_daemon() {
    configure "$scratch/daemon.json"
    # What Debian's script takes unless it is told: slirp4netns for the network.
    "${as_user[@]}" /usr/share/docker.io/contrib/dockerd-rootless.sh --config-file "$scratch/daemon.json" &>"$scratch/dockerd.log" &
}

feature_uid_of_user() {
    stay uid
    says "^ *0 +$user +1$" docker exec uid cat /proc/self/uid_map
    says "^$user$" stat --format %u "/proc/$(docker inspect --format '{{.State.Pid}}' uid)"
}
