//! How the provider's verdicts are found out: what is asked, when, and what has come of it.

use core::net::Ipv6Addr;

use super::exam::{Exam, Finding, Occasion, Stage};
use super::standing::{Place, Standing, Who};
use super::{AGAIN, Admission, Asked, Later, MOST_AGAIN, MOST_EXAMS, News, RETRANS_TIMER, SHARED, SLICE};
use crate::engine::effect::Output;
use crate::engine::manners::claims::{dad, question, solicitation_from};
use crate::engine::manners::footing::{Announced, Footing};
use crate::engine::time::Time;

impl Admission {
    /// Does what is due: questions that were not answered, and those that find out why.
    pub fn tick(&mut self, ground: &impl Announced, out: &mut Vec<Output>, now: Time) {
        while let Some((due, key)) = self.unanswered.front().copied().filter(|(due, _)| *due <= now) {
            self.unanswered.pop_front();
            if let Some(asked) = self.asked.get(&key).copied().filter(|asked| asked.due == due) {
                self.asked.remove(&key);
                self.was_not_answered(key.0, asked, ground, now);
            }
        }
        self.look_again(ground, out, now);
        let due = self.exams.iter().filter(|(_, exam)| exam.due <= now).map(|(target, _)| *target);
        for target in due.collect::<Vec<_>>() {
            self.go_on(target, ground, out, now);
        }
        self.begin_those_that_wait(ground, out, now);
        self.try_again(ground, out, now);
        out.append(&mut self.from_host);
        match self.exams.is_empty() {
            true => self.hosts.clear(),
            false => self.hosts.retain(|(_, _, asked), _| now.since(*asked) <= RETRANS_TIMER),
        }
    }

    /// Asks once more for those whose time has come. One that is gone makes room for another.
    fn look_again(&mut self, ground: &impl Announced, out: &mut Vec<Output>, now: Time) {
        let mut looks = std::mem::take(&mut self.later);
        looks.retain_mut(|Later { link, router, target, due }| {
            if due.is_none_or(|due| due > now) {
                return true;
            }
            *due = None;
            let footing = examinable(ground, *target, false, now).filter(|it| it.upstream.link == *link);
            if let Some(footing) = &footing {
                out.push(Output::Solicit(*link, solicitation_from(&footing.upstream, *target, *router)));
                self.asked(*target, ground.number(*target), *router, now);
            }
            footing.is_some()
        });
        self.later = looks;
    }

    fn was_not_answered(&mut self, target: Ipv6Addr, asked: Asked, ground: &impl Announced, now: Time) {
        let number = ground.number(target);
        if examinable(ground, target, false, now).is_some()
            && self.standings.get(target, number) != Standing::Refused
        {
            let next = if asked.was_admitted { Standing::Lost } else { Standing::Waiting };
            self.standings.set(target, number, next);
            self.begin.0.get_or_insert(now + SHARED);
        }
    }

    /// Begins with those that wait, as many as there is room for.
    fn begin_those_that_wait(&mut self, ground: &impl Announced, out: &mut Vec<Output>, now: Time) {
        if self.begin.0.is_none_or(|at| at > now) {
            return;
        }
        self.begin.0 = None;
        let mut place = self.begin.1;
        for _ in 0..SLICE {
            if self.exams.len() >= MOST_EXAMS {
                self.begin.1 = place;
                return;
            }
            let Some(who) = self.standings.next(&[Standing::Waiting, Standing::Lost], &mut place) else {
                self.begin.1 = Place::default();
                return;
            };
            let Some(target) = target_of(who, ground) else { continue };
            let number = ground.number(target);
            match examinable(ground, target, false, now) {
                None => self.standings.set(target, number, Standing::Unknown),
                Some(footing) if self.silent.contains(&footing.upstream.link) => {}
                Some(_) if self.exams.contains_key(&target) => {}
                Some(footing) => {
                    let is_lost = self.standings.get(target, number) == Standing::Lost;
                    let occasion = if is_lost { Occasion::Lost } else { Occasion::New };
                    self.examine(target, &footing, occasion, ground, now);
                    self.go_on(target, ground, out, now);
                }
            }
        }
        self.begin = (Some(now.next()), place);
    }

    /// Some that are refused are made known once more, and tried.
    fn try_again(&mut self, ground: &impl Announced, out: &mut Vec<Output>, now: Time) {
        if self.again.0.is_none_or(|at| at > now) {
            return;
        }
        self.again.0 = (self.count_refused() > 0).then_some(now + AGAIN);
        let mut place = self.again.1;
        let most = if std::mem::take(&mut self.is_over) { MOST_EXAMS } else { MOST_AGAIN };
        for _ in 0..most {
            let Some(who) = self.standings.next(&[Standing::Refused], &mut place) else { break };
            let Some(target) = target_of(who, ground) else { continue };
            match examinable(ground, target, true, now) {
                None => self.standings.set(target, ground.number(target), Standing::Unknown),
                Some(_) if self.exams.contains_key(&target) || self.exams.len() >= MOST_EXAMS => {}
                Some(footing) => {
                    self.examine(target, &footing, Occasion::Again, ground, now);
                    self.bind(target, &footing, out, now);
                }
            }
        }
        self.again.1 = place;
    }

