//! The line that a person would edit: the innermost one of the program's own code, else of a dependency, else of
//! Go's library; the runtime's only where nothing else is in the stack.

pub use crate::vocabulary::owner::{Owner, owner, package};

use crate::judge::judgement::Culprit;
use crate::vocabulary::frame::Frame;

/// The line to edit in a stack, innermost frame first.
pub fn line<'a>(stack: &'a [Frame], main_module: Option<&str>) -> Option<&'a Frame> {
    crate::vocabulary::owner::line(stack, |frame| &frame.function, main_module)
}

/// The same as a culprit with this share of the growth.
pub fn culprit(frame: &Frame, stack: &[Frame], share: f64) -> Culprit {
    Culprit { frame: frame.clone(), share: share.clamp(0.0, 1.0), stack: stack.to_vec() }
}

#[cfg(test)]
mod tests {
    use super::{Frame, line};

    #[test]
    fn the_line_is_the_innermost_of_the_best_owner() {
        let stack = |functions: &[&str]| -> Vec<Frame> {
            (1..).zip(functions).map(|(line, function)| Frame::new(function, "f.go", line)).collect()
        };
        for (functions, expected) in [
            (&["runtime.gopark", "main.inner", "main.outer"][..], Some(2)),
            (&["runtime.makeslice", "strings.Repeat", "github.com/a/b.C", "net/http.(*conn).serve"], Some(3)),
            (&["runtime.gopark", "internal/poll.(*FD).Read", "net.(*conn).Read"], Some(2)),
            (&["runtime.gopark", "runtime.chanrecv1"], Some(1)),
            (&[], None),
        ] {
            let stack = stack(functions);
            assert_eq!(line(&stack, None).map(|frame| frame.line), expected, "{functions:?}");
        }
    }
}
