//! The root of a container that is busybox and nothing else, because no image can be fetched here.

use crate::machine::Machine;

/// Makes one in a directory of the host. Its init sleeps until it is told to end (SIGRTMIN+3).
pub(crate) fn root(host: &Machine, directory: &str) {
    host.type_in(&format!(
        "mkdir -p {directory}/bin {directory}/sbin {directory}/usr/bin {directory}/etc {directory}/proc
         mkdir -p {directory}/dev {directory}/sys {directory}/tmp {directory}/run {directory}/root {directory}/var
         cp /bin/busybox {directory}/usr/bin/
         busybox --install -s {directory}/bin
         printf '#!/bin/sh\ntrap \"exit 0\" 37\nwhile :; do sleep 100000 & wait; done\n' >{directory}/sbin/init
         chmod 755 {directory}/sbin/init
         echo ID=busybox >{directory}/etc/os-release"
    ));
}

/// Lets engines map the users of containers. In a user namespace the kernel mounts a `/proc` only where another one is
/// seen whole, and that of the host has parts that are read-only.
pub(crate) fn may_map_users(host: &Machine) {
    host.type_in(
        "mkdir -p /dev/.whole/proc /dev/.whole/sys
         mount -t proc proc /dev/.whole/proc
         mount -t sysfs sysfs /dev/.whole/sys",
    );
}
