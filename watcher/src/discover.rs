//! Which processes there are, which of them are Go, who came and who left.
//!
//! A scan costs one `stat` of the executable per process; what the executable is, is read once per file. Programs of
//! other languages that have loaded a library of Go's are Go processes too; see [`libraries`].

pub mod allowance;
pub mod executables;
pub mod libraries;
pub mod lineage;
mod places;

use crate::config::Selection;
use crate::source::host::Host;
use crate::source::proc::{FileIdentity, ProcRoot, ProcessDir, Stat};
use crate::source::{cgroup, reader};
use crate::vocabulary::process::{GoProgram, Limits, Lineage, ProcessId, Target, printable};
use crate::vocabulary::reading::Reading;
use crate::vocabulary::task::ThreadState;
use allowance::Allowance;
use executables::{Executables, Unread};
use libraries::{Libraries, Looks, Unfinished};
use lineage::Lineages;
use places::{Place, Places};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

/// More processes than this are not watched: their windows would take more memory than the agent may use.
pub const MAX_TARGETS: usize = 2048;
/// Devices that are remembered.
const MAX_DEVICES: usize = 4096;

/// What the first scan may take for files that are not known: nobody is watched yet.
const FIRST_SCAN: Duration = Duration::from_secs(5);
/// What another may.
const ANOTHER_SCAN: Duration = Duration::from_millis(500);

/// The processes that are watched.
#[derive(Debug)]
pub struct Discovery {
    selection: Selection,
    executables: Executables,
    libraries: Libraries,
    lineages: Lineages,
    known: HashMap<i32, Known>,
    /// By device: whether which file an executable is can be told without asking a server.
    quick: HashMap<(u32, u32), bool>,
    targets: Vec<Target>,
    places: Places,
    allowance: Allowance,
    /// Processes that were put off and have been for the longest time: they come first.
    waiting: Vec<i32>,
}

/// A process that has been looked at, one of ours or not.
#[derive(Debug)]
struct Known {
    id: ProcessId,
    /// Changes when the process executes another program: id and start time stay the same then.
    executable: Option<FileIdentity>,
    /// Which file the executable is can be told without asking a server, as long as it is this one.
    is_quick: bool,
    /// Something of it did not answer, so that nobody knows what it is: it is looked at again at every scan.
    is_unread: bool,
    /// It is no Go program, and had loaded no library of Go's when it was looked at last.
    looks: Option<Looks>,
    /// It would be watched, were there a place for it.
    is_left_out: bool,
    /// Its effective user id, where it is one of ours.
    uid: Option<u32>,
}

/// What a scan found.
#[derive(Debug, Default)]
pub struct Changes {
    /// Processes that are watched from now on.
    pub came: Vec<Arc<Target>>,
    /// Processes that are watched no longer: they exited, or execute another program now.
    pub left: Vec<Arc<Target>>,
    /// Processes that are watched no longer although they are there: other users' needed the places.
    pub made_way: Vec<Arc<Target>>,
    /// Processes that would be watched from now on, or were until now, were there not [`MAX_TARGETS`] already.
    pub unwatched: u64,
    /// Processes whose executable we may not read: whether they are Go is unknown.
    pub denied: u64,
    /// Processes for whose files there was no time: a later scan looks at them.
    pub put_off: u64,
    /// Processes that could not be looked at, see [`Reading::Failed`]: what is known of them stays.
    pub failed: u64,
    /// Processes whose executable could not be understood, and why, once per executable.
    pub not_understood: BTreeMap<String, String>,
}

impl Discovery {
    /// Nothing is watched before the first scan.
    pub fn new(selection: Selection) -> Self {
        Discovery::with_places(selection, MAX_TARGETS)
    }

    /// The same with room for no more than `most` processes.
    pub fn with_places(selection: Selection, most: usize) -> Self {
        Discovery {
            selection,
            executables: Executables::default(),
            libraries: Libraries::default(),
            lineages: Lineages::default(),
            known: HashMap::new(),
            quick: HashMap::new(),
            targets: Vec::new(),
            places: Places::new(most),
            allowance: Allowance::of_scan(FIRST_SCAN),
            waiting: Vec::new(),
        }
    }

