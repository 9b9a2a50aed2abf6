# How a feature says what it expects. Sourced by `session`.

# STATUS COMMAND…: succeeds if the command ends with that status.
ends() {
    local expected=$1 status=0
    shift
    "$@" || status=$?
    ((status == expected)) || { echo "status $status instead of $expected: $*"; return 1; }
}

# TEXT COMMAND…: succeeds if the command succeeds and its output holds a line that matches.
says() {
    local pattern=$1 output
    shift
    output=$("$@" 2>&1) || { echo "failed with $?: $*: $output"; return 1; }
    grep -Eq -- "$pattern" <<<"${output//$'\r'/}" || { printf 'no %s in what %s says:\n%s\n' "$pattern" "$*" "$output"; return 1; }
}

# SECONDS COMMAND…: tries the command until it succeeds.
within() {
    local until=$((SECONDS + $1))
    shift
    until "$@" >/dev/null 2>&1; do
        ((SECONDS < until)) || { echo "not in time: $*"; "$@"; return; }
        sleep 0.1
    done
}

# COMMAND…: with a terminal of its own, at which nobody types. Not </dev/null, because `script` types ^D at the end of its input, and
# clients that read that before the container speaks may end without its output, with any runtime.
terminal() {
    [[ -p $scratch/nobody ]] || mkfifo "$scratch/nobody"
    script --quiet --return --command "$(printf '%q ' "$@")" /dev/null <>"$scratch/nobody"
}

# DIR: a root file system of busybox, with a user, as DIR/rootfs, and as DIR/image.tar, the image `busybox` that each engine loads.
make_image() {
    local rootfs=$1/rootfs layer=$1/image/layer.tar applet
    mkdir -p "$1/image" "$rootfs"/{bin,etc,tmp,root,mnt,proc,sys,dev}
    chmod 1777 "$rootfs/tmp"
    cp "$(command -v busybox)" "$rootfs/bin/busybox"
    for applet in $(busybox --list); do [[ -e $rootfs/bin/$applet ]] || ln -s busybox "$rootfs/bin/$applet"; done
    printf 'root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000::/tmp:/bin/sh\n' >"$rootfs/etc/passwd"
    printf 'root:x:0:\nuser:x:1000:\n' >"$rootfs/etc/group"
    # What holds a pod's namespaces.
    printf '#!/bin/sh\nexec sleep 100000\n' >"$rootfs/pause"
    chmod 755 "$rootfs/pause"
    tar --directory "$rootfs" --create --file "$layer" .
    cat >"$1/image/config.json" <<X
{ "architecture": "amd64", "os": "linux", "config": { "Env": ["PATH=/bin"], "Cmd": ["sh"] }, "history": [{ "created_by": "busybox" }],
  "rootfs": { "type": "layers", "diff_ids": ["sha256:$(sha256sum <"$layer" | cut -d' ' -f1)"] } }
X
    echo '[{ "Config": "config.json", "RepoTags": ["docker.io/library/busybox:latest"], "Layers": ["layer.tar"] }]' >"$1/image/manifest.json"
    tar --directory "$1/image" --create --file "$1/image.tar" manifest.json config.json layer.tar
}

# DOCUMENT: runs the lines that the document tells its reader to paste, and expects what the last one prints.
paste() {
    mkdir -p "$scratch/paste"
    cp "$wolffia" "$scratch/paste/wolffia"
    sed -n '/^```sh$/,/^```$/{/^```/d;p};/^```$/q' "$HERE/../../docs/$1" >"$scratch/paste/lines"
    says '^it works$' bash -euc 'cd "$1"; source ./lines' - "$scratch/paste"
}
