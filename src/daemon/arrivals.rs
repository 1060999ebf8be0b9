//! Stations that have arrived, on their way to the engine.
//!
//! May touch: nothing but what the daemon hands it.

use super::Daemon;
use crate::engine::{Input, Time};

impl Daemon {
    /// Those that were heard when the socket for it was read.
    pub(super) fn arrivals(&mut self, now: Time) {
        let arrived = self.frames.ears.take_arrivals();
        if arrived.is_empty() {
            return;
        }
        for (link, mac) in arrived {
            self.engine.handle(Input::Arrived(link, mac), now);
        }
        self.send();
        self.tell(now);
    }
}
