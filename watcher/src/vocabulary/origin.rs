//! The vocabulary for who created something: call stacks and goroutines as the kernel saw them at that moment, as
//! addresses, before anybody has looked up their names.
//!
//! Plain values; nothing here reads the system.

/// A call stack of one process that was seen before: two things with the same id were created by the same stack.
/// Of another process the same id means nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StackId(pub u64);

/// A call stack as return addresses.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct RawStack {
    /// Code that is not Go, innermost first: what C called before it entered the kernel. The first address is
    /// exact; those below it hold only as far as that code keeps frame pointers. Empty where Go itself called.
    pub native: Vec<u64>,
    /// Go's frames, innermost first: of the goroutine that called, or that called into C.
    pub go: Vec<u64>,
    /// It was deeper than there was room for: the outermost frames are missing.
    pub is_cut: bool,
}

/// Who created something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin {
    /// Its call stack; `None` where there was no room to keep it, or it was left out by sampling.
    pub stack: Option<StackId>,
    /// Its thread.
    pub tid: i32,
    /// Its goroutine; `None` for threads that run none, and where the runtime's layout is not known.
    pub goroutine: Option<CreatingGoroutine>,
}

/// A goroutine as it was when it created something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CreatingGoroutine {
    /// Its id, never used twice in a process.
    pub id: u64,
    /// Id of the goroutine that started it; `None` where the runtime does not keep it (before Go 1.21).
    pub parent_id: Option<u64>,
    /// Address behind the `go` statement that started it; 0 for the main goroutine.
    pub created_at: u64,
}

/// A call stack as the kernel walked it, before it is told apart what of it is Go.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct WalkedStack {
    /// From where the thread was, innermost first.
    pub walked: Vec<u64>,
    /// From where its goroutine had left its own stack, for C or for a stack of the runtime's own; empty where it
    /// was on its own stack.
    pub resumed: Vec<u64>,
    /// There was no room for all of it.
    pub is_cut: bool,
}

impl WalkedStack {
    /// Tells apart what is Go, by address, and what was called from there.
    ///
    /// The walk by frame pointers goes through the runtime's own stacks into the goroutine's, but gets lost in C
    /// that keeps none. What it gives of Go is believed as far as it begins in Go, or joins the goroutine's frames.
    pub fn sorted(&self, is_go: impl Fn(u64) -> bool) -> RawStack {
        let native = self.walked.iter().position(|pc| is_go(*pc)).unwrap_or(self.walked.len());
        let (native, walked) = self.walked.split_at(native);
        // Frames that both walks have: the first of the resumed ones is where the runtime switches stacks, an
        // address that nobody returns to.
        let joint = self.resumed.get(1).and_then(|pc| walked.iter().position(|walked| walked == pc));
        let go = match joint {
            _ if self.resumed.is_empty() => walked.to_vec(),
            Some(at) => [&walked[..at], &self.resumed[1..]].concat(),
            None if native.is_empty() => [walked, &self.resumed[..]].concat(),
            None => self.resumed.clone(),
        };
        RawStack { native: native.to_vec(), go, is_cut: self.is_cut }
    }
}

#[cfg(test)]
mod tests {
    use super::{RawStack, WalkedStack};

    /// Go's code lies below 100.
    fn sorted(walked: &[u64], resumed: &[u64]) -> (Vec<u64>, Vec<u64>) {
        let stack = WalkedStack { walked: walked.to_vec(), resumed: resumed.to_vec(), is_cut: false };
        let RawStack { native, go, is_cut } = stack.sorted(|pc| pc < 100);
        assert!(!is_cut);
        (native, go)
    }

    #[test]
    fn of_two_walks_the_one_that_is_whole_is_believed() {
        for (walked, resumed, native, go) in [
            // Go called the kernel itself.
            (&[10, 11, 12][..], &[][..], &[][..], &[10, 11, 12][..]),
            // C without frame pointers: its walk ends in nonsense.
            (&[500, 7], &[20, 21, 22], &[500], &[20, 21, 22]),
            (&[500], &[20, 21, 22], &[500], &[20, 21, 22]),
            // C with frame pointers: both walks come to the goroutine's frames.
            (&[500, 501, 15, 21, 22], &[20, 21, 22], &[500, 501], &[15, 21, 22]),
            // The runtime on its own stack, with frame pointers through the switch and without.
            (&[10, 11, 21, 22], &[20, 21, 22], &[], &[10, 11, 21, 22]),
            (&[10, 11], &[20, 21, 22], &[], &[10, 11, 20, 21, 22]),
            // A thread that runs no Go at all.
            (&[500, 501], &[], &[500, 501], &[]),
        ] {
            assert_eq!(sorted(walked, resumed), (native.to_vec(), go.to_vec()), "{walked:?} {resumed:?}");
        }
    }
}
