//! What a driver process may use up, and as whom it runs. Plain values and their arithmetic; who applies them is not known here.

use rustix::process::{Resource, Rlimit};

/// Resource limits of a driver process (setrlimit(2)); a limit that is exceeded fails the call that exceeds it, save where something else is said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Address space in bytes: program, libraries, heap, stack and mapped transfer buffers.
    pub address_space: u64,
    /// Open descriptors, those that were passed included.
    pub descriptors: u64,
    /// Processes and threads of the driver's user. Without a user of its own (see [`Program`](super::Program)) it counts those in the driver's
    /// user namespace.
    pub processes: u64,
    /// Largest file it can write, in bytes. Sockets, pipes and devices have no such limit, so 0 still lets it log into a pipe.
    pub file_size: u64,
    /// Memory that it may lock, in bytes.
    pub locked_memory: u64,
    /// CPU time in seconds over the whole life, after which the kernel kills the process; `None`: no limit. A driver may live for
    /// months, so that a limit suits a test or a tool; a driver that spins is found by its heartbeat.
    pub cpu_time: Option<u64>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            address_space: 256 << 20,
            descriptors: 64,
            processes: 1,
            file_size: 0,
            locked_memory: 0,
            cpu_time: None,
        }
    }
}

impl Limits {
    /// The limits as the kernel takes them, those that are 0 for every driver included.
    pub(super) fn resources(&self, core_dumps: bool) -> Vec<(Resource, Rlimit)> {
        let to = |value| Rlimit { current: Some(value), maximum: Some(value) };
        let mut resources = vec![
            (Resource::As, to(self.address_space)),
            (Resource::Nofile, to(self.descriptors)),
            (Resource::Nproc, to(self.processes)),
            (Resource::Fsize, to(self.file_size)),
            (Resource::Memlock, to(self.locked_memory)),
            (Resource::Msgqueue, to(0)),
            (Resource::Rtprio, to(0)),
            // 20 minus the lowest nice value: none below 0.
            (Resource::Nice, to(20)),
        ];
        if !core_dumps {
            resources.push((Resource::Core, to(0)));
        }
        if let Some(seconds) = self.cpu_time {
            resources.push((Resource::Cpu, to(seconds)));
        }
        resources
    }
}

/// The user and the group of one driver process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Identity {
    /// User and group number; the group has the user's number and no other member.
    id: u32,
}

impl Identity {
    /// The number of the user and of the group.
    pub fn id(self) -> u32 {
        self.id
    }
}

/// Hands out a user of its own to each driver process, from a range that nobody else uses.
///
/// A user that was given back comes up last: what its last process may have left (a lock, a queue of signals) meets no successor soon.
#[derive(Debug, Clone)]
pub struct Identities {
    first: u32,
    taken: Vec<bool>,
    next: usize,
}

impl Default for Identities {
    /// 1024 users of a range that neither distributions nor systemd give out (systemd's "Users, Groups, UIDs and GIDs": 1879048192 to
    /// 2147352575 are unused).
    fn default() -> Self {
        Self::new(1_879_080_960, 1024)
    }
}

impl Identities {
    /// The users `first..first + count`. Those that no process may run as are left out: root, and the numbers that mean "no change".
    pub fn new(first: u32, count: u32) -> Self {
        let first = first.max(1);
        let count = count.min(u32::MAX - 1 - first.min(u32::MAX - 1));
        Self { first, taken: vec![false; count as usize], next: 0 }
    }

    /// A user that no process has; `None`: all have one.
    pub fn take(&mut self) -> Option<Identity> {
        let count = self.taken.len();
        let at = (0..count).map(|step| (self.next + step) % count).find(|at| !self.taken[*at])?;
        self.taken[at] = true;
        self.next = at + 1;
        Some(Identity { id: self.first + at as u32 })
    }

    /// Gives a user back, after the process that had it was waited for.
    pub fn give_back(&mut self, identity: Identity) {
        if let Some(taken) =
            identity.id.checked_sub(self.first).and_then(|at| self.taken.get_mut(at as usize))
        {
            *taken = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_processes_have_the_same_user() {
        let mut identities = Identities::new(1000, 3);
        let [a, b, c] = [(); 3].map(|()| identities.take().unwrap());
        assert_eq!([a.id(), b.id(), c.id()], [1000, 1001, 1002]);
        assert_eq!(identities.take(), None);
        identities.give_back(b);
        assert_eq!(identities.take(), Some(b));
        identities.give_back(a);
        identities.give_back(c);
        assert_eq!(identities.take(), Some(c), "the one that was given out longest ago");
    }

    #[test]
    fn nobody_is_root_or_no_change() {
        assert_eq!(Identities::new(0, 1).take().map(Identity::id), Some(1));
        let mut last = Identities::new(u32::MAX - 2, 100);
        assert_eq!(last.take().map(Identity::id), Some(u32::MAX - 2));
        assert_eq!(last.take(), None);
        assert_eq!(Identities::new(u32::MAX, 7).take(), None);
    }

    #[test]
    fn a_stranger_is_not_given_back() {
        let mut identities = Identities::new(1000, 1);
        identities.take().unwrap();
        identities.give_back(Identity { id: 7 });
        identities.give_back(Identity { id: 1001 });
        assert_eq!(identities.take(), None);
    }
}
