# What Docker is for root and for a user. Sourced by `docker.bash` and `docker-rootless.bash`, which define `start_daemon`.
source "$HERE/containers.bash"

readonly engine=docker image=busybox device=/dev/full exec_missing=126

# FILE
configure() { echo "{ \"runtimes\": { \"tested\": { \"path\": \"$runtime\" } }, \"default-runtime\": \"tested\" }" >"$1"; }
start() {
    start_daemon
    within 60 docker info
    make_image "$scratch"
    docker load --input "$scratch/image.tar"
}

remove() { docker rm --force "$@"; }
healthy() { says '^healthy$' docker inspect --format '{{.State.Health.Status}}' "$1"; }
# SINCE [OPTION…]: what has happened.
events() { docker events --since "$1" --until "$(date +%s)" "${@:2}"; }
build() { DOCKER_BUILDKIT=0 docker build --tag built "$1"; }

feature_network_bridge() {
    local address
    stay server
    docker exec --detach server sh -c 'echo hello >/tmp/index.html; httpd -f -h /tmp'
    address=$(docker inspect --format '{{.NetworkSettings.IPAddress}}' server)
    within 10 once "$image" wget -q -O - "http://$address/"
    docker network create mesh
    stay named --network mesh
    says 'named' once --network mesh "$image" nslookup named
    docker run --detach --name published --publish 127.0.0.1:8099:80 "$image" httpd -f -h /etc
    within 10 bash -c 'exec 3<>/dev/tcp/127.0.0.1/8099'
}
feature_update_pids() {
    stay update
    "$engine" update --pids-limit 44 update
    says '^44$' limit update pids/pids.max pids.max
}
feature_out_of_memory_told() {
    docker run --name oom --memory 16m "$image" sh -c 'exec tail /dev/zero' || :
    says '^true$' docker inspect --format '{{.State.OOMKilled}}' oom
}
