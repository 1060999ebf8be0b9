//! Interfaces that come one by one, as at the start of a host with many guests.

use std::time::{Duration, Instant};

use lone64::engine::{Engine, Input};

use crate::host::{NOW, Scene, finish, upstream_facts};
use crate::verdict;

pub(crate) fn print(is_quick: bool) {
    let counts = if is_quick { [10, 20, 40] } else { [100, 200, 400] };
    println!(
        "{:<32} {:>6} {:>12} {:>24}",
        "interfaces that come one by one", "count", "in all", "over half as many"
    );
    let scenes = [("  automatic networks", true), ("  links of a pattern", false)];
    for (what, is_automatic) in scenes {
        let scene = |count| if is_automatic { Scene::Networks(count) } else { Scene::Links(count) };
        let mut before: Option<Duration> = None;
        for count in counts {
            let took = (0..3).map(|_| arrive(scene(count))).min().expect("some rounds");
            let ratio = before.map(|before| took.as_secs_f64() / before.as_secs_f64());
            let growth =
                ratio.map_or(String::new(), |ratio| format!("{ratio:.1}, {}", verdict(ratio <= LINEAR)));
            println!("{what:<32} {count:>6} {:>9.2} ms {growth:>24}", took.as_secs_f64() * 1e3);
            before = Some(took);
        }
    }
}

/// Each link comes with its address and its route, one message at a time, then its guest; the kernel does
/// what it is asked for.
fn arrive(scene: Scene) -> Duration {
    let mut engine = Engine::new(scene.policy(), [1, 2]);
    engine.handle(Input::Facts(upstream_facts()), NOW);
    engine.handle(Input::Synced, NOW);
    finish(&mut engine);
    let start = Instant::now();
    for number in 0..scene.links() {
        for fact in scene.downstream(number).into_iter().chain([scene.found(number)]) {
            engine.handle(Input::Facts(vec![fact]), NOW);
            finish(&mut engine);
        }
    }
    start.elapsed()
}

/// Twice as many may take twice as long, and a little more.
const LINEAR: f64 = 2.5;
