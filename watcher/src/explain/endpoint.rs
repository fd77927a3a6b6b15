//! What the process's own endpoint said, in sentences.

use super::words::{count, duration, percent, quantity};
use crate::explain::diagnosis::Unseen;
use crate::judge::terms::Unit;
use crate::judge::weigh::evidence::Said;
use crate::observed::pulls::EndpointUse;

/// A piece of evidence that came from the endpoint. Each names it, so that nobody takes it for what was read from
/// outside.
pub(super) fn sentence(said: &Said) -> String {
    match said {
        Said::Holds { outside, endpoint, unit, agrees } => {
            let (seen, told) = (quantity(*outside as f64, *unit), quantity(*endpoint as f64, *unit));
            let where_they_are = if *unit == Unit::Bytes { "on this line" } else { "at these stacks" };
            if *agrees {
                format!(
                    "The endpoint's profile agrees: {told} {where_they_are}, and {seen} seen from outside."
                )
            } else {
                format!(
                    "The endpoint's profile does not agree: it has {told} {where_they_are}, and {seen} were seen \
                     from outside."
                )
            }
        }
        Said::Grew { before, after, seconds, unit } => format!(
            "By the endpoint's own profiles these went from {} to {} in {}.",
            quantity(*before as f64, *unit),
            quantity(*after as f64, *unit),
            duration(*seconds)
        ),
        Said::Line { frame, share, is_known: true } => format!(
            "The difference of two of the endpoint's profiles names the same function, {}, for {} of the growth.",
            frame.function,
            percent(*share)
        ),
        Said::Line { frame, share, is_known: false } => format!(
            "The difference of two of the endpoint's profiles names another line, {} ({}:{}), for {} of the growth.",
            frame.function,
            frame.file,
            frame.line,
            percent(*share)
        ),
        Said::Unreachable { count: leaked } => format!(
            "Go's own leak profile (goroutineleak) holds {} of them: nothing in the program can wake these.",
            count(*leaked as f64)
        ),
        Said::HttpConnections { client, server } => format!(
            "The endpoint's profile has {} goroutines that read from net/http client connections \
             (persistConn.readLoop) and {} that serve connections.",
            count(*client as f64),
            count(*server as f64)
        ),
    }
}

/// What was asked for and did not come.
pub(super) fn unseen(used: &EndpointUse) -> impl Iterator<Item = Unseen> {
    let unseen =
        |why: &String| Unseen { what: "pprof endpoint".to_owned(), why: why.clone(), is_of_host: false };
    used.failures.iter().map(unseen)
}
