use super::{Teller, overview};
use crate::explain::diagnosis::Unseen;
use crate::explain::tests::{diagnosed, target};
use crate::judge::simulation::window;
use crate::news::{News, What};
use crate::report::text::Layout;
use crate::vocabulary::process::{ProcessId, Target};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

fn news(second: u64, what: What) -> News {
    News { at: SystemTime::UNIX_EPOCH + Duration::from_secs(1_790_000_000 + second), what }
}

fn program(pid: i32, name: &str) -> Arc<Target> {
    Arc::new(Target { id: ProcessId { pid, start_ticks: 1 }, name: name.to_owned(), ..target() })
}

fn left(target: &Arc<Target>) -> What {
    What::Left { target: Arc::clone(target), at_the_end: None }
}

#[test]
fn compilers_that_come_and_go_are_counted_and_not_named() {
    let mut teller = Teller::new(Layout::PLAIN, false);
    let mut said = String::new();
    for pid in 1..200 {
        let compiler = program(pid, "compile");
        said += &teller.hear(&news(u64::from(pid.unsigned_abs()), What::Came(Arc::clone(&compiler))));
        said += &teller.hear(&news(u64::from(pid.unsigned_abs()) + 1, left(&compiler)));
    }
    assert_eq!(said, "");
    let summary = teller.summary(SystemTime::UNIX_EPOCH + Duration::from_secs(1_790_000_600));
    assert!(summary.contains("199 programs came and left soon"), "{summary}");
}

#[test]
fn what_stays_is_named_and_so_is_what_leaks_or_is_asked_for() {
    let mut teller = Teller::new(Layout::PLAIN, false);
    assert_eq!(teller.hear(&news(0, What::Came(program(7, "server")))), "");
    let said = teller.hear(&news(200, What::Came(program(8, "other"))));
    assert!(said.contains("came: server (pid 7") && !said.contains("other"), "{said}");
    // A verdict, or an end that says something, names it at once.
    let ended = What::Left { target: program(8, "other"), at_the_end: Some("at 9 of 10".to_owned()) };
    assert_eq!(teller.hear(&news(201, left(&program(7, "server")))).matches("server").count(), 1);
    let mut again = Teller::new(Layout::PLAIN, false);
    again.hear(&news(200, What::Came(program(8, "other"))));
    // It is known to have leaked: both lines are there.
    assert_eq!(again.hear(&news(201, ended)).matches("other (pid 8").count(), 2);
    let mut asked = Teller::new(Layout::PLAIN, true);
    assert!(asked.hear(&news(0, What::Came(program(7, "server")))).contains("came: server"));
}

#[test]
fn who_was_not_judged_is_said_to_be_so() {
    let mut teller = Teller::new(Layout::PLAIN, true);
    let at = |second: u64| SystemTime::UNIX_EPOCH + Duration::from_secs(1_790_000_000 + second);
    for pid in 7..10 {
        teller.hear(&news(0, What::Came(program(pid, "server"))));
    }
    teller.hear(&news(1, left(&program(8, "server"))));
    let said = teller.summary(at(90));
    assert!(
        said.starts_with("Watched for 90 s: 0 leaking, 0 healthy, 0 undecided, 2 not judged yet."),
        "{said}"
    );
    let mut healthy = diagnosed(&window(|_, _| {}));
    healthy.process.pid = 9;
    teller.hear(&news(2, What::Verdict(Box::new(healthy))));
    assert!(
        teller.summary(at(9)).contains("1 healthy, 0 undecided, 1 not judged yet."),
        "{}",
        teller.summary(at(9))
    );
}

#[test]
fn a_healthy_process_has_one_line_and_what_nobody_sees_is_said_once() {
    let mut teller = Teller::new(Layout::PLAIN, false);
    let mut healthy = diagnosed(&window(|_, _| {}));
    let of_host = Unseen { what: "stacks".to_owned(), why: "refused".to_owned(), is_of_host: true };
    healthy.unseen = vec![of_host.clone()];
    let said = teller.hear(&news(0, What::Verdict(Box::new(healthy.clone()))));
    assert_eq!((said.lines().count(), said.matches("refused").count()), (2, 1), "{said}");
    let said = teller.hear(&news(1, What::Verdict(Box::new(healthy.clone()))));
    assert_eq!((said.lines().count(), said.matches("refused").count()), (1, 0), "{said}");
    let mut leak = diagnosed(&window(|second, beat| beat.close_wait += 12 * second as u64));
    leak.process.pid = 900;
    leak.unseen = vec![of_host];
    let said = teller.hear(&news(2, What::Verdict(Box::new(leak.clone()))));
    assert!(said.lines().count() > 8 && !said.contains("refused"), "{said}");
    let summary = teller.summary(SystemTime::UNIX_EPOCH + Duration::from_secs(1_790_000_090));
    assert!(summary.starts_with("Watched for 90 s: 1 leaking, 1 healthy, 0 undecided.\n"), "{summary}");
    assert!(summary.contains("(pid 900): Sockets in CLOSE_WAIT"), "{summary}");

    let pages = overview(&[healthy.clone(), leak.clone()], Layout::PLAIN);
    let place = |text: &str| pages.find(text).unwrap_or(usize::MAX);
    assert!(place("LEAK ") < place("HEALTHY "), "the worst first: {pages}");
    assert_eq!((pages.matches("HEALTHY").count(), pages.matches("refused").count()), (1, 1), "{pages}");
    assert_eq!(
        overview(&[leak.clone()], Layout::PLAIN),
        crate::report::text::diagnosis(&leak, Layout::PLAIN)
    );
}
