//! The pure core alone, without a kernel: what an answer costs, and how long other inputs hold answers up.
//!
//! ```text
//! cargo bench --bench engine                a minute or two
//! cargo bench --bench engine -- --quick     a short round with smaller hosts
//! ```
//!
//! Three tables. `answers`: bytes of a question in, bytes of an answer out, and the memory of a target.
//! `turns`: the longest single call of the engine for everything that is not a question. `arrivals`:
//! interfaces that come one by one. Each prints its goals as kept or missed; nothing is asserted.

mod answers;
mod arrivals;
mod host;
mod memory;
mod turns;

fn main() {
    // Without --bench it is a test that runs it (cargo test --benches).
    let is_quick = std::env::args().any(|argument| argument == "--quick")
        || !std::env::args().any(|argument| argument == "--bench");
    answers::print(is_quick);
    println!();
    turns::print(is_quick);
    println!();
    arrivals::print(is_quick);
}

/// Whether a goal is met, in a word.
fn verdict(is_met: bool) -> &'static str {
    if is_met { "kept" } else { "missed" }
}
