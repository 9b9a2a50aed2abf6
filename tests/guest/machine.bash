# What `build` and `run` share: where the image lies, and the machine that it is for. Sourced by bash.

readonly RELEASE=trixie
readonly HERE=$(dirname "$(realpath "${BASH_SOURCE[0]}")")
readonly CACHE=${WOLFFIA_TESTS_CACHE:-/var/tmp/wolffia-tests-$UID}/guest
# How long a boot may take where nothing but emulation works and other work goes on.
readonly BOOT_SECONDS=600
readonly MEMORY=2G PROCESSORS=2
# psi: Debian's kernel has pressure stall information, and leaves it off. no_timer_check: the kernel panics where an emulated timer ticks too
# seldom, because other work goes on.
readonly KERNEL_COMMAND_LINE='console=ttyS0 quiet panic=-1 mitigations=off psi=1 no_timer_check'

fail() {
    printf 'tests/guest: %s\n' "$*" >&2
    exit 125
}

digest() { sha256sum | cut -c1-16; }

# PACKAGE PROGRAM…: exits with what to install if a program is missing.
require() {
    local missing=()
    while (($#)); do
        command -v "$2" >/dev/null || missing+=("$1")
        shift 2
    done
    ((${#missing[@]})) || return 0
    fail "these Debian packages are missing:

    apt-get install --no-install-recommends ${missing[*]}

On Debian 12, take qemu-system-x86 from backports (apt-get install -t bookworm-backports): it emulates two to three times faster."
}

# Another release, or another line in what makes the image, is another image.
image_directory() { echo "$CACHE/image-$({ echo "$RELEASE"; cat "$HERE"/build "$HERE"/inside/*; } | digest)"; }

# KVM is tried, because some hosts have a /dev/kvm that runs no guest. What came of it is remembered for this version of qemu.
accelerator() {
    local image=$1 remembered
    if [[ -n ${WOLFFIA_GUEST_ACCELERATOR:-} ]]; then
        echo "$WOLFFIA_GUEST_ACCELERATOR"
        return
    fi
    if [[ ! -r /dev/kvm || ! -w /dev/kvm ]]; then
        echo tcg
        return
    fi
    remembered=$image/accelerator-$({ qemu-system-x86_64 --version; grep --max-count=1 'model name' /proc/cpuinfo; } | digest)
    [[ -s $remembered ]] || if kvm_works "$image"; then echo kvm; else echo tcg; fi >"$remembered"
    cat "$remembered"
}

# The initial file system's first line is as far as it gets without a disk.
kvm_works() {
    timeout --kill-after=1 20 qemu-system-x86_64 -accel kvm -cpu host -M q35 -m 512M -nodefaults -no-user-config -display none \
        -no-reboot -kernel "$1/kernel" -initrd "$1/initrd" -append "$KERNEL_COMMAND_LINE" -serial stdio </dev/null 2>/dev/null |
        grep --quiet 'guest: looking for the disk'
}

# Sets `machine`: a saved state fits these options, in this order, and no others.
choose_machine() {
    local image=$1 processor
    case $(accelerator "$image") in
    kvm) processor=(-accel kvm -cpu host) ;;
    tcg) processor=(-accel 'tcg,thread=multi' -cpu 'EPYC,check=off') ;;
    *) fail "WOLFFIA_GUEST_ACCELERATOR is kvm or tcg" ;;
    esac
    machine=("${processor[@]}" -M q35 -smp "$PROCESSORS" -m "$MEMORY" -nodefaults -no-user-config -display none -no-reboot
        -append "$KERNEL_COMMAND_LINE" -device virtio-rng-pci
        # Tells a resumed kernel to seed its random numbers anew.
        -device 'vmgenid,guid=auto'
        -device virtio-blk-pci,drive=disk
        -device virtio-9p-pci,fsdev=host,mount_tag=host
        -device virtio-serial-pci
        -device virtserialport,chardev=control,name=control
        -device virtserialport,chardev=stdout,name=stdout
        -device virtserialport,chardev=stderr,name=stderr)
}

# The saved state depends on the machine and on the program that emulates it.
state_path() {
    local image=$1
    {
        qemu-system-x86_64 --version
        printf '%s\n' "${machine[@]}"
        [[ ${machine[1]} != kvm ]] || grep --max-count=1 'model name' /proc/cpuinfo
    } | digest | sed "s|^|$image/state-|"
}

# NAME DIRECTORY: options for a serial port that is two fifos, DIRECTORY/NAME.in and .out. It never closes, because a resumed guest
# would wait for ever at a port that did.
port() {
    mkfifo "$2/$1.in" "$2/$1.out"
    printf '%s\n' -chardev "pipe,id=$1,path=$2/$1"
}

# SECONDS PID DESCRIPTOR VARIABLE: reads a line from a guest that runs as process PID. False if time is over or the process ends.
read_line() {
    local until=$((SECONDS + $1)) whole=
    while ((SECONDS < until)); do
        # A second may end in the middle of a word.
        ! IFS= read -r -t 1 -u "$3" "$4" || { printf -v "$4" %s "$whole${!4}" && return 0; }
        whole+=${!4}
        kill -0 "$2" 2>/dev/null || return 1
    done
    return 1
}

# DIRECTORY REASON: with what the guest's kernel said last.
fail_with_console() {
    [[ ! -s $1/console ]] || { echo "the guest's console ends with:" && tail -n 15 "$1/console"; } >&2
    [[ ! -s $1/qemu ]] || cat "$1/qemu" >&2
    fail "$2"
}
