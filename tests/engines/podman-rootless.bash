# Podman, as a user.
source "$HERE/user.bash"
engine=podman
((UID)) || engine=$scratch/podman
readonly engine lists=("$HERE"/{containers,podman-common,podman-rootless}.bash)
source "$HERE/podman-common.bash"

# One word, where that has to be one.
[[ $engine == podman || -e $engine ]] || {
    printf '#!/bin/sh\nexec %s podman "$@"\n' "${as_user[*]}" >"$engine"
    chmod 755 "$engine"
}

feature_keep_id() { says "^uid=$user" once --userns keep-id "$image" id; }
feature_network_slirp() { says 'tap0' once --network slirp4netns "$image" ls /sys/class/net; }
