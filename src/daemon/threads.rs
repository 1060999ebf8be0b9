//! The two threads of the daemon: that of the loop, which waits for frames, and that of Tokio, which waits for all the rest.
//!
//! So a question costs a look at one epoll instance that holds packet sockets and a bell, and Tokio's timers, tasks and
//! sockets cost a question nothing.

use std::io;
use std::thread;
use std::time::Duration;

use tokio::sync::oneshot;

use crate::kernel::ready::Queue;

/// Runs what `make` makes to its end on this thread, within a Tokio runtime whose waiting is done by another thread. That
/// thread begins here, in the network namespace of this one.
pub fn run<F: Future>(make: impl FnOnce(Queue) -> F) -> io::Result<F::Output> {
    let ready = Queue::new()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build()?;
    let handle = runtime.handle().clone();
    let (stop, stopped) = oneshot::channel::<()>();
    let tokio = thread::Builder::new().name("tokio".to_owned()).spawn(move || {
        // It is never sent: the other end goes.
        let _ = runtime.block_on(stopped);
        // A file that is being read again, on a disk that does not answer, holds up no exit.
        runtime.shutdown_timeout(PATIENCE);
    })?;
    let entered = handle.enter();
    let output = ready.run(make(ready.clone()));
    drop(entered);
    drop(stop);
    // It does nothing that panics.
    let _ = tokio.join();
    Ok(output)
}

/// The kernel closes packet sockets within some 20 ms each, many at a time.
const PATIENCE: Duration = Duration::from_secs(1);
