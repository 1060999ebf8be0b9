//! Other names for interfaces that are up, as users give them, also on kernels that refuse that.

use std::sync::OnceLock;

use crate::namespace::Namespace;

impl Namespace {
    /// Gives an interface that is up another name. Where it has to be down for that, it is up again at the end, and
    /// `lost` puts back what it has lost.
    pub(crate) fn rename(&self, from: &str, to: &str, lost: &str) {
        match renames_what_is_up() {
            true => self.ip(&format!("link set {from} name {to}")),
            false => {
                self.ip(&format!("link set {from} down\nlink set {from} name {to}\nlink set {to} up\n{lost}"))
            }
        }
    }
}

/// Whether the kernel gives another name to an interface that is up. It does so since Linux 6.2.
pub(crate) fn renames_what_is_up() -> bool {
    static IT_DOES: OnceLock<bool> = OnceLock::new();
    *IT_DOES.get_or_init(|| Namespace::new().try_ip("link set lo name lo1").is_ok())
}
