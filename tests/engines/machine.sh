#!/bin/bash
#! A whole Debian host in namespaces, with systemd as its init: for tests/engines.
#!
#! machine.sh DIRECTORY NAME SOURCES [TREE]
#!
#! DIRECTORY is an empty one of the caller's. The host has the caller's network namespace, and
#! everything else of its own: what it writes stays in memory, over the root of this machine or TREE, and is
#! gone with it. It starts none of the services that are installed here, and has the project's SOURCES
#! at /root/lone64. DIRECTORY/pid tells its init, as a process of the caller's.
#!
#! It ends when standard input does, so also when the caller is killed, and leaves nothing behind.
set -euo pipefail

if [ "$1" != --inside ]; then
    directory=$1
    cgroups=$(awk '$3 == "cgroup2" { print $2; exit }' /proc/mounts)
    group=$cgroups/$(basename "$directory")
    mkdir "$group"
    (
        echo "$BASHPID" >"$group/cgroup.procs"
        exec unshare --mount --pid --uts --ipc --cgroup --fork --kill-child=KILL \
            "$BASH" "$0" --inside "$@" </dev/null
    ) &
    outer=$!
    cat >/dev/null || true
    # An init is reaped after everything in its namespace, so that nothing runs after the wait.
    kill -KILL "$(cat "$directory/pid")" 2>/dev/null || kill -KILL $outer 2>/dev/null || true
    wait $outer 2>/dev/null || true
    find "$group" -depth -type d -exec rmdir {} \;
    rm -rf "$directory"
    exit
fi

directory=$2 name=$3 sources=$4 tree=${5:-/}
# /proc is still the caller's: what is read here is this process as it is seen from there.
read -r pid _ </proc/self/stat
exec 3>"$directory/pid"

mount --make-rprivate /
mount -t tmpfs -o mode=755 tmpfs "$directory"
mkdir "$directory"/{upper,work,root}
mount -t overlay -o "lowerdir=$tree,upperdir=$directory/upper,workdir=$directory/work" overlay "$directory/root"
root=$directory/root

# What is installed on this machine is there, as on a fresh one, but does not run.
units=$root/etc/systemd/system
rm -rf "$units"/*.wants "$root/etc/lone64"
# Programs that are no packages' are not on a fresh one.
rm -rf "$root"/usr/local/{bin,sbin}/*
rm -f "$units/default.target" "$root/etc/fstab" "$root/usr/sbin/policy-rc.d"
mkdir -p "$root/etc/systemd/system-generators"
ln -s /dev/null "$root/etc/systemd/system-generators/systemd-sysv-generator"
ln -s /lib/systemd/system/multi-user.target "$units/default.target"
# Devices, modules and packages are this machine's, and stay as they are.
for unit in systemd-udevd.service systemd-udev-trigger.service systemd-udevd-kernel.socket \
    systemd-udevd-control.socket systemd-modules-load.service apt-daily.timer apt-daily-upgrade.timer; do
    ln -sf /dev/null "$units/$unit"
done
# A version that could be newer cannot be fetched from here: what is installed is the newest.
rm -rf "$root"/var/lib/apt/lists/*
echo "$name" >"$root/etc/hostname"
printf '127.0.0.1 localhost\n::1 localhost\n127.0.1.1 %s\n' "$name" >"$root/etc/hosts"

mkdir "$root/root/lone64" "$directory"/{checkout,checkout.work}
mount -t overlay -o "lowerdir=$sources,upperdir=$directory/checkout,workdir=$directory/checkout.work" \
    overlay "$root/root/lone64"
mount -t proc proc "$root/proc"
# Of the kernel's settings only those of the network are the host's own.
mount --bind "$root/proc/sys" "$root/proc/sys"
mount --bind "$root/proc/sys/net" "$root/proc/sys/net"
mount -o remount,bind,ro "$root/proc/sys"
mount -t sysfs sysfs "$root/sys"
mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
mount -t tmpfs -o mode=755 tmpfs "$root/dev"
for device in null zero full random urandom tty; do
    touch "$root/dev/$device"
    mount --bind "/dev/$device" "$root/dev/$device"
done
mkdir -p "$root"/dev/{net,pts,shm}
mknod "$root/dev/net/tun" c 10 200
mount -t devpts -o newinstance,ptmxmode=0666 devpts "$root/dev/pts"
ln -s pts/ptmx "$root/dev/ptmx"
ln -s /proc/self/fd "$root/dev/fd"
ln -s fd/0 "$root/dev/stdin"
ln -s fd/1 "$root/dev/stdout"
ln -s fd/2 "$root/dev/stderr"
mount -t tmpfs -o mode=1777 tmpfs "$root/dev/shm"
mount -t tmpfs -o mode=755 tmpfs "$root/run"
mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"

echo "$pid" >&3
exec 3>&-
cd "$root"
mkdir -p .outside
# Not chroot: whoever enters a namespace of the host's is to find the host's root there.
pivot_root . .outside
exec env -i container=lone64 PATH=/usr/sbin:/usr/bin:/sbin:/bin /bin/bash -c \
    'umount -l /.outside && rmdir /.outside && exec /lib/systemd/systemd --log-target=console'
