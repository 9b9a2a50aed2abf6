# Docker, as root, with the runtime as its default.
source "$HERE/docker-common.bash"

readonly lists=("$HERE"/{containers,docker-common,docker}.bash)
readonly states=(/run/docker/runtime-runc/moby /run/wolffia)

start_daemon() {
    mkdir -p /etc/docker
    configure /etc/docker/daemon.json
    dockerd --pidfile /run/docker.pid &>"$scratch/dockerd.log" &
}

feature_privileged() { once --privileged "$image" mount -t tmpfs none /mnt; }
feature_document() {
    # The daemon is no service here; it reads the file when it starts.
    systemctl() { [[ $1 == restart ]] && restart; }
    export -f systemctl restart within
    export scratch
    paste docker.md
}

restart() {
    kill "$(cat /run/docker.pid)"
    within 20 test ! -e /run/docker.pid
    dockerd --pidfile /run/docker.pid &>>"$scratch/dockerd.log" &
    within 30 docker info
}
