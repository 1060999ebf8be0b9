//! Whether anything is served.

use crate::engine::house::House;
use crate::engine::plan::idle::Idle;

impl House {
    /// That nothing is served, if it is so.
    pub fn idle(&self) -> Option<Idle> {
        let ours = self.keep.routes.ours();
        Idle::of(&self.plan, &self.host, |route| ours.include(route))
    }
}
