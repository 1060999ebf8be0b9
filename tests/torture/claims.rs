//! Addresses that are claimed: they live from the reply on, whatever happens to lone64, until they are released.

use std::net::Ipv6Addr;

use crate::chance::Chance;
use crate::lab::c;
use crate::world::World;

/// Claims one that no guest has. While files cannot be written it counts, and is written later: a kill may lose it.
pub(crate) fn claim(world: &mut World, chance: &mut Chance) {
    let address = place(chance.between(0, PLACES));
    // It may count from now on, and it must from the reply on.
    world.village.may_be_claimed(address);
    let request = format!(r#"{{"method":"claim","params":{{"what":["{address}"],"for":"1h"}}}}"#);
    if world.daemon.ask(&request).is_some_and(|reply| reply["error"].is_null())
        && !world.daemon.may_not_write()
    {
        world.village.is_claimed(address);
    }
}

/// Releases one of them.
pub(crate) fn release(world: &mut World, chance: &mut Chance) {
    if let Some(address) = chance.of(&world.village.claimed()).copied() {
        give_up(world, address);
    }
}

/// Those of which it is not known whether they are claimed are claimed no more.
pub(crate) fn settle(world: &mut World) {
    for address in world.village.perhaps_claimed() {
        give_up(world, address);
    }
}

fn give_up(world: &mut World, address: Ipv6Addr) {
    world.village.may_be_claimed(address);
    let request = format!(r#"{{"method":"release","params":{{"what":["{address}"]}}}}"#);
    // That there is no such claim is good, too.
    if world.daemon.ask(&request).is_some() && !world.daemon.may_not_write() {
        world.village.is_released(address);
    }
}

const fn place(number: u64) -> Ipv6Addr {
    c(0x200 + number as u16)
}

const PLACES: u64 = 8;
