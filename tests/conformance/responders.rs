//! The responders that are known, and how each is started in the host's namespace.

use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::{env, fs, process};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use crate::lab::{C, GUEST, Lab};

/// Something that answers.
#[derive(Clone)]
pub(crate) struct Responder {
    /// As the table names it.
    pub(crate) name: &'static str,
    /// What prints its version, for the page.
    version: &'static str,
    /// What the shell runs; see the page.
    pub(crate) command: String,
}

impl Responder {
    /// Those of the table.
    pub(crate) fn known() -> Vec<Self> {
        vec![Self::lone64(), Self::ndppd(), Self::npd6(), Self::kernel()]
    }

    pub(crate) fn lone64() -> Self {
        let command = format!(
            "exec {} run --upstream $UPSTREAM --range $PREFIX=$DOWNSTREAM --socket $DIRECTORY/control.sock",
            env!("CARGO_BIN_EXE_lone64")
        );
        Self { name: "lone64", version: "echo lone64 of this commit", command }
    }

    fn ndppd() -> Self {
        let command = "printf 'proxy %s {\\n  router no\\n  rule %s {\\n    iface %s\\n  }\\n}\\n' \
                       $UPSTREAM $PREFIX $DOWNSTREAM >$DIRECTORY/ndppd.conf; exec ndppd -c $DIRECTORY/ndppd.conf";
        let version = "dpkg-query -Wf 'ndppd ${Version}' ndppd";
        Self { name: "ndppd", version, command: command.to_owned() }
    }

    fn npd6() -> Self {
        let command = "printf 'prefix = %s\\ninterface = %s\\n' $PREFIX $UPSTREAM >$DIRECTORY/npd6.conf; \
                       exec npd6 -f -l /dev/null -c $DIRECTORY/npd6.conf";
        Self { name: "npd6", version: "dpkg-query -Wf 'npd6 ${Version}' npd6", command: command.to_owned() }
    }

    /// Without its random delay of up to 0.8 seconds.
    fn kernel() -> Self {
        let command = "sysctl -qw net.ipv6.conf.$UPSTREAM.proxy_ndp=1 net.ipv6.neigh.$UPSTREAM.proxy_delay=0; \
                       exec ip -6 neigh add proxy $GUEST dev $UPSTREAM";
        Self { name: "kernel", version: "echo Linux $(uname -r | cut -d- -f1)", command: command.to_owned() }
    }

    pub(crate) fn of_command(command: &str) -> Self {
        Self { name: "responder", version: "true", command: command.to_owned() }
    }

    /// Which one this is, exactly.
    pub(crate) fn version(&self) -> String {
        let output = Command::new("sh").args(["-c", self.version]).output().expect("a shell");
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// Starts it. It need not answer yet.
    pub(crate) fn start(&self, lab: &Lab) -> Running {
        let directory = env::temp_dir().join(format!("lone64-conformance-{}-{}", process::id(), self.name));
        fs::create_dir_all(&directory).expect("a temporary directory");
        let mut command = Command::new("sh");
        command
            .args(["-c", &self.command])
            .env("PATH", format!("{}:/usr/sbin:/sbin", env::var("PATH").unwrap_or_default()))
            .env("UPSTREAM", "up0")
            .env("DOWNSTREAM", "br0")
            .env("PREFIX", C)
            .env("GUEST", GUEST.to_string())
            .env("DIRECTORY", &directory)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0);
        Running { child: lab.host.spawn(&mut command), directory }
    }
}

/// A responder at work; stopped when dropped, with all that it has started.
pub(crate) struct Running {
    child: Child,
    directory: PathBuf,
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself. What it has in the kernel goes with the lab.
        let _ = killpg(Pid::from_raw(self.child.id() as i32), Signal::SIGKILL);
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.directory);
    }
}
