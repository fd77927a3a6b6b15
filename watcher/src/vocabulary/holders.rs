//! Who holds the memory of a heap: holders, and below each the way to what it holds.

use std::ops::AddAssign;
use std::sync::Arc;

/// Objects, and the bytes of their slots.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Amount {
    /// How many.
    pub objects: u64,
    /// Their slots, in bytes.
    pub bytes: u64,
}

impl AddAssign for Amount {
    fn add_assign(&mut self, other: Amount) {
        self.objects += other.objects;
        self.bytes += other.bytes;
    }
}

/// What sort of root holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum HolderKind {
    /// A variable of a package.
    Variable,
    /// An object that waits for its finalizer.
    Finalizer,
    /// What is called when an object dies (Go 1.24 and newer).
    Cleanup,
    /// The stacks of goroutines.
    Goroutine,
    /// Timers that have not fired.
    Timer,
    /// Variables of the runtime itself.
    Runtime,
}

/// One holder and what it holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// What it is.
    pub kind: HolderKind,
    /// As one calls it in a sentence: `package variable main.sessions`.
    pub name: String,
    /// All that it holds.
    pub below: Amount,
    /// What it leads to, the largest first.
    pub steps: Vec<Step>,
}

/// Objects that are reached in the same way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The field that leads here, with the fields around it: `.session.body`, `[]`; empty where it has no name.
    pub field: String,
    /// What they are.
    pub what: What,
    /// They themselves.
    pub own: Amount,
    /// They with all that they lead to.
    pub below: Amount,
    /// What they lead to, the largest first.
    pub steps: Vec<Step>,
}

/// What the objects of a step are.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum What {
    /// Of this type, as Go prints it.
    Type(Arc<str>),
    /// Nothing told their type: their slots are of this size, in bytes.
    Unknown(u64),
    /// Nothing told their type, and each fills pages of its own.
    UnknownLarge,
    /// More than is told apart.
    Rest,
}

impl HolderKind {
    /// As it is written.
    pub fn word(self) -> &'static str {
        match self {
            HolderKind::Variable => "variable",
            HolderKind::Finalizer => "finalizer",
            HolderKind::Cleanup => "cleanup",
            HolderKind::Goroutine => "goroutine",
            HolderKind::Timer => "timer",
            HolderKind::Runtime => "runtime",
        }
    }
}

impl Held {
    /// The way to most of what it holds: at each step on to the largest below it, while that is a quarter of it at
    /// least, by bytes or by objects.
    pub fn chain(&self) -> Vec<&Step> {
        const QUARTER: u64 = 4;
        let is_much = |step: &Step| {
            step.below.bytes >= self.below.bytes / QUARTER
                || step.below.objects >= self.below.objects / QUARTER
        };
        let mut chain = Vec::new();
        let mut steps = &self.steps;
        while let Some(step) = steps.first().filter(|step| chain.is_empty() || is_much(step)) {
            chain.push(step);
            steps = &step.steps;
        }
        chain
    }
}
