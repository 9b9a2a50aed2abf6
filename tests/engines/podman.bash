# Podman, as root.
readonly engine=podman lists=("$HERE"/{containers,podman-common,podman}.bash)
source "$HERE/podman-common.bash"

feature_network_bridge() {
    local address
    stay server
    "$engine" exec --detach server httpd -f -h /etc
    address=$("$engine" inspect --format '{{.NetworkSettings.IPAddress}}' server)
    within 10 once "$image" wget -q -O - "http://$address/passwd"
}
feature_document() { paste podman.md; }