    fn examine(
        &mut self,
        target: Ipv6Addr,
        footing: &Footing,
        occasion: Occasion,
        ground: &impl Announced,
        now: Time,
    ) {
        let link = footing.upstream.link;
        self.exams.insert(target, Exam::new(link, occasion, ground.routers(link), now));
    }

    /// One step on with a target.
    fn go_on(&mut self, target: Ipv6Addr, ground: &impl Announced, out: &mut Vec<Output>, now: Time) {
        let Some(exam) = self.exams.get_mut(&target) else { return };
        let footing = examinable(ground, target, exam.is_bound, now);
        let footing = footing.filter(|footing| footing.upstream.link == exam.link);
        let Some(footing) = footing else {
            self.exams.remove(&target);
            self.standings.set(target, ground.number(target), Standing::Unknown);
            return self.begin_next(now);
        };
        let (link, number) = (exam.link, ground.number(target));
        let asked = match exam.stage {
            Stage::Ask => {
                for router in exam.begin_round(now + RETRANS_TIMER, now) {
                    out.push(Output::Solicit(link, solicitation_from(&footing.upstream, target, router)));
                    self.ask_from_host(&footing, router, now);
                }
                return;
            }
            Stage::Look(asked) => asked,
        };
        let hosts = &self.hosts;
        let hears_host = |router| hosts.get(&(link, router, asked)).is_some_and(|is_answered| *is_answered);
        let finding = exam.look(hears_host);
        let (is_bound, occasion) = (exam.is_bound, exam.occasion);
        match finding {
            Finding::Bind => return self.bind(target, &footing, out, now),
            Finding::Ask => {
                exam.stage = Stage::Ask;
                return self.go_on(target, ground, out, now);
            }
            Finding::Admitted => {
                if is_bound {
                    self.news.push(News::Bound(target));
                }
                if is_bound && occasion == Occasion::Lost {
                    self.forgets(link, target, now);
                }
                match is_bound {
                    true => self.note_bound(target, now),
                    false => self.trust(target, now),
                }
                self.admit(target, number, link, now);
            }
            Finding::Refused(router) => {
                if self.standings.get(target, number) != Standing::Refused {
                    self.refusing.insert(link, router);
                    self.news.push(News::Refused(target, link, router));
                }
                self.standings.set(target, number, Standing::Refused);
                self.again.0.get_or_insert(now + AGAIN);
            }
            Finding::Silent => _ = self.silent.insert(link),
        }
        self.exams.remove(&target);
        self.begin_next(now);
    }

    /// Another may begin.
    fn begin_next(&mut self, now: Time) {
        if self.standings.count(Standing::Waiting) + self.standings.count(Standing::Lost) > 0 {
            self.begin.0.get_or_insert(now);
        }
    }

    /// A switch learns from this that the target is here; a guest on the upstream's own link would take it for a
    /// conflict, and is asked for as hosts ask for each other.
    fn bind(&mut self, target: Ipv6Addr, footing: &Footing, out: &mut Vec<Output>, now: Time) {
        let Some(exam) = self.exams.get_mut(&target) else { return };
        (exam.is_bound, exam.stage, exam.due) = (true, Stage::Ask, now + RETRANS_TIMER);
        let asked = match footing.is_shared {
            true => question(&footing.upstream, target),
            false => Some(dad(&footing.upstream, target)),
        };
        out.extend(asked.map(|asked| Output::Solicit(exam.link, asked)));
    }

    /// The router is asked from both of the host's addresses, once for all targets of the same moment.
    fn ask_from_host(&mut self, footing: &Footing, router: Ipv6Addr, now: Time) {
        let upstream = &footing.upstream;
        if self.hosts.insert((upstream.link, router, now), false).is_some() {
            return;
        }
        for source in [upstream.link_local, upstream.global].into_iter().flatten() {
            let question = solicitation_from(upstream, source, router);
            self.from_host.push(Output::Solicit(upstream.link, question));
        }
    }
}

fn target_of(who: Who, ground: &impl Announced) -> Option<Ipv6Addr> {
    match who {
        Who::Guest(number) => ground.guest(number),
        Who::Other(target) => Some(target),
    }
}

/// Nothing is asked from the address of a target that is not announced, or that another station may have: the link was
/// asked, or is asked before.
fn examinable(ground: &impl Announced, target: Ipv6Addr, is_asked: bool, now: Time) -> Option<Footing> {
    let is_theirs = |footing: &Footing| footing.is_disputed || footing.is_kept;
    let is_fit =
        |footing: &Footing| footing.is_announced && !is_theirs(footing) && (footing.is_free || is_asked);
    ground.footing(target, now).filter(is_fit)
}
