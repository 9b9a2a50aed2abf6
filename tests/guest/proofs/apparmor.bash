#!/bin/bash
# A profile like those of engines: it forbids one file that permissions allow. As root, who loads it. Runs in the guest.
set -u
source /host/checks.bash

work=$(mktemp --directory --tmpdir="$HOME")
cd "$work"
cp /host/wolffia .
mkdir -p rootfs/bin
cp /bin/busybox rootfs/bin/
ln -s busybox rootfs/bin/sh
ln -s busybox rootfs/bin/cat
echo open >rootfs/open
echo secret >rootfs/secret
apparmor_parser --add <<'PROFILE'
profile wolffia-proof flags=(attach_disconnected,mediate_deleted) {
    file,
    capability,
    network,
    signal,
    deny /secret rwklx,
}
PROFILE

# PROFILE: a configuration in which the payload waits.
configure() {
    rm -f config.json
    ./wolffia spec
    jq --arg profile "$1" '.process.terminal = false | .process.args = ["/bin/sh", "-c", "sleep 1000"] | .process.apparmorProfile = $profile' \
        config.json >draft && mv draft config.json
}

configure wolffia-proof
check "a container with a profile starts" eval './wolffia run --detach --pid-file pid held </dev/null >out 2>&1'
check "init is held by it" equal "$(tr -d '\0' <"/proc/$(<pid)/attr/current")" "wolffia-proof (enforce)"
check "exec is held by it" equal "$(./wolffia exec held cat /proc/self/attr/current)" "wolffia-proof (enforce)"
check "what it allows is allowed" equal "$(./wolffia exec held cat /open)" open
check "what it denies is denied" equal "$(./wolffia exec held cat /secret 2>&1)" "cat: can't open '/secret': Permission denied"
./wolffia delete --force held
configure ''
./wolffia run --detach free </dev/null >out 2>&1
check "without the profile it is not" equal "$(./wolffia exec free cat /secret)" secret
./wolffia delete --force free
configure no-such-profile
check "a profile that is not loaded is an error" eval '! ./wolffia run --detach lost </dev/null >out 2>&1'
check "which names it" grep --quiet no-such-profile out
check "and nothing is left" equal "$(./wolffia list --quiet)" ""
conclude
