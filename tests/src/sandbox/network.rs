//! Ways to the network and to sockets.

use libc::*;

use super::Contained::{Denied, Open};
use super::sys::{address, call};
use super::{Attempt, Errno, Scene, done, works, works_if_built};

fn socket(family: i32, kind: i32, protocol: i32) -> Result<usize, Errno> {
    call(SYS_socket, &[family as usize, kind as usize, protocol as usize])
}

/// A socket address of IPv4: the loopback.
fn loopback(port: u16) -> [u8; 16] {
    let mut address = [0; 16];
    address[..2].copy_from_slice(&(AF_INET as u16).to_ne_bytes());
    address[2..4].copy_from_slice(&port.to_be_bytes());
    address[4..8].copy_from_slice(&[127, 0, 0, 1]);
    address
}

/// Passes a descriptor over the socket of the scene, or asks for one.
fn message(number: i64, scene: &Scene) -> Result<(), Errno> {
    let mut byte = 0_u8;
    let mut piece = [address(&mut byte), 1];
    let mut control = [20_u64, SOL_SOCKET as u64 | (SCM_RIGHTS as u64) << 32, scene.program as u64];
    let mut header = [0, 0, address(&mut piece), 1, address(&mut control), 24, 0];
    done(call(number, &[scene.socket as usize, address(&mut header), MSG_DONTWAIT as usize]))
}

pub(super) const ATTEMPTS: &[Attempt] = &[
    works("socket: TCP over IPv4", Open, |_| done(socket(AF_INET, SOCK_STREAM, 0))),
    works("socket: UDP over IPv4", Open, |_| done(socket(AF_INET, SOCK_DGRAM, 0))),
    works("socket: TCP over IPv6", Open, |_| done(socket(AF_INET6, SOCK_STREAM, 0))),
    works("socket: Unix", Open, |_| done(socket(AF_UNIX, SOCK_STREAM, 0))),
    works("socket: raw", Denied, |_| done(socket(AF_INET, SOCK_RAW, IPPROTO_ICMP))),
    works("socket: packet", Denied, |_| done(socket(AF_PACKET, SOCK_RAW, 0))),
    works("socket: netlink, kernel events", Open, |_| {
        done(socket(AF_NETLINK, SOCK_RAW, NETLINK_KOBJECT_UEVENT))
    }),
    works("socket: vsock", Open, |_| done(socket(AF_VSOCK, SOCK_STREAM, 0))),
    works_if_built("socket: the kernel's ciphers", Open, Errno::AFNOSUPPORT, |_| {
        done(socket(AF_ALG, SOCK_SEQPACKET, 0))
    }),
    works("socketpair", Open, |_| {
        let mut pair = [0_u32; 2];
        done(call(SYS_socketpair, &[AF_UNIX as usize, SOCK_STREAM as usize, 0, address(&mut pair)]))
    }),
    works("connect to the manager's loopback", Denied, |scene| {
        let fd = socket(AF_INET, SOCK_STREAM, 0)?;
        done(call(SYS_connect, &[fd, address(&mut loopback(scene.port)), 16]))
    }),
    works("connect to an abstract socket", Denied, |scene| {
        let fd = socket(AF_UNIX, SOCK_STREAM, 0)?;
        let mut name = (AF_UNIX as u16).to_ne_bytes().to_vec();
        name.push(0);
        name.extend(scene.socket_name.bytes());
        done(call(SYS_connect, &[fd, name.as_mut_ptr().expose_provenance(), name.len()]))
    }),
    works("listen for others", Open, |_| {
        let fd = socket(AF_INET, SOCK_STREAM, 0)?;
        call(SYS_bind, &[fd, address(&mut loopback(0)), 16])?;
        done(call(SYS_listen, &[fd, 1]))
    }),
    works("pass a descriptor out (SCM_RIGHTS)", Open, |scene| message(SYS_sendmsg, scene)),
    works("pass descriptors out in bulk (sendmmsg)", Open, |scene| {
        let mut byte = 0_u8;
        let mut piece = [address(&mut byte), 1];
        let mut header = [0, 0, address(&mut piece), 1, 0, 0, 0, 0];
        done(call(SYS_sendmmsg, &[scene.socket as usize, address(&mut header), 1, 0]))
    }),
    works("take a descriptor in (SCM_RIGHTS)", Open, |scene| message(SYS_recvmsg, scene)),
    works("who is at the other end", Open, |scene| {
        let (mut peer, mut length) = ([0_u32; 3], 12_u32);
        let level = SOL_SOCKET as usize;
        let option = SO_PEERCRED as usize;
        done(call(
            SYS_getsockopt,
            &[scene.socket as usize, level, option, address(&mut peer), address(&mut length)],
        ))
    }),
    works("listen to more news of netlink", Open, |scene| {
        // NETLINK_ADD_MEMBERSHIP of RTNLGRP_NEIGH.
        let mut group = 3_u32;
        done(call(SYS_setsockopt, &[scene.netlink as usize, SOL_NETLINK as usize, 1, address(&mut group), 4]))
    }),
    works("sendto: an address of its own", Open, |scene| {
        let mut byte = 0_u8;
        done(call(SYS_sendto, &[scene.socket as usize, address(&mut byte), 1, 0, 0, 0]))
    }),
];
