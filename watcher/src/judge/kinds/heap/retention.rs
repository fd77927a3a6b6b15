//! What holds the heap of programs that record no heap profile: live objects in the spans that each stack has filled
//! since it was watched.

use super::lines::{self, Kept};
use crate::judge::judgement::Finding;
use crate::judge::weigh::evidence::Evidence;
use crate::observed::ledger::{Site, Spans};
use crate::store::Captures;

/// So much of what was created must have ended for it to be said that old ones go.
const ENDED: f64 = 0.1;
/// What a stack creates is sampled, and the first of it that is kept was made no later than in this part of the time; of
/// many objects sooner.
const EARLY: f64 = 0.1;
const EARLY_OF_MANY: f64 = 0.05;
const MANY: u64 = 200;
/// Of fewer objects nothing is said: a slice that is appended to is replaced by a larger one again and again.
const LEAST_REPLACED: u64 = 32;

/// Of what the stack has made early nothing is left: it holds its newest things only, as work in progress or a store of a
/// fixed size does, and is no part of what stays.
fn is_replaced(site: &Site<Spans>, watched: f64) -> bool {
    let ended = site.ended as f64 >= ENDED * site.created as f64;
    let early = if site.what.objects >= MANY { EARLY_OF_MANY } else { EARLY };
    ended && site.what.objects >= LEAST_REPLACED && site.oldest.as_secs_f64() < (1.0 - early) * watched
}

/// Names the lines whose objects are live. Spans are taken from the system and filled by whoever comes next, so a
/// stack's part is an estimate; but what churns leaves no live objects behind, and what is kept does.
pub(super) fn attribute(finding: &mut Finding, captures: &Captures) {
    let Some(ledger) = captures.spans.last() else { return };
    let watched = ledger.watched().as_secs_f64();
    let sites = || ledger.sites.iter().filter(|site| !site.stack.is_empty() && site.what.bytes > 0);
    // Where nothing stays for good, what is replaced is all there is to name.
    let all_are_replaced = sites().all(|site| is_replaced(site, watched));
    let sites = sites().filter(|site| all_are_replaced || !is_replaced(site, watched));
    let kept: Vec<Kept> = sites
        .map(|site| Kept {
            stack: &site.stack,
            bytes: site.what.bytes,
            objects: site.what.objects,
            object_bytes: site.what.bytes.checked_div(site.what.objects),
        })
        .collect();
    crate::judge::kinds::heap::asker::name_asker(finding, captures, &kept);
    if let Some(top) = lines::name(finding, &kept, captures.main_module.as_deref()) {
        finding.evidence.push(Evidence::Retained {
            bytes: top.bytes,
            objects: top.objects,
            share: top.share,
            seconds: ledger.watched().as_secs_f64(),
        });
        top.add_sizes(finding);
    }
}

#[cfg(test)]
mod tests {
    use super::attribute;
    use crate::judge::judgement::{Detail, Finding};
    use crate::judge::simulation::moment;
    use crate::judge::terms::{Kind, Rate};
    use crate::judge::weigh::evidence::Evidence;
    use crate::judge::weigh::survivors::world::frames;
    use crate::observed::ledger::{Accounts, Ledger, Route, Site, Spans};
    use crate::store::Captures;
    use std::time::Duration;

    /// Created, ended, oldest in seconds of the 40 that were watched, objects of 1 KiB now.
    fn site(function: &'static str, created: u64, ended: u64, oldest: f64, objects: u64) -> Site<Spans> {
        Site {
            stack: frames(&[function, "main.main"]),
            started_by: Vec::new(),
            created,
            ended,
            outstanding: objects,
            oldest: Duration::from_secs_f64(oldest),
            youngest: Duration::from_secs(2),
            longest_ended: None,
            what: Spans { bytes: objects << 10, objects },
        }
    }

    fn shares(sites: Vec<Site<Spans>>) -> Vec<(String, f64)> {
        let mut captures = Captures::default();
        captures.spans.push(Ledger {
            at: moment(45.0),
            began: moment(5.0),
            route: Route::Runtime,
            accounts: Accounts::default(),
            sites,
        });
        let mut finding = Finding {
            kind: Kind::Heap,
            primary: false,
            consequence_of: None,
            confidence: 0.8,
            rate: Rate { per_second: 1e5, low: 1e5, high: 1e5 },
            exhausts: None,
            detail: Detail::default(),
            culprits: Vec::new(),
            evidence: Vec::new(),
        };
        attribute(&mut finding, &captures);
        assert!(finding.evidence.iter().any(|it| matches!(it, Evidence::Retained { .. })));
        let percent = |share: f64| (share * 100.0).round() / 100.0;
        finding.culprits.iter().map(|it| (it.frame.function.to_string(), percent(it.share))).collect()
    }

    #[test]
    fn what_does_not_stay_gets_no_share() {
        let leak = || site("main.remember", 800, 0, 39.9, 780);
        let own = |function: &str, share| (function.to_owned(), share);
        for (what, beside, expected) in [
            // A store of a fixed size, or work in progress: old ones go.
            ("replaced", site("main.recent", 1_600, 500, 31.0, 900), vec![own("main.remember", 1.0)]),
            ("in use", site("main.work", 9_000, 8_800, 4.0, 200), vec![own("main.remember", 1.0)]),
            // It makes garbage as well, and its first one is still there.
            (
                "kept beside garbage",
                site("main.both", 9_000, 8_480, 39.5, 520),
                vec![own("main.remember", 0.6), own("main.both", 0.4)],
            ),
            // It has only just begun, and nothing of it has gone.
            (
                "late",
                site("main.late", 520, 0, 20.0, 520),
                vec![own("main.remember", 0.6), own("main.late", 0.4)],
            ),
            // A slice that is appended to: each takes the place of a smaller one.
            ("few", site("main.grow", 30, 15, 9.0, 15), vec![own("main.remember", 0.98)]),
        ] {
            let mut found = shares(vec![leak(), beside]);
            found.retain(|(function, _)| function != "main.main");
            assert_eq!(found, expected, "{what}");
        }
    }

    #[test]
    fn where_nothing_stays_for_good_what_is_there_is_named_all_the_same() {
        let found = shares(vec![site("main.recent", 1_600, 500, 31.0, 900)]);
        assert_eq!(found[0], ("main.recent".to_owned(), 1.0));
    }
}
