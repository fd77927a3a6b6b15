use super::{Chains, Name, Starter, Starters, ThreadStarts};
use crate::capture::named::Named;
use crate::vocabulary::frame::Frame;
use crate::vocabulary::origin::{CreatingGoroutine, Origin, StackId, WalkedStack};
use std::collections::HashMap;
use std::sync::Arc;

/// Functions of `go` statements by address, and of stacks by their only address. C's functions have no dot.
#[derive(Default)]
pub(crate) struct Names {
    pub statements: HashMap<u64, &'static str>,
    pub stacks: HashMap<u64, &'static str>,
}

fn frames(names: &str) -> Arc<[Frame]> {
    names.split_whitespace().map(|name| Frame::new(name, "f", 1)).collect()
}

impl Name for Names {
    fn statement(&mut self, created_at: u64) -> Arc<[Frame]> {
        frames(self.statements.get(&created_at).copied().unwrap_or_default())
    }

    fn stack(&mut self, stack: &WalkedStack) -> Named {
        let names = stack.walked.first().and_then(|pc| self.stacks.get(pc)).copied().unwrap_or_default();
        let native = names.split_whitespace().take_while(|name| !name.contains('.')).count();
        Named { frames: frames(names), native }
    }
}

fn texts(chain: &[Arc<[Frame]>]) -> Vec<String> {
    let text = |frames: &Arc<[Frame]>| {
        frames.iter().map(|frame| frame.function.to_string()).collect::<Vec<_>>().join(" ")
    };
    chain.iter().map(text).collect()
}

fn goroutine(parent_id: u64, created_at: u64) -> Option<CreatingGoroutine> {
    Some(CreatingGoroutine { id: 9, parent_id: Some(parent_id), created_at })
}

#[test]
fn goroutines_of_one_statement_share_a_chain_and_the_main_one_has_none() {
    let mut names = Names::default();
    names.statements.extend([(0x40, "main.serve"), (0x80, "main.poll")]);
    let all = [(1, 0), (1, 0x40), (2, 0x40), (1, 0x80), (1, 0xc0)]
        .map(|(parent, created_at)| Starter::goroutine(&goroutine(parent, created_at).unwrap()).behind(None));
    let chains = Chains::of(all.into_iter().flatten(), Starters::default(), &mut names);
    let of = |index: usize| texts(&chains.chain(chains.index(all[index])));
    assert_eq!([of(0), of(4)], [const { Vec::<String>::new() }; 2]);
    assert_eq!([of(1), of(2), of(3)], [["main.serve"], ["main.serve"], ["main.poll"]]);
    assert_eq!(chains.index(all[1]), chains.index(all[2]));
    assert_ne!(chains.index(all[1]), chains.index(all[3]));
}

#[test]
fn a_thread_of_c_leads_to_the_line_that_started_it_over_as_many_links_as_it_takes() {
    let mut names = Names::default();
    names.statements.insert(0x40, "main.work");
    names.stacks.extend([
        (1, "clone pthread_create rd_kafka_new kafka.NewProducer main.publish runtime.goexit"),
        (2, "clone pthread_create rd_kafka_broker_add"),
        (3, "clone pthread_create spawn lib.Open"),
        (4, "clone runtime.newm runtime.startm"),
    ]);
    // Thread 20 was started by Go code, 21 by 20, 22 by 21; 30 by a library in a goroutine of its own; 40 is one of
    // the runtime's, started on behalf of whoever came next; 50 and 51 started each other, by a wrong reading.
    let mut threads = ThreadStarts::default();
    for (tid, by, stack, creator) in [
        (20, 7, 1, goroutine(1, 0x40)),
        (21, 20, 2, None),
        (22, 21, 2, None),
        (30, 7, 3, goroutine(1, 0x40)),
        (40, 41, 4, None),
        (41, 7, 1, goroutine(1, 0x40)),
        (50, 51, 2, None),
        (51, 50, 2, None),
    ] {
        threads.started.insert(tid, Origin { stack: Some(StackId(stack)), tid: by, goroutine: creator });
        threads.stacks.insert(StackId(stack), WalkedStack { walked: vec![stack], ..WalkedStack::default() });
    }
    let starters = Starters { threads: Some(&threads), ..Starters::default() };
    let asked = [20, 21, 22, 30, 40, 50, 60].map(Starter::Thread);
    let chains = Chains::of(asked.into_iter(), starters, &mut names);
    let of = |tid| texts(&chains.chain(chains.index(Some(Starter::Thread(tid)))));
    let to_main = "clone pthread_create rd_kafka_new kafka.NewProducer main.publish runtime.goexit";
    let broker = "clone pthread_create rd_kafka_broker_add";
    assert_eq!(of(20), [to_main]);
    assert_eq!(of(21), [broker, to_main]);
    assert_eq!(of(22), [broker, broker, to_main]);
    assert_eq!(of(30), ["clone pthread_create spawn lib.Open", "main.work"]);
    assert_eq!(of(40), ["clone runtime.newm runtime.startm"], "the runtime's threads lead nowhere");
    assert_eq!(of(50).len(), super::MAX_LINKS);
    assert_eq!(of(60), [""; 0], "a thread that was there before");
}

#[test]
fn only_a_stack_of_c_alone_is_followed_to_its_thread() {
    let named = |names: &str, native| Named { frames: frames(names), native };
    let thread = Starter::Thread(7);
    assert_eq!(thread.behind(Some(&named("socket connect", 2))), Some(thread));
    assert_eq!(thread.behind(Some(&named("mmap runtime.sysMap", 1))), None);
    assert_eq!(thread.behind(Some(&named("", 0))), None);
    assert_eq!(thread.behind(None), None);
}
