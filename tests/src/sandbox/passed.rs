//! Ways through the descriptors that were passed: ioctls and other calls on them that no driver needs.

use std::os::fd::RawFd;

use libc::*;
use rustix::ioctl::{Opcode, opcode};

use super::Contained::{Denied, Open};
use super::sys::{address, call, fd};
use super::{Attempt, Errno, Scene, done, reaches, works};

// linux/if_tun.h, linux/sockios.h, linux/usbdevice_fs.h.
const TUNSETIFF: Opcode = opcode::write::<i32>(b'T', 202);
const TUNSETPERSIST: Opcode = opcode::write::<i32>(b'T', 203);
const TUNSETOWNER: Opcode = opcode::write::<i32>(b'T', 204);
const TUNSETLINK: Opcode = opcode::write::<i32>(b'T', 205);
const TUNSETTXFILTER: Opcode = opcode::write::<u32>(b'T', 209);
const TUNSETSNDBUF: Opcode = opcode::write::<i32>(b'T', 212);
const TUNGETDEVNETNS: Opcode = opcode::none(b'T', 227);
const SIOCGSKNS: Opcode = 0x894c;
const SIOCSIFFLAGS: Opcode = 0x8914;
const USBDEVFS_CONTROL: Opcode = opcode::read_write::<[u64; 3]>(b'U', 0);
const USBDEVFS_SETCONFIGURATION: Opcode = opcode::read::<u32>(b'U', 5);
const USBDEVFS_IOCTL: Opcode = opcode::read_write::<[u64; 2]>(b'U', 18);
const USBDEVFS_RESET: Opcode = opcode::none(b'U', 20);
const USBDEVFS_ALLOC_STREAMS: Opcode = opcode::read::<[u32; 2]>(b'U', 28);

/// DN_CREATE of linux/fcntl.h.
const CREATE: usize = 4;

const NO_USBFS: (Errno, &str) = (Errno::NOTTY, "it is no usbfs node, but the kernel looks at the number");

fn ioctl(fd: RawFd, code: Opcode, argument: usize) -> Result<(), Errno> {
    done(call(SYS_ioctl, &[fd as usize, code as usize, argument]))
}

fn ioctl_usbfs(scene: &Scene, code: Opcode) -> Result<(), Errno> {
    let mut nothing = [0_u64; 4];
    ioctl(scene.program, code, address(&mut nothing))
}

/// Gives an `ifreq` of the scene's interface to an ioctl.
fn ioctl_interface(scene: &Scene, socket: RawFd, code: Opcode, value: u64) -> Result<(), Errno> {
    let mut request = [0_u8; 40];
    let name = scene.interface.as_bytes();
    request[..name.len().min(15)].copy_from_slice(&name[..name.len().min(15)]);
    request[16..24].copy_from_slice(&value.to_ne_bytes());
    ioctl(socket, code, address(&mut request))
}

/// Asks the kernel over netlink to take the interface up, and reads what it says.
fn link_up(scene: &Scene) -> Result<(), Errno> {
    let index = {
        let mut message = Vec::new();
        // RTM_NEWLINK, NLM_F_REQUEST | NLM_F_ACK; the index is of the loopback, which every network namespace has.
        message.extend(32_u32.to_ne_bytes());
        message.extend(16_u16.to_ne_bytes());
        message.extend(5_u16.to_ne_bytes());
        message.extend([0; 8]);
        message.extend([0; 4]);
        message.extend(1_u32.to_ne_bytes());
        message.extend([1_u32.to_ne_bytes(), 1_u32.to_ne_bytes()].concat());
        message
    };
    rustix::io::write(fd(scene.netlink), &index)?;
    let mut answer = [0; 256];
    rustix::io::read(fd(scene.netlink), &mut answer)?;
    // NLMSG_ERROR, whose number is 0 if it worked.
    match i32::from_ne_bytes([answer[16], answer[17], answer[18], answer[19]]) {
        0 => Ok(()),
        error => Err(Errno::from_raw_os_error(-error)),
    }
}

fn fcntl(fd: RawFd, command: i32, argument: usize) -> Result<(), Errno> {
    done(call(SYS_fcntl, &[fd as usize, command as usize, argument]))
}