    /// Processes that would be watched, were there a place for them, by effective user id.
    pub fn left_out(&self) -> BTreeMap<Option<u32>, u64> {
        let mut left_out = BTreeMap::new();
        for known in self.known.values().filter(|known| known.is_left_out) {
            *left_out.entry(known.uid).or_default() += 1;
        }
        left_out
    }

    /// Which processes are watched.
    pub fn selection(&self) -> &Selection {
        &self.selection
    }

    /// The processes that are watched, those that came first first.
    pub fn targets(&self) -> &[Target] {
        &self.targets
    }

    /// Takes note of limits that a process has now.
    pub fn set_limits(&mut self, id: ProcessId, limits: Limits) {
        if let Some(target) = self.targets.iter_mut().find(|target| target.id == id) {
            target.limits = limits;
        }
    }

    /// Looks at all processes of the host. `pids` are those that exist now; kernel threads may be among them.
    pub fn scan(&mut self, proc: &ProcRoot, host: &Host, pids: &[i32]) -> Changes {
        let mut changes = Changes::default();
        let present: HashSet<i32> = pids.iter().copied().collect();
        let absent: Vec<i32> = self.known.keys().filter(|pid| !present.contains(pid)).copied().collect();
        for pid in absent {
            self.forget(pid, &mut changes);
        }
        let waiting = std::mem::take(&mut self.waiting);
        let before: HashSet<i32> = waiting.iter().copied().collect();
        let waiting = waiting.iter().filter(|pid| present.contains(pid));
        for &pid in waiting.chain(pids.iter().filter(|pid| !before.contains(pid))) {
            self.look_at(proc, host, pid, &mut changes);
        }
        let in_use = self.known.values().filter_map(|known| known.executable).collect();
        self.executables.forget_unused(&in_use);
        self.begin_round();
        changes
    }

    /// From here on files that are not known may be read again, for as long as a scan may take.
    pub fn begin_round(&mut self) {
        self.allowance = Allowance::of_scan(ANOTHER_SCAN);
    }

