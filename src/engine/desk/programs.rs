//! Which upstreams have a program in the kernel, and why others have none that are to have one.

use core::net::Ipv6Addr;

use super::Desk;
use crate::engine::answer::{responder, treatment};
use crate::engine::asker::Asker;
use crate::engine::change::Outcome;
use crate::engine::effect::Program;
use crate::engine::event::{NoProgram, Note};
use crate::engine::facts::IfIndex;
use crate::engine::host::links::Links;
use crate::engine::house::House;
use crate::engine::manners::sources::Sources;
use crate::engine::plan::bindings::Upstream;
use crate::engine::policy::Source;
use crate::engine::time::Time;
use crate::wire::program::{Exception, Treatment};

impl Desk {
    /// Which upstreams have a program, and what each is made of, follows the plan.
    pub fn settle_programs(&mut self) {
        self.want_programs();
        self.house.keep.mirror.touch_all();
    }

    /// The same where an asker is an exception that was none, or none any more: what the programs know of guests stays.
    pub(super) fn want_programs(&mut self) {
        self.house.manners.sources.take_excepted();
        let House { plan, host, .. } = &self.house;
        let upstreams = plan.bindings.upstreams.iter().filter(|upstream| host.links.is_up(upstream.link));
        let wanted = upstreams.filter_map(|up| Some((up.link, self.house.program(up)?.ok()?))).collect();
        self.house.keep.mirror.want_programs(&wanted);
    }

    /// What became of a program.
    pub fn program_changed(&mut self, link: IfIndex, outcome: &Outcome, now: Time) {
        self.house.keep.mirror.program_changed(link, outcome, now);
        self.tell_notes();
    }

    /// Where there is no program that is to be there.
    pub(super) fn notes_on_programs(&self) -> impl Iterator<Item = Note> {
        let House { plan, host, .. } = &self.house;
        plan.bindings.upstreams.iter().filter_map(|upstream| {
            // Without an address the daemon does not answer either, which is a problem by itself.
            let why = self.house.no_program(upstream.link).filter(|why| *why != NoProgram::NoAddress)?;
            Some(Note::NoProgram(host.links.get(upstream.link)?.name, why))
        })
    }
}

impl House {
    /// The program that this upstream is to have, or why it cannot have one. None if it is to have none.
    fn program(&self, upstream: &Upstream) -> Option<Result<Program, NoProgram>> {
        let policy = &self.plan.policy.upstreams[upstream.policy];
        if !policy.backend.wants_program() {
            return None;
        }
        let on_crash_answer = policy.on_crash_answer;
        Some(match responder(upstream) {
            _ if self.plan.is_shared(upstream.link) => Err(NoProgram::OwnBridge),
            // The daemon answers from one of them.
            None if upstream.has_several && may_be_global(upstream) => Err(NoProgram::SeveralAddresses),
            None => Err(NoProgram::NoAddress),
            Some(mut responder) => {
                responder.within = self.answered_within(upstream.link);
                // Which source an asker takes is found out by its questions, of which a program passes on what is asked
                // again.
                if upstream.source == Source::Auto {
                    responder.askers = exceptions(upstream, &self.manners.sources, &self.host.links);
                }
                Ok(Program { responder, on_crash_answer })
            }
        })
    }

    /// Why no program answers on this upstream, if it is to have one.
    pub fn no_program(&self, link: IfIndex) -> Option<NoProgram> {
        match self.program(self.plan.upstream(link)?)? {
            Ok(_) => self.keep.mirror.refusal(link).map(|said| NoProgram::Refused(said.to_owned())),
            Err(why) => Some(why),
        }
    }

    /// Whether a program in the kernel answers on this upstream.
    pub fn has_program(&self, link: IfIndex) -> bool {
        self.keep.mirror.is_on(link)
    }

    /// For how many guests the program of this upstream answers.
    pub fn count_mirrored_on(&self, link: IfIndex) -> usize {
        self.keep.mirror.count_on(link)
    }

    /// The upstream whose program answers for the target by itself.
    pub fn program_of(&self, target: Ipv6Addr) -> Option<IfIndex> {
        self.keep.mirror.answers_on(target).or_else(|| self.keep.mirror.ranges.answers_on(target))
    }
}

/// Whether its answers may come from one of its global addresses, whichever that is.
fn may_be_global(upstream: &Upstream) -> bool {
    matches!(upstream.source, Source::Auto | Source::Scope | Source::Global) && upstream.global.is_some()
}

/// The askers on this upstream that are treated otherwise than by its policy.
fn exceptions(upstream: &Upstream, sources: &Sources, links: &Links) -> Vec<Exception> {
    let Some(link) = links.get(upstream.link) else { return Vec::new() };
    let all = sources.exceptions(upstream.link, link.name).into_iter();
    all.map(|((mac, address), kept)| {
        let asker = Asker { link: upstream.link, mac, address };
        let treatment = kept.map_or(Treatment::PassOn, |kept| treatment(upstream, &asker, kept, links));
        Exception { mac, address, treatment }
    })
    .collect()
}
