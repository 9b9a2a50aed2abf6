# Who the user is where an engine runs without root: whoever runs this, or for root one who has subordinate ids and no cgroup, and exists
# in the private /etc alone. Sets `user`, and `as_user`, what a command of his begins with.
if ((UID)); then
    user=$UID as_user=()
else
    user=64210
    as_user=(setpriv "--reuid=$user" "--regid=$user" --clear-groups env "HOME=$scratch/home" "XDG_RUNTIME_DIR=/run/user/$user")
    if ! grep -q '^engines:' /etc/passwd; then
        mkdir -p "$scratch/home" "/run/user/$user"
        chown "$user:$user" "$scratch/home" "/run/user/$user"
        echo "engines:x:$user:$user::$scratch/home:/bin/sh" >>/etc/passwd
        echo "engines:x:$user:" >>/etc/group
        for file in /etc/subuid /etc/subgid; do echo "engines:3000000:65536" >>"$file"; done
    fi
fi
readonly user as_user