    /// Looks at one process: it is said to have come, executed another program, or left.
    pub fn look_at(&mut self, proc: &ProcRoot, host: &Host, pid: i32, changes: &mut Changes) {
        let process = match proc.open(pid) {
            Reading::Seen(process) => process,
            Reading::Gone | Reading::Unsupported => return self.forget(pid, changes),
            Reading::Denied => {
                changes.denied += 1;
                return;
            }
            Reading::Failed => {
                changes.failed += 1;
                return;
            }
        };
        let stat = match process.stat() {
            Reading::Seen(stat) => stat,
            Reading::Failed => {
                changes.failed += 1;
                return;
            }
            _ => return self.forget(pid, changes),
        };
        if stat.state == ThreadState::Dead {
            // A zombie has left, though its pid is not free yet; a leader that ended before its threads has not, but
            // nothing can be learnt from its directory any more.
            if stat.threads <= 1 {
                self.forget(pid, changes);
            }
            return;
        }
        let id = ProcessId { pid, start_ticks: stat.start_ticks };
        let executable = match self.known.get(&pid) {
            Some(known) if known.is_quick => process.executable_identity_at_once(),
            _ => process.executable_identity(),
        };
        match executable {
            Reading::Denied => changes.denied += 1,
            Reading::Failed => {
                changes.failed += 1;
                return;
            }
            _ => {}
        }
        if matches!(executable, Reading::Gone) && !stat.kernel_thread {
            // It was alive a moment ago and has released its memory since: it is about to be a zombie.
            return self.forget(pid, changes);
        }
        if matches!(executable, Reading::Unsupported)
            && self.known.get(&pid).is_some_and(|known| known.id == id && known.executable.is_some())
        {
            // It cannot be told at this moment, which does not say that it is another.
            return;
        }
        let executable = executable.into_seen();
        if self.known.get(&pid).is_some_and(|known| known.is_unread && known.id == id) {
            self.known.remove(&pid);
        }
        if let Some(known) = self.known.get_mut(&pid) {
            let is_same = known.id == id && known.executable == executable;
            let is_asked_for = matches!(self.selection, Selection::Pid(asked) if asked == pid);
            let mut may_have_loaded =
                || known.looks.as_mut().is_some_and(|looks| looks.is_due() || is_asked_for);
            let has_a_place_now = known.is_left_out && self.places.has_one_for(known.uid);
            if is_same && !has_a_place_now {
                if !may_have_loaded() {
                    return;
                }
                match self.libraries.of(&process, is_asked_for, &self.allowance) {
                    Ok(Some(_)) => {}
                    Ok(None) => return,
                    Err(Unfinished) => {
                        known.looks.iter_mut().for_each(Looks::again);
                        return;
                    }
                }
            }
            self.forget(pid, changes);
        }
        let go = match executable.map(|identity| self.go(&process, identity, changes)).transpose() {
            Ok(go) => go.flatten(),
            // It is not known, so that the next scan looks at it as if it had just come.
            Err(Unread::Failed) => {
                changes.failed += 1;
                return;
            }
            Err(_) => {
                changes.put_off += 1;
                self.waiting.push(pid);
                return;
            }
        };
        let looks = (go.is_none() && executable.is_some()).then(Looks::default);
        let is_silent = go.is_none() && reader::silence_of(id).is_some();
        let mut is_unread = is_silent;
        let (mut is_left_out, mut uid) = (false, None);
        match self.examine(host, &process, stat, id, go) {
            Reading::Seen(Some(mut target)) => {
                target.lineage.build = build(executable, target.go.as_deref());
                uid = target.uid;
                is_left_out = !self.watch(target, changes);
                is_unread = false;
            }
            Reading::Failed => {
                changes.failed += 1;
                return;
            }
            _ => {}
        }
        if let Some(identity) = executable.filter(|_| is_silent) {
            self.executables.forget(identity);
        }
        let is_quick = executable.is_some_and(|identity| self.is_quick(&process, &identity));
        self.known.insert(pid, Known { id, executable, is_quick, is_unread, looks, is_left_out, uid });
    }

    /// See [`ProcessDir::executable_is_quick`]; asked once for each device.
    fn is_quick(&mut self, process: &ProcessDir, identity: &FileIdentity) -> bool {
        if self.quick.len() >= MAX_DEVICES {
            self.quick.clear();
        }
        *self.quick.entry(identity.device()).or_insert_with(|| process.executable_is_quick(identity))
    }

    /// Whether there is a place for it.
    fn watch(&mut self, mut target: Target, changes: &mut Changes) -> bool {
        match self.places.for_one_of(target.uid) {
            Place::Free => {}
            Place::InsteadOfOneOf(uid) => self.let_one_make_way(uid, changes),
            Place::None => {
                changes.unwatched += 1;
                return false;
            }
        }
        self.places.take(target.uid);
        target.lineage = self.lineages.join(&target);
        changes.came.push(Arc::new(target.clone()));
        self.targets.push(target);
        true
    }

    /// The one of this user that came last is watched no longer.
    fn let_one_make_way(&mut self, uid: Option<u32>, changes: &mut Changes) {
        let Some(index) = self.targets.iter().rposition(|target| target.uid == uid) else { return };
        let target = self.targets.remove(index);
        self.places.give_back(uid);
        self.lineages.leave(&target);
        if let Some(known) = self.known.get_mut(&target.id.pid).filter(|known| known.id == target.id) {
            known.is_left_out = true;
        }
        changes.unwatched += 1;
        // It may have come in this very scan.
        match changes.came.iter().position(|came| came.id == target.id) {
            Some(index) => drop(changes.came.remove(index)),
            None => changes.made_way.push(Arc::new(target)),
        }
    }

