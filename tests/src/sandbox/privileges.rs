//! Ways to rights, users, mounts and namespaces.

use libc::*;

use super::Contained::{Denied, Open};
use super::sys::{address, call, text};
use super::{Attempt, Errno, done, reaches, works, works_if_built};

const CWD: usize = AT_FDCWD as usize;

fn unshare(flags: i32) -> Result<(), Errno> {
    done(call(SYS_unshare, &[flags as usize]))
}

fn prctl(option: i32, arguments: [usize; 2]) -> Result<(), Errno> {
    done(call(SYS_prctl, &[option as usize, arguments[0], arguments[1], 0, 0]))
}

pub(super) const ATTEMPTS: &[Attempt] = &[
    works("setuid to root", Denied, |_| done(call(SYS_setuid, &[0]))),
    works("setresuid to root", Denied, |_| done(call(SYS_setresuid, &[0, 0, 0]))),
    works("setgid to root", Denied, |_| done(call(SYS_setgid, &[0]))),
    works("setgroups", Denied, |_| {
        let mut groups = [0_u32];
        done(call(SYS_setgroups, &[1, address(&mut groups)]))
    }),
    works("capset: CAP_SYS_ADMIN", Denied, |_| {
        let mut header = [0x2008_0522_u32, 0];
        let mut sets = [1_u32 << 21, 1 << 21, 0, 0, 0, 0];
        done(call(SYS_capset, &[address(&mut header), address(&mut sets)]))
    }),
    works("prctl: raise an ambient capability", Denied, |_| {
        let mut header = [0x2008_0522_u32, 0];
        let mut sets = [1_u32 << 21, 1 << 21, 1 << 21, 0, 0, 0];
        call(SYS_capset, &[address(&mut header), address(&mut sets)])?;
        prctl(PR_CAP_AMBIENT, [PR_CAP_AMBIENT_RAISE as usize, 21])
    }),
    works("prctl: unlock the secure bits", Denied, |_| prctl(PR_SET_SECUREBITS, [0, 0])),
    works("prctl: outlive the manager", Open, |_| prctl(PR_SET_PDEATHSIG, [0, 0])),
    works("prctl: be dumpable", Open, |_| prctl(PR_SET_DUMPABLE, [1, 0])),
    works("prctl: look for a weaker filter", Open, |_| prctl(PR_GET_SECCOMP, [0, 0])),
    works("prctl: let everybody trace it", Open, |scene| {
        // Only Yama knows it; without that, the call is unknown.
        match prctl(PR_SET_PTRACER, [scene.parent as usize, 0]) {
            Err(Errno::INVAL) => Ok(()),
            other => other,
        }
    }),
    works("seccomp: install a filter that allows all", Open, |_| {
        let mut allow = [0x7fff_0000_0000_0006_u64];
        let mut program = [1, address(&mut allow)];
        prctl(PR_SET_NO_NEW_PRIVS, [1, 0])?;
        done(call(SYS_seccomp, &[SECCOMP_SET_MODE_FILTER as usize, 0, address(&mut program)]))
    }),
    works("personality: executable data", Open, |_| done(call(SYS_personality, &[0x0400_0000]))),
    works("unshare: a user namespace", Open, |_| unshare(CLONE_NEWUSER)),
    works("unshare: a mount namespace", Denied, |_| unshare(CLONE_NEWNS)),
    works("unshare: a network namespace", Denied, |_| unshare(CLONE_NEWNET)),
    works("unshare: a PID namespace", Denied, |_| unshare(CLONE_NEWPID)),
    works("setns: to the manager's namespaces", Denied, |scene| {
        let pidfd = call(SYS_pidfd_open, &[scene.parent as usize, 0])?;
        done(call(SYS_setns, &[pidfd, (CLONE_NEWNS | CLONE_NEWUTS) as usize]))
    }),
    works("mount: a tmpfs", Denied, |_| {
        done(call(SYS_mount, &[text(c"none"), text(c"/"), text(c"tmpfs"), 0, 0]))
    }),
    works("mount: proc", Denied, |_| {
        done(call(SYS_mount, &[text(c"none"), text(c"/"), text(c"proc"), 0, 0]))
    }),
    works("mount: the root, writable", Denied, |_| {
        done(call(SYS_mount, &[0, text(c"/"), 0, (MS_REMOUNT | MS_BIND) as usize, 0]))
    }),
    works("umount: the root, lazily", Denied, |_| {
        // In a mount namespace where something lies on top.
        match call(SYS_umount2, &[text(c"/proc"), MNT_DETACH as usize]) {
            Err(Errno::NOENT) => Err(Errno::NOENT),
            other => done(other),
        }
    }),
    reaches("pivot_root", Denied, (Errno::BUSY, "the root cannot be pivoted onto itself"), |_| {
        done(call(SYS_pivot_root, &[text(c"/"), text(c"/")]))
    }),
    works("open_tree: a copy of the root", Denied, |_| {
        done(call(SYS_open_tree, &[CWD, text(c"/"), OPEN_TREE_CLONE as usize]))
    }),
    works("fsopen", Denied, |_| done(call(SYS_fsopen, &[text(c"tmpfs"), 0]))),
    reaches("move_mount", Denied, (Errno::LOOP, "no mount lies below itself"), |_| {
        done(call(SYS_move_mount, &[CWD, text(c"/"), CWD, text(c"/"), 0]))
    }),
    works("keyctl: a session of keys", Open, |_| done(call(SYS_keyctl, &[1, 0]))),
    works("add_key", Open, |_| {
        let mut secret = *b"x";
        done(call(SYS_add_key, &[text(c"user"), text(c"outboard"), address(&mut secret), 1, -3_i32 as usize]))
    }),
    works("setsid", Denied, |_| {
        // The control leads no session; a contained driver leads one already.
        done(call(SYS_setsid, &[]))
    }),
    #[cfg(target_arch = "x86_64")]
    works_if_built("x32: getpid", Open, Errno::NOSYS, |_| done(call(0x4000_0000 | SYS_getpid, &[]))),
    #[cfg(target_arch = "x86_64")]
    works("int 0x80: getpid of 32-bit programs", Open, |_| done(super::sys::call_32(20))),
];
