//! Where the runtime's variables are, and how each was found.

/// By which route a variable was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// From the code of a function that uses it.
    Code,
    /// By its content alone.
    Content,
}

/// A variable that was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Its address.
    pub address: u64,
    /// How it was found.
    pub route: Route,
}

/// The variables of the runtime that are read here, each where it was found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Places {
    /// `runtime.allgs`: all goroutines that there ever were at once.
    pub allgs: Option<Place>,
    /// `runtime.allm`: all threads.
    pub allm: Option<Place>,
    /// `runtime.gcController`.
    pub controller: Option<Place>,
    /// `runtime.mheap_.allspans`; `mheap_.sweepgen` lies 8 bytes before it, `mheap_.pagesInUse` 24 behind.
    pub allspans: Option<Place>,
    /// `runtime.mbuckets`: the memory profile; `None` also where there is none yet.
    pub mbuckets: Option<Place>,
    /// `runtime.waitReasonStrings`.
    pub wait_reasons: Option<Place>,
}

/// Which variable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Variable {
    Allgs,
    Allm,
    Controller,
    Allspans,
    Mbuckets,
    WaitReasons,
}

impl Places {
    /// Each of them as `change` has it.
    pub(super) fn map(self, mut change: impl FnMut(Option<Place>, Variable) -> Option<Place>) -> Places {
        Places {
            allgs: change(self.allgs, Variable::Allgs),
            allm: change(self.allm, Variable::Allm),
            controller: change(self.controller, Variable::Controller),
            allspans: change(self.allspans, Variable::Allspans),
            mbuckets: change(self.mbuckets, Variable::Mbuckets),
            wait_reasons: change(self.wait_reasons, Variable::WaitReasons),
        }
    }

    /// None is missing.
    pub(super) fn all_found(&self) -> bool {
        [self.allgs, self.allm, self.controller, self.allspans, self.mbuckets, self.wait_reasons]
            .iter()
            .all(Option::is_some)
    }
}