    fn forget(&mut self, pid: i32, changes: &mut Changes) {
        let Some(known) = self.known.remove(&pid) else { return };
        if let Some(index) = self.targets.iter().position(|target| target.id == known.id) {
            let target = self.targets.remove(index);
            self.places.give_back(target.uid);
            self.lineages.leave(&target);
            changes.left.push(Arc::new(target));
        }
    }

    /// Reads what does not change while the program runs; `None` where the process is none of ours. `Failed` where we
    /// could not read all of it: it would never be read again.
    fn examine(
        &self,
        host: &Host,
        process: &ProcessDir,
        stat: Stat,
        id: ProcessId,
        go: Option<Arc<GoProgram>>,
    ) -> Reading<Option<Target>> {
        let exe = process.exe();
        let has_failed = exe.has_failed();
        let exe = exe.into_seen();
        let file_name = exe.as_ref().and_then(|exe| exe.path.file_name()).map(|name| name.to_string_lossy());
        let selected = match &self.selection {
            Selection::AllGo => go.is_some(),
            Selection::Pid(pid) => *pid == id.pid,
            Selection::Name(pattern) => {
                pattern.matches(&stat.name) || file_name.is_some_and(|name| pattern.matches(&name))
            }
        };
        if !selected {
            return if has_failed { Reading::Failed } else { Reading::Seen(None) };
        }
        let (cgroups, limits, status) = (process.cgroups(), process.limits(), process.status());
        let (args, network_namespace) = (process.args(), process.network_namespace());
        if has_failed
            || cgroups.has_failed()
            || limits.has_failed()
            || status.has_failed()
            || args.has_failed()
            || network_namespace.has_failed()
        {
            return Reading::Failed;
        }
        let cgroups = cgroups.into_seen().unwrap_or_default();
        let limits = limits.into_seen().unwrap_or_default();
        Reading::Seen(Some(Target {
            id,
            parent_pid: stat.parent_pid,
            name: stat.name,
            exe_deleted: exe.as_ref().is_some_and(|exe| exe.deleted),
            exe: exe.map(|exe| exe.path),
            args: args.into_seen().unwrap_or_default(),
            uid: status.into_seen().map(|status| status.uid),
            started: host.started(id.start_ticks),
            go,
            container: cgroup::container(&cgroups),
            cgroup: cgroup::principal_path(&cgroups).map(|path| printable(path.as_bytes())),
            network_namespace: network_namespace.into_seen(),
            limits: Limits { mappings: host.max_map_count, ..limits },
            lineage: Lineage::default(),
        }))
    }

    /// The Go program that it is, or the Go library that it has loaded.
    fn go(
        &mut self,
        process: &ProcessDir,
        identity: FileIdentity,
        changes: &mut Changes,
    ) -> Result<Option<Arc<GoProgram>>, Unread> {
        let is_asked_for = matches!(self.selection, Selection::Pid(asked) if asked == process.pid());
        let unlimited = is_asked_for.then(Allowance::unlimited);
        let allowance = unlimited.as_ref().unwrap_or(&self.allowance);
        let program = match self.executables.program(identity, || process.executable(), allowance) {
            Err(Unread::NotUnderstood(why)) => {
                let exe = process.exe().into_seen().map_or_else(
                    || process.pid().to_string(),
                    |exe| printable(exe.path.as_os_str().as_encoded_bytes()),
                );
                changes.not_understood.insert(exe, why);
                None
            }
            other => other?,
        };
        match program {
            Some(program) => Ok(Some(program)),
            None => self.libraries.of(process, is_asked_for, allowance).map_err(|Unfinished| Unread::PutOff),
        }
    }
}

/// The same for the same content of the executable, also where it is another file in another container.
fn build(executable: Option<FileIdentity>, go: Option<&GoProgram>) -> u64 {
    let mut hasher = DefaultHasher::new();
    executable.map(|identity| identity.content()).hash(&mut hasher);
    if let Some(go) = go {
        (&go.version, go.settings_digest, go.module.as_ref().map(|module| &module.version)).hash(&mut hasher);
    }
    hasher.finish()
}

#[cfg(test)]
mod tests;
