//! Which growth is the consequence of which.

use crate::judge::judgement::Finding;
use crate::judge::terms::Kind;
use crate::judge::weigh::culprit::{Owner, owner};
use crate::judge::weigh::evidence::Evidence;
use crate::judge::weigh::kin::{Kinship, is_made_within};
use crate::vocabulary::descriptor::DescriptorType;
use crate::vocabulary::frame::Frame;

/// One growth follows from another only where it is at most so many times as fast: a dialled connection that is
/// not closed holds two goroutines, a child's pipes are three.
pub(in crate::judge) const MOST_PER_CAUSE: f64 = 4.0;

/// What one creation makes may be more: a client of a message broker keeps a socket, threads and a dozen of mappings.
pub(in crate::judge) const MOST_PER_CREATION: f64 = 16.0;

/// ... and at least so many times: what grows far slower than its supposed cause has another one.
pub(in crate::judge) const LEAST_PER_CAUSE: f64 = 0.25;

/// A goroutine holds its stack's objects: more than this is a leak of its own.
pub(in crate::judge) const BYTES_PER_GOROUTINE: f64 = 64.0 * 1024.0;

/// Whatever holds descriptors has buffers too, and those of TLS are large.
pub(in crate::judge) const BYTES_PER_OTHER: f64 = 512.0 * 1024.0;

/// A goroutine with its stack and what it refers to, a socket with its buffers, hold less than this as a rule.
pub(in crate::judge) const BYTES_OF_SMALL_ONES: f64 = 16.0 * 1024.0;

/// How near to the root of a chain of causes a kind stands: a child brings pipes, an open connection a thread or a
/// goroutine, a thread its stack's mappings. A kind never follows from one that stands below it.
pub(in crate::judge) fn depth(kind: Kind) -> u8 {
    match kind {
        Kind::Child => 0,
        Kind::Connection => 1,
        Kind::Fd => 2,
        Kind::Thread => 3,
        Kind::Goroutine => 4,
        Kind::Mapping => 5,
        Kind::Native => 6,
        Kind::Heap => 7,
    }
}

/// Whether `effect` merely follows from `cause`, by what the two are and how fast they grow.
pub(in crate::judge) fn follows(effect: &Finding, cause: &Finding) -> bool {
    is_caused(effect, cause, Kinship::Unknown)
}

/// The same where it is known whether one creation made both.
pub(in crate::judge) fn is_caused(effect: &Finding, cause: &Finding, kin: Kinship) -> bool {
    // Anonymous memory that is mapped and kept is both bytes and mappings; bytes are what runs out.
    match (cause.kind, effect.kind) {
        (Kind::Native, Kind::Mapping) => return share_a_line(effect, cause),
        (Kind::Mapping, Kind::Native) if share_a_line(effect, cause) => return false,
        _ => {}
    }
    if depth(effect.kind) <= depth(cause.kind) {
        return false;
    }
    // What no longer grows makes nothing else grow.
    if cause.rate.per_second <= 0.0 {
        return false;
    }
    // The stacks of threads come with threads.
    let of_threads = |evidence: &Evidence| matches!(evidence, Evidence::ThreadStacks { .. });
    if cause.kind != Kind::Thread && effect.evidence.iter().any(of_threads)
        || cause.evidence.iter().any(of_threads)
    {
        return false;
    }
    let per_cause = effect.rate.per_second / cause.rate.per_second;
    let is_kin = kin == Kinship::Same;
    let related = match (cause.kind, effect.kind) {
        // What a started process leaves with its parent: a handle on it, pipes to it, sockets to it.
        (Kind::Child, Kind::Fd) => matches!(
            effect.detail.descriptor_type,
            Some(DescriptorType::PidFd | DescriptorType::Pipe | DescriptorType::File) | None
        ),
        (Kind::Child, Kind::Connection | Kind::Thread | Kind::Goroutine) => true,
        // Descriptors that only serve to wait for sockets.
        (Kind::Connection, Kind::Fd) => {
            is_kin
                || matches!(
                    effect.detail.descriptor_type,
                    Some(DescriptorType::Epoll | DescriptorType::EventFd | DescriptorType::TimerFd)
                )
        }
        (Kind::Connection | Kind::Fd, Kind::Thread | Kind::Goroutine) => true,
        (Kind::Thread, Kind::Goroutine | Kind::Mapping) => true,
        (Kind::Fd, Kind::Mapping) => true,
        (Kind::Connection | Kind::Goroutine, Kind::Mapping) => is_kin,
        // Memory has another unit: what each of them holds must be what such things hold, or what they make for
        // themselves.
        (Kind::Goroutine, Kind::Heap | Kind::Native) => {
            return per_cause < BYTES_PER_GOROUTINE || is_made_within(effect, cause);
        }
        (_, Kind::Heap | Kind::Native) => return per_cause < BYTES_PER_OTHER,
        _ => false,
    };
    let most = if is_kin { MOST_PER_CREATION } else { MOST_PER_CAUSE };
    let least = if is_kin { 1.0 / MOST_PER_CREATION } else { LEAST_PER_CAUSE };
    related && (least..=most).contains(&per_cause)
}

/// They are two leaks at a similar pace, not one: the program's own lines are known of both, and no creation made both.
pub(in crate::judge) fn is_apart(
    effect: &Finding,
    cause: &Finding,
    kin: Kinship,
    module: Option<&str>,
) -> bool {
    if matches!(effect.kind, Kind::Heap | Kind::Native) {
        return is_kept_apart(effect, cause, kin, module);
    }
    kin == Kinship::Apart
}

/// The same of memory. What is allocated passes through many hands, so that only the line counts which has most of it,
/// and only where each of the others would hold much.
pub(in crate::judge) fn is_kept_apart(
    memory: &Finding,
    cause: &Finding,
    kin: Kinship,
    module: Option<&str>,
) -> bool {
    let is_own = |frame: &Frame| owner(&frame.function, module) == Owner::Own;
    let top = memory.culprits.first().filter(|top| top.share >= DOMINATES && is_own(&top.frame));
    let holds_much = memory.rate.per_second >= BYTES_OF_SMALL_ONES * cause.rate.per_second;
    top.is_some() && holds_much && kin == Kinship::Apart && !is_made_within(memory, cause)
}

/// The most likely lines of the two lie in one function.
pub(in crate::judge) fn share_a_line(one: &Finding, other: &Finding) -> bool {
    match (one.culprits.first(), other.culprits.first()) {
        (Some(one), Some(other)) => one.frame.function == other.frame.function,
        _ => false,
    }
}

/// A line that has this part of the growth stands for it.
pub(in crate::judge) const DOMINATES: f64 = 0.5;
