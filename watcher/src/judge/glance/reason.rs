//! What speaks for a suspicion after one look.

use super::cohort::Shape;
use crate::judge::judgement::Finding;
use crate::judge::terms::Kind;

/// What one cohort gives reason for.
pub(in crate::judge::glance) struct Reason {
    pub(in crate::judge::glance) kind: Kind,
    pub(in crate::judge::glance) finding: Finding,
    pub(in crate::judge::glance) shape: Shape,
    pub(in crate::judge::glance) is_dead: bool,
    pub(in crate::judge::glance) need_seconds: Option<f64>,
    pub(in crate::judge::glance) count: u64,
    pub(in crate::judge::glance) is_pidfd: bool,
    /// Sockets that it accepted: where both ends are here, whoever dialled is nearer to the cause.
    pub(in crate::judge::glance) is_accepted: bool,
}