pub(super) const ATTEMPTS: &[Attempt] = &[
    reaches("TUNSETIFF: another interface", Denied, (Errno::EXIST, "it has an interface already"), |scene| {
        let (mut request, flags) = ([0_u8; 40], 2_u16.to_ne_bytes());
        request[16..18].copy_from_slice(&flags);
        ioctl(scene.tun, TUNSETIFF, address(&mut request))
    }),
    works("TUNSETPERSIST: an interface that stays", Open, |scene| {
        ioctl(scene.tun, TUNSETPERSIST, 1)?;
        ioctl(scene.tun, TUNSETPERSIST, 0)
    }),
    works("TUNSETOWNER: an interface for others", Open, |scene| ioctl(scene.tun, TUNSETOWNER, 0)),
    works("TUNSETLINK: another kind of interface", Open, |scene| ioctl(scene.tun, TUNSETLINK, 1)),
    works("TUNSETTXFILTER", Open, |scene| {
        let mut filter = [0_u16; 2];
        ioctl(scene.tun, TUNSETTXFILTER, address(&mut filter))
    }),
    works("TUNSETSNDBUF", Open, |scene| {
        let mut size = i32::MAX;
        ioctl(scene.tun, TUNSETSNDBUF, address(&mut size))
    }),
    works("TUNGETDEVNETNS: the interface's network namespace", Denied, |scene| {
        ioctl(scene.tun, TUNGETDEVNETNS, 0)
    }),
    works("SIOCGSKNS: the socket's network namespace", Denied, |scene| ioctl(scene.netlink, SIOCGSKNS, 0)),
    works("SIOCSIFHWADDR: another address", Open, |scene| {
        ioctl_interface(scene, scene.tun, SIOCSIFHWADDR as Opcode, 0x0605_0403_0202_0001)
    }),
    works("SIOCSIFMTU", Denied, |scene| ioctl_interface(scene, scene.netlink, SIOCSIFMTU as Opcode, 1400)),
    works("SIOCSIFFLAGS: take the interface up", Denied, |scene| {
        ioctl_interface(scene, scene.netlink, SIOCSIFFLAGS, 1)
    }),
    works("netlink: change the loopback", Denied, link_up),
    reaches("USBDEVFS_SETCONFIGURATION", Open, NO_USBFS, |scene| {
        ioctl_usbfs(scene, USBDEVFS_SETCONFIGURATION)
    }),
    reaches("USBDEVFS_RESET", Open, NO_USBFS, |scene| ioctl_usbfs(scene, USBDEVFS_RESET)),
    reaches("USBDEVFS_IOCTL: a kernel driver's", Open, NO_USBFS, |scene| ioctl_usbfs(scene, USBDEVFS_IOCTL)),
    reaches("USBDEVFS_CONTROL", Open, NO_USBFS, |scene| ioctl_usbfs(scene, USBDEVFS_CONTROL)),
    reaches("USBDEVFS_ALLOC_STREAMS", Open, NO_USBFS, |scene| ioctl_usbfs(scene, USBDEVFS_ALLOC_STREAMS)),
    works("TIOCSTI: type into a terminal", Denied, |scene| {
        let mut character = b'x';
        ioctl(scene.terminal, TIOCSTI as Opcode, address(&mut character))
    }),
    works("TIOCSCTTY: take a terminal over", Open, |scene| {
        // The control leads no session yet.
        let _ = call(SYS_setsid, &[]);
        ioctl(scene.terminal, TIOCSCTTY as Opcode, 0)
    }),
    works("F_SETOWN: signals for somebody", Denied, |scene| {
        fcntl(scene.socket, F_SETOWN, scene.victim as usize)
    }),
    works("F_NOTIFY: watch a leaked directory", Open, |scene| fcntl(scene.directory, F_NOTIFY, CREATE)),
    works("F_SETPIPE_SZ", Open, |scene| fcntl(scene.report, F_SETPIPE_SZ, 65536)),
    works("ftruncate: a file in memory grows", Denied, |scene| {
        let size = call(SYS_lseek, &[scene.program as usize, 0, SEEK_END as usize])?;
        done(call(SYS_ftruncate, &[scene.program as usize, size + 1]))
    }),
    works("fchmod", Denied, |scene| done(call(SYS_fchmod, &[scene.program as usize, 0o777]))),
    works("dup2 over the log", Open, |scene| {
        let saved = call(SYS_dup, &[2])?;
        call(SYS_dup3, &[scene.socket as usize, 2, 0])?;
        done(call(SYS_dup3, &[saved, 2, 0]))
    }),
];
