# Podman, as a user who has subordinate ids and no cgroup.
readonly engine=$scratch/podman lists=("$HERE"/{containers,podman-common,podman-rootless}.bash)
readonly user=64210
source "$HERE/podman-common.bash"

# The user exists in the private /etc alone.
if [[ ! -e $engine ]]; then
    mkdir -p "$scratch/home" "/run/user/$user"
    chown "$user:$user" "$scratch/home" "/run/user/$user"
    echo "engines:x:$user:$user::$scratch/home:/bin/sh" >>/etc/passwd
    echo "engines:x:$user:" >>/etc/group
    for file in /etc/subuid /etc/subgid; do echo "engines:3000000:65536" >>"$file"; done
    printf '#!/bin/sh\nexec setpriv --reuid=%s --regid=%s --clear-groups env HOME=%s XDG_RUNTIME_DIR=/run/user/%s podman "$@"\n' \
        "$user" "$user" "$scratch/home" "$user" >"$engine"
    chmod 755 "$engine"
fi

feature_keep_id() { says "^uid=$user" once --userns keep-id "$image" id; }
feature_network_slirp() { says 'tap0' once --network slirp4netns "$image" ls /sys/class/net; }
