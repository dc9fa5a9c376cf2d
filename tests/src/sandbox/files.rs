//! Ways to files.

use libc::*;

use super::Contained::{Denied, Open};
use super::sys::{address, call, text};
use super::{Attempt, Errno, done, reaches, works};

const CWD: usize = AT_FDCWD as usize;

fn open(path: &std::ffi::CStr, flags: i32) -> Result<(), Errno> {
    done(call(SYS_openat, &[CWD, text(path), flags as usize, 0o600]))
}

pub(super) const ATTEMPTS: &[Attempt] = &[
    works("read /etc/passwd", Denied, |_| open(c"/etc/passwd", O_RDONLY)),
    works("read /etc/shadow", Denied, |_| open(c"/etc/shadow", O_RDONLY)),
    works("write a file in /tmp", Denied, |_| {
        open(c"/tmp/outboard-sandbox-escape", O_WRONLY | O_CREAT)?;
        done(call(SYS_unlinkat, &[CWD, text(c"/tmp/outboard-sandbox-escape")]))
    }),
    works("make a file without a name", Denied, |_| open(c"/tmp", O_RDWR | O_TMPFILE)),
    works("read /proc/self/maps", Denied, |_| open(c"/proc/self/maps", O_RDONLY)),
    works("write /proc/sys/kernel/core_pattern", Denied, |_| {
        open(c"/proc/sys/kernel/core_pattern", O_WRONLY)
    }),
    works("read another process's environment", Denied, |scene| {
        let path = std::ffi::CString::new(format!("/proc/{}/environ", scene.victim)).unwrap_or_default();
        open(&path, O_RDONLY)
    }),
    works("list /sys", Denied, |_| open(c"/sys", O_RDONLY | O_DIRECTORY)),
    works("open /dev/null", Denied, |_| open(c"/dev/null", O_RDWR)),
    works("open /dev/kmsg", Denied, |_| open(c"/dev/kmsg", O_RDWR)),
    works("open /dev/net/tun", Denied, |_| open(c"/dev/net/tun", O_RDWR)),
    works("openat2", Denied, |_| {
        let mut how = [O_RDONLY as u64, 0, 0];
        done(call(SYS_openat2, &[CWD, text(c"/etc/passwd"), address(&mut how), 24]))
    }),
    #[cfg(target_arch = "x86_64")]
    works("open, the old call", Denied, |_| done(call(SYS_open, &[text(c"/etc/passwd"), O_RDONLY as usize]))),
    works("open beneath a leaked directory", Open, |scene| {
        done(call(SYS_openat, &[scene.directory as usize, text(c"etc/passwd"), O_RDONLY as usize]))
    }),
    works("list a leaked directory", Open, |scene| {
        let mut entries = [0_u64; 128];
        done(call(SYS_getdents64, &[scene.directory as usize, address(&mut entries), 1024]))
    }),
    works("go to a leaked directory", Open, |scene| done(call(SYS_fchdir, &[scene.directory as usize]))),
    works("stat", Denied, |_| {
        let mut status = [0_u64; 32];
        done(call(SYS_newfstatat, &[CWD, text(c"/etc/passwd"), address(&mut status), 0]))
    }),
    works("statx", Denied, |_| {
        let mut status = [0_u64; 64];
        done(call(SYS_statx, &[CWD, text(c"/etc/passwd"), 0, 0x7ff, address(&mut status)]))
    }),
    works("readlink /proc/self/exe", Denied, |_| {
        let mut path = [0_u64; 64];
        done(call(SYS_readlinkat, &[CWD, text(c"/proc/self/exe"), address(&mut path), 512]))
    }),
    works("mkdir", Denied, |_| {
        call(SYS_mkdirat, &[CWD, text(c"/tmp/outboard-sandbox-folder"), 0o700])?;
        done(call(SYS_unlinkat, &[CWD, text(c"/tmp/outboard-sandbox-folder"), AT_REMOVEDIR as usize]))
    }),
    works("symlink", Denied, |_| {
        call(SYS_symlinkat, &[text(c"/etc"), CWD, text(c"/tmp/outboard-sandbox-link")])?;
        done(call(SYS_unlinkat, &[CWD, text(c"/tmp/outboard-sandbox-link")]))
    }),
    works("mknod of a disk", Denied, |_| {
        call(SYS_mknodat, &[CWD, text(c"/tmp/outboard-sandbox-disk"), (S_IFBLK | 0o600) as usize, 0x800])?;
        done(call(SYS_unlinkat, &[CWD, text(c"/tmp/outboard-sandbox-disk")]))
    }),
    works("chmod of /tmp", Denied, |_| done(call(SYS_fchmodat, &[CWD, text(c"/tmp"), 0o1777]))),
    works("chdir to /etc", Denied, |_| done(call(SYS_chdir, &[text(c"/etc")]))),
    works("chroot to where it is", Denied, |_| done(call(SYS_chroot, &[text(c".")]))),
    works("memfd_create", Open, |_| done(call(SYS_memfd_create, &[text(c"escape"), 0]))),
    works("inotify_init1", Open, |_| done(call(SYS_inotify_init1, &[]))),
    works("fanotify_init", Denied, |_| done(call(SYS_fanotify_init, &[0, O_RDONLY as usize]))),
    works("name_to_handle_at", Denied, |_| {
        let mut handle = [0_u32; 34];
        handle[0] = 128;
        let mut mount = 0_u32;
        done(call(SYS_name_to_handle_at, &[CWD, text(c"/tmp"), address(&mut handle), address(&mut mount), 0]))
    }),
    reaches("open_by_handle_at", Denied, (Errno::STALE, "no file has this handle"), |scene| {
        let mut handle = [8_u32, 1, 0x7fff_fff0, 1];
        done(call(
            SYS_open_by_handle_at,
            &[scene.directory as usize, address(&mut handle), O_RDONLY as usize],
        ))
    }),
    works("send a file into a socket", Open, |scene| {
        done(call(SYS_sendfile, &[scene.socket as usize, scene.program as usize, 0, 1]))
    }),
    works("mq_open", Open, |_| {
        call(SYS_mq_open, &[text(c"outboard-sandbox"), (O_RDWR | O_CREAT) as usize, 0o600, 0])?;
        done(call(SYS_mq_unlink, &[text(c"outboard-sandbox")]))
    }),
];
