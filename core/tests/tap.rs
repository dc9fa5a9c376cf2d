//! The TAP end against the kernel's own network stack: two interfaces in two network namespaces, joined by nothing
//! but our transmit and receive, and the kernel's bridge as judge of what we merge and cut.
//!
//! Needs CAP_NET_ADMIN, /dev/net/tun, ip(8), and one test ping(8). Without them each test says that it is skipped; with
//! CI=true it fails instead.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsFd;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use outboard_core::ErrorKind;
use outboard_core::family::ethernet::tap::{Tap, TapOptions};
use outboard_core::family::ethernet::testing::{Family, TcpTemplate, VecBuffer};
use outboard_core::family::ethernet::{Counters, EthernetInterface, FrameBuffer, HostWish, Transmit};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// Longer than anything here may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// Says that a test does not run, and why; where nothing may be skipped, that is a failure.
fn skip(test: &str, reason: &str) {
    assert!(std::env::var("CI").as_deref() != Ok("true"), "{test} cannot run: {reason}");
    eprintln!("SKIPPED {test}: {reason}");
}

/// A network namespace that is gone with the value.
struct Namespace(String);

impl Namespace {
    /// `None`, with a line that says why, where the right is missing.
    fn new(test: &str) -> Option<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("obtest-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let result = Command::new("ip").args(["netns", "add", &name]).output();
        let reason = match (result, std::fs::metadata("/dev/net/tun")) {
            (Ok(output), Ok(_)) if output.status.success() => return Some(Self(name)),
            (Err(error), _) => format!("ip(8): {error}; install iproute2"),
            (_, Err(error)) => format!("/dev/net/tun: {error}; modprobe tun"),
            (Ok(output), _) => format!("{}; run as root", String::from_utf8_lossy(&output.stderr).trim()),
        };
        skip(test, &reason);
        None
    }

    fn enter(&self) {
        let file = std::fs::File::open(format!("/run/netns/{}", self.0)).unwrap();
        move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
    }

    /// Runs on a thread of this namespace, for the sockets and interfaces that are opened there.
    fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        thread::scope(|scope| {
            let work = || {
                self.enter();
                work()
            };
            scope.spawn(work).join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    fn tap(&self, options: &TapOptions) -> Tap {
        self.run(|| Tap::create(options).unwrap())
    }

    fn ip(&self, arguments: &str) {
        let output = Command::new("ip").args(["-n", &self.0]).args(arguments.split(' ')).output().unwrap();
        assert!(output.status.success(), "ip {arguments}: {}", String::from_utf8_lossy(&output.stderr));
    }

    fn exec(&self, command: &str) -> String {
        let output =
            Command::new("ip").args(["netns", "exec", &self.0]).args(command.split(' ')).output().unwrap();
        assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = Command::new("ip").args(["netns", "del", &self.0]).output();
    }
}

fn wait(fds: &mut [PollFd<'_>], for_at_most: Duration) {
    let timeout =
        Timespec { tv_sec: for_at_most.as_secs() as i64, tv_nsec: for_at_most.subsec_nanos().into() };
    let _ = poll(fds, Some(&timeout));
}

/// Carries frames from one interface to another, as a driver and its device would.
struct Cable {
    free: Vec<VecBuffer>,
    ready: Vec<VecBuffer>,
}

impl Cable {
    fn new(buffers: usize) -> Self {
        let free = (0..buffers).map(|_| VecBuffer::new(2048)).collect();
        Self { free, ready: Vec::with_capacity(buffers) }
    }

    /// Until the sender has no more. What the other end drops is lost, as on any cable.
    fn carry(&mut self, from: &mut Tap, to: &mut Tap) {
        loop {
            let end = from.transmit(&mut self.free, &mut self.ready).unwrap();
            to.receive(&mut self.ready).unwrap();
            self.free.append(&mut self.ready);
            if end == Transmit::Drained {
                return;
            }
        }
    }
}

/// Two hosts on a cable. `work` gets their namespaces; both ends' counters come back.
fn joined(
    test: &str,
    mtu: Option<u32>,
    buffers: usize,
    work: impl FnOnce(&Namespace, &Namespace) + Send,
) -> Option<[Counters; 2]> {
    let options = TapOptions { carrier: true, mtu, ..TapOptions::default() };
    joined_by(test, &options, buffers, work)
}

/// [`joined`] by interfaces that are made so.
fn joined_by(
    test: &str,
    options: &TapOptions,
    buffers: usize,
    work: impl FnOnce(&Namespace, &Namespace) + Send,
) -> Option<[Counters; 2]> {
    let (left, right) = (Namespace::new(test)?, Namespace::new(test)?);
    let (mut a, mut b) = (left.tap(options), right.tap(options));
    for (namespace, host) in [(&left, 1), (&right, 2)] {
        namespace.ip(&format!("addr add 10.77.0.{host}/24 dev ecm0"));
        // IPv6 needs an MTU of 1280 (RFC 8200, 5).
        if options.mtu.is_none() {
            namespace.ip(&format!("addr add fd77::{host}/64 dev ecm0 nodad"));
        }
        namespace.ip("link set lo up");
        namespace.ip("link set ecm0 up");
    }
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let worker = scope.spawn(|| {
            struct Done<'a>(&'a AtomicBool);
            impl Drop for Done<'_> {
                fn drop(&mut self) {
                    self.0.store(true, Ordering::Release);
                }
            }
            let _done = Done(&done);
            work(&left, &right);
        });
        let mut cable = Cable::new(buffers);
        while !done.load(Ordering::Acquire) {
            let mut fds =
                [&a, &b].map(|tap| PollFd::from_borrowed_fd(tap.readiness().unwrap(), PollFlags::IN));
            wait(&mut fds, Duration::from_millis(20));
            cable.carry(&mut a, &mut b);
            cable.carry(&mut b, &mut a);
        }
        worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    });
    Some([*a.counters(), *b.counters()])
}

fn pattern(len: usize, seed: u32) -> Vec<u8> {
    let mut state = seed | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state as u8
    };
    (0..len).map(|_| next()).collect()
}

/// Sends both ways at once over one connection and compares every byte.
fn tcp(left: &Namespace, right: &Namespace, address: &str, len: usize) {
    let (there, back) = (pattern(len, 1), pattern(len, 2));
    let address: SocketAddr = address.parse().unwrap();
    let exchange = |stream: TcpStream, out: &[u8], expected: &[u8]| {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        thread::scope(|scope| {
            scope.spawn(|| {
                (&stream).write_all(out).unwrap();
                stream.shutdown(std::net::Shutdown::Write).unwrap();
            });
            let mut got = Vec::new();
            (&stream).read_to_end(&mut got).unwrap();
            assert!(got == expected, "{} bytes of {} came, or others", got.len(), expected.len());
        });
    };
    let listener = right.run(|| TcpListener::bind(address).unwrap());
    thread::scope(|scope| {
        scope.spawn(|| exchange(listener.accept().unwrap().0, &back, &there));
        let stream = left.run(|| TcpStream::connect_timeout(&address, PATIENCE).unwrap());
        exchange(stream, &there, &back);
    });
}

#[test]
fn tcp_arrives_whole_and_in_few_pieces() {
    let work = |left: &Namespace, right: &Namespace| {
        tcp(left, right, "10.77.0.2:5201", 32 << 20);
        tcp(left, right, "[fd77::2]:5201", 32 << 20);
    };
    let Some(counters) = joined("tcp_arrives_whole_and_in_few_pieces", None, 64, work) else { return };
    for counters in counters {
        println!("{counters:?}");
        assert!(counters.transmitted_superframes > 100);
        assert!(counters.received_writes * 2 < counters.received_frames, "merging did not work");
        assert_eq!(
            counters.transmitted_malformed + counters.transmitted_oversize + counters.received_refused,
            0
        );
    }
}

#[test]
fn without_offloads_each_frame_is_a_piece_of_its_own() {
    let test = "without_offloads_each_frame_is_a_piece_of_its_own";
    let options = TapOptions { carrier: true, offloads: false, ..TapOptions::default() };
    let work = |left: &Namespace, right: &Namespace| {
        tcp(left, right, "10.77.0.2:5201", 4 << 20);
        tcp(left, right, "[fd77::2]:5201", 4 << 20);
    };
    let Some(counters) = joined_by(test, &options, 64, work) else { return };
    for counters in counters {
        println!("{counters:?}");
        assert!(counters.received_frames > 2 * (4 << 20) / 1500, "too few frames carried it");
        assert_eq!(counters.transmitted_superframes, 0);
        assert_eq!(counters.received_writes, counters.received_frames);
        assert_eq!(counters.transmitted_malformed + counters.received_refused, 0);
    }
}

#[test]
fn tcp_arrives_whole_with_fewer_buffers_than_a_superframe_has_segments() {
    let test = "tcp_arrives_whole_with_fewer_buffers_than_a_superframe_has_segments";
    for buffers in [1, 3] {
        joined(test, None, buffers, |left, right| tcp(left, right, "10.77.0.2:5201", 4 << 20));
    }
}

#[test]
fn tcp_arrives_whole_with_a_small_mtu() {
    joined("tcp_arrives_whole_with_a_small_mtu", Some(576), 64, |left, right| {
        tcp(left, right, "10.77.0.2:5201", 4 << 20);
    });
}

#[test]
fn datagrams_and_pings_of_all_sizes_arrive() {
    let test = "datagrams_and_pings_of_all_sizes_arrive";
    if let Err(error) = Command::new("ping").arg("-V").output() {
        return skip(test, &format!("ping(8): {error}; install iputils-ping"));
    }
    joined(test, None, 8, |left, right| {
        for size in [0, 56, 57, 1472, 1473, 9000, 9000, 60000, 60000] {
            for host in ["10.77.0.2", "fd77::2"] {
                // One at a time: after a first answer, ping waits for others only two round trips long. It compares
                // the content that comes back.
                let output = left.exec(&format!("ping -c 1 -W 10 -s {size} {host}"));
                assert!(output.contains(" 0% packet loss"), "{output}");
                assert!(!output.contains("wrong data"), "{output}");
            }
        }
        for (from, to) in [("10.77.0.1:0", "10.77.0.2:9"), ("[fd77::1]:0", "[fd77::2]:9")] {
            let receiver = right.run(|| UdpSocket::bind(to).unwrap());
            receiver.set_read_timeout(Some(PATIENCE)).unwrap();
            let sender = left.run(|| UdpSocket::bind(from).unwrap());
            let mut buffer = vec![0; 65536];
            for size in [0, 1, 2, 17, 18, 63, 64, 1000, 1471, 1472, 1473, 5000, 20001] {
                let data = pattern(size, size as u32 + 1);
                sender.send_to(&data, to).unwrap();
                let len = receiver.recv(&mut buffer).unwrap();
                assert!(buffer[..len] == data[..], "{size} bytes to {to}");
            }
        }
    });
}

/// Frames go into one interface, merged by us; the kernel's bridge forwards what it was given to another interface,
/// from which we cut them again. They must be the same frames: tagged, doubly tagged, IPv4, IPv6.
#[test]
fn a_bridge_forwards_what_we_merge_as_the_frames_that_it_was() {
    let Some(namespace) = Namespace::new("a_bridge_forwards_what_we_merge_as_the_frames_that_it_was") else {
        return;
    };
    namespace.run(|| std::fs::write("/proc/sys/net/ipv6/conf/default/disable_ipv6", "1").unwrap());
    let options = TapOptions { carrier: true, ..TapOptions::default() };
    let (mut a, mut b) = (namespace.tap(&options), namespace.tap(&options));
    namespace.ip("link add br0 type bridge forward_delay 0 mcast_snooping 0");
    for interface in ["ecm0", "ecm1"] {
        namespace.ip(&format!("link set {interface} master br0"));
        namespace.ip(&format!("link set {interface} up"));
    }
    namespace.ip("link set br0 up");

    for tags in 0..3 {
        for family in [Family::V4, Family::V6] {
            for flags in [0x10, 0x90] {
                let template = TcpTemplate { tags, family, options: 12, flags, ..TcpTemplate::default() };
                let payload = pattern(20 * 1400 + 333, 7);
                let mut frames = Vec::new();
                for (at, chunk) in payload.chunks(1400).enumerate() {
                    let flags = if at == 0 {
                        flags
                    } else if at == 20 {
                        0x18
                    } else {
                        0x10
                    };
                    let id = template.id.wrapping_add(at as u16);
                    frames
                        .push(TcpTemplate { flags, id, ..template.clone() }.frame((at * 1400) as u32, chunk));
                }
                let before = a.counters().received_writes;
                let mut batch: Vec<_> = frames.iter().cloned().map(VecBuffer::from).collect();
                let received = a.receive(&mut batch).unwrap();
                assert_eq!((received.delivered, received.dropped), (21, 0));
                assert_eq!(
                    a.counters().received_writes - before,
                    1,
                    "{tags} tags, {family:?}: merged into one"
                );

                let superframes = b.counters().transmitted_superframes;
                let mut free: Vec<_> = (0..64).map(|_| VecBuffer::new(2048)).collect();
                let mut got = Vec::new();
                let start = Instant::now();
                while got.len() < frames.len() && start.elapsed() < PATIENCE {
                    let mut ready = Vec::with_capacity(64);
                    let mut fds = [PollFd::from_borrowed_fd(b.readiness().unwrap(), PollFlags::IN)];
                    wait(&mut fds, Duration::from_millis(100));
                    b.transmit(&mut free, &mut ready).unwrap();
                    got.extend(ready.iter().map(|buffer| buffer.frame().to_vec()));
                    free.append(&mut ready);
                }
                assert!(got == frames, "{tags} tags, {family:?}, flags {flags:#x}: other frames came out");
                // The kernel itself cuts what has two tags.
                if tags < 2 {
                    assert_eq!(
                        b.counters().transmitted_superframes,
                        superframes + 1,
                        "{tags} tags, {family:?}"
                    );
                }
            }
        }
    }
}

/// Waits until the host wants what is expected, ringing or not.
fn expect(tap: &mut Tap, what: &str, ring: bool, is: impl Fn(&HostWish) -> bool) -> HostWish {
    let start = Instant::now();
    loop {
        let wish = tap.wish().unwrap();
        if is(&wish) {
            return wish;
        }
        assert!(start.elapsed() < PATIENCE, "{what}: {wish:?}");
        let doorbell = tap.wish_readiness().unwrap();
        let mut fds = [PollFd::from_borrowed_fd(doorbell, PollFlags::IN)];
        wait(&mut fds, if ring { PATIENCE } else { Duration::from_millis(10) });
    }
}

#[test]
fn what_the_host_wants_is_seen_as_it_changes() {
    let Some(namespace) = Namespace::new("what_the_host_wants_is_seen_as_it_changes") else { return };
    let mac = "52:54:00:12:34:56".parse().unwrap();
    let options = TapOptions {
        name: "eth-test".into(),
        mac: Some(mac),
        mtu: Some(1400),
        queue_length: Some(100),
        ..TapOptions::default()
    };
    let mut tap = namespace.tap(&options);
    assert_eq!(tap.name(), "eth-test");
    let wish = tap.wish().unwrap();
    assert_eq!(
        (wish.up, wish.promiscuous, wish.all_multicast, wish.mtu, wish.mac),
        (false, false, false, 1400, mac)
    );
    assert!(namespace.exec("cat /sys/class/net/eth-test/tx_queue_len").starts_with("100\n"));

    let frame = || [VecBuffer::from(TcpTemplate::default().frame(0, b"x"))];
    let received = tap.receive(&mut frame()).unwrap();
    assert_eq!((received.delivered, received.dropped, tap.counters().received_while_down), (0, 1, 1));

    namespace.ip("link set eth-test up");
    expect(&mut tap, "up", true, |wish| wish.up);
    assert_eq!(tap.receive(&mut frame()).unwrap().delivered, 1);
    assert_eq!(namespace.exec("cat /sys/class/net/eth-test/carrier"), "0\n");
    tap.set_carrier(true).unwrap();
    assert_eq!(namespace.exec("cat /sys/class/net/eth-test/carrier"), "1\n");
    tap.set_speed(480, true).unwrap();
    assert_eq!(namespace.exec("cat /sys/class/net/eth-test/speed"), "480\n");
    assert_eq!(namespace.exec("cat /sys/class/net/eth-test/duplex"), "full\n");

    namespace.ip("link set eth-test promisc on");
    expect(&mut tap, "promiscuous", true, |wish| wish.promiscuous);
    namespace.ip("link set eth-test promisc off");
    expect(&mut tap, "no longer promiscuous", true, |wish| !wish.promiscuous);
    namespace.ip("link set eth-test allmulticast on");
    expect(&mut tap, "all multicast", true, |wish| wish.all_multicast && !wish.promiscuous);
    namespace.ip("link set eth-test allmulticast off");
    // A bridge asks for everything without the flag that a person would set.
    namespace.ip("link add br0 type bridge");
    namespace.ip("link set eth-test master br0");
    expect(&mut tap, "promiscuous for a bridge", true, |wish| wish.promiscuous);
    namespace.ip("link set eth-test nomaster");
    expect(&mut tap, "no longer promiscuous for a bridge", true, |wish| {
        !wish.promiscuous && !wish.all_multicast
    });

    namespace.ip("link set eth-test mtu 1280");
    expect(&mut tap, "another MTU", true, |wish| wish.mtu == 1280);
    namespace.ip("link set eth-test address 52:54:00:65:43:21");
    expect(&mut tap, "another address", true, |wish| wish.mac.to_string() == "52:54:00:65:43:21");
    namespace.ip("maddr add 01:00:5e:01:02:03 dev eth-test");
    let has = |wish: &HostWish| wish.multicast.iter().any(|mac| mac.to_string() == "01:00:5e:01:02:03");
    // Nothing rings for this.
    expect(&mut tap, "a group", false, has);
    namespace.ip("maddr del 01:00:5e:01:02:03 dev eth-test");
    expect(&mut tap, "no group", false, |wish| !has(wish));

    namespace.ip("link set eth-test down");
    namespace.ip("link set eth-test name renamed");
    expect(&mut tap, "down", true, |wish| !wish.up);
    assert_eq!(tap.name(), "renamed");
    tap.set_speed(100, false).unwrap();
    tap.set_mtu(1500).unwrap();
}

#[test]
fn an_address_that_udev_puts_in_place_of_ours_does_not_stay() {
    let Some(namespace) = Namespace::new("an_address_that_udev_puts_in_place_of_ours_does_not_stay") else {
        return;
    };
    let mac = "00:11:22:33:44:55".parse().unwrap();
    let mut tap =
        namespace.tap(&TapOptions { name: "young".into(), mac: Some(mac), ..TapOptions::default() });
    // As udev's MACAddressPolicy=persistent does it, once.
    namespace.ip("link set young address 7e:33:18:30:9e:b4");
    assert_eq!(tap.wish().unwrap().mac, mac);
    assert_eq!(namespace.exec("cat /sys/class/net/young/address"), "00:11:22:33:44:55\n");
    // A person's change stays.
    namespace.ip("link set young address 7e:33:18:30:9e:b5");
    expect(&mut tap, "the person's address", true, |wish| wish.mac.to_string() == "7e:33:18:30:9e:b5");
}

#[test]
fn a_report_of_membership_is_seen_among_the_frames() {
    let Some(namespace) = Namespace::new("a_report_of_membership_is_seen_among_the_frames") else { return };
    let mut tap = namespace.tap(&TapOptions { carrier: true, ..TapOptions::default() });
    namespace.ip("addr add 10.77.0.1/24 dev ecm0");
    namespace.ip("link set ecm0 up");
    let socket = namespace.run(|| UdpSocket::bind("0.0.0.0:0").unwrap());
    socket.join_multicast_v4(&[239, 1, 2, 3].into(), &[10, 77, 0, 1].into()).unwrap();
    let (mut free, start) = (vec![VecBuffer::new(2048)], Instant::now());
    loop {
        let mut ready = Vec::new();
        let mut fds = [PollFd::from_borrowed_fd(tap.readiness().unwrap(), PollFlags::IN)];
        wait(&mut fds, PATIENCE);
        tap.transmit(&mut free, &mut ready).unwrap();
        free.append(&mut ready);
        if tap.wish_may_have_changed()
            && tap.wish().unwrap().multicast.iter().any(|mac| mac.to_string() == "01:00:5e:01:02:03")
        {
            break;
        }
        assert!(start.elapsed() < PATIENCE);
    }
    assert!(!tap.wish_may_have_changed());
}

/// A driver's successor in another network namespace goes on where it was, and a third process cannot be fooled into
/// serving something else.
#[test]
fn the_descriptors_are_all_that_a_successor_needs() {
    let test = "the_descriptors_are_all_that_a_successor_needs";
    let (Some(namespace), Some(elsewhere)) = (Namespace::new(test), Namespace::new(test)) else { return };
    let fds = namespace.tap(&TapOptions::default()).into_fds();
    let mut tap = elsewhere.run(|| Tap::from_fds(fds).unwrap());
    assert_eq!(tap.name(), "ecm0");
    namespace.ip("link set ecm0 up");
    expect(&mut tap, "up", true, |wish| wish.up);
    tap.set_carrier(true).unwrap();
    tap.set_speed(480, true).unwrap();
    assert_eq!(namespace.exec("cat /sys/class/net/ecm0/speed"), "480\n");
    let frame = TcpTemplate::default().frame(0, b"x");
    assert_eq!(tap.receive(&mut [VecBuffer::from(frame)]).unwrap().delivered, 1);

    let tun = tap.into_fds().tun;
    let error = elsewhere.run(|| Tap::from_fd(tun)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
    let null = std::fs::File::open("/dev/null").unwrap();
    assert_eq!(Tap::from_fd(null.into()).unwrap_err().kind(), ErrorKind::Unsupported);
}

/// What a person did to an interface stays while nobody serves it.
#[test]
fn copies_of_the_descriptors_keep_the_interface() {
    let Some(namespace) = Namespace::new("copies_of_the_descriptors_keep_the_interface") else { return };
    let mut tap = namespace.tap(&TapOptions::default());
    namespace.ip("addr add 10.77.0.1/24 dev ecm0");
    namespace.ip("link set ecm0 up");
    tap.set_carrier(true).unwrap();
    let kept = tap.try_clone_fds().unwrap();
    drop(tap);
    assert!(namespace.exec("ip addr show dev ecm0").contains("10.77.0.1/24"));

    let mut tap = namespace.run(|| Tap::from_fds(kept).unwrap());
    expect(&mut tap, "still up", false, |wish| wish.up);
    let frame = TcpTemplate::default().frame(0, b"x");
    assert_eq!(tap.receive(&mut [VecBuffer::from(frame)]).unwrap().delivered, 1);
    tap.set_carrier(false).unwrap();
    assert_eq!(namespace.exec("cat /sys/class/net/ecm0/carrier"), "0\n");
    drop(tap);
    // A command that another test is starting has copies of all descriptors until it is executed.
    let end = Instant::now() + Duration::from_secs(20);
    while namespace.exec("ip link").contains("ecm0") {
        assert!(Instant::now() < end, "nobody keeps it any more, and it is still there");
    }
}

#[test]
fn a_deleted_interface_and_a_taken_name_are_clear_errors() {
    let Some(namespace) = Namespace::new("a_deleted_interface_and_a_taken_name_are_clear_errors") else {
        return;
    };
    let mut tap = namespace.tap(&TapOptions::default());
    let taken = TapOptions { name: "ecm0".into(), ..TapOptions::default() };
    assert_eq!(namespace.run(|| Tap::create(&taken)).unwrap_err().kind(), ErrorKind::Busy);
    let long = TapOptions { name: "sixteen-bytes-xx".into(), ..TapOptions::default() };
    assert_eq!(namespace.run(|| Tap::create(&long)).unwrap_err().kind(), ErrorKind::Malformed);

    namespace.ip("link del ecm0");
    let mut fds = [PollFd::from_borrowed_fd(tap.readiness().unwrap(), PollFlags::IN)];
    wait(&mut fds, PATIENCE);
    assert!(!fds[0].revents().is_empty(), "the deletion is a sign of readiness");
    let mut frames = [VecBuffer::from(TcpTemplate::default().frame(0, b"x"))];
    let (mut free, mut ready) = (vec![VecBuffer::new(2048)], Vec::new());
    let errors = [
        tap.receive(&mut frames).unwrap_err(),
        tap.transmit(&mut free, &mut ready).unwrap_err(),
        tap.set_carrier(true).unwrap_err(),
        tap.set_speed(100, true).unwrap_err(),
        tap.wish().unwrap_err(),
        tap.set_mtu(1000).unwrap_err(),
    ];
    for error in errors {
        assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
        println!("{error}");
    }
    assert_eq!(free.len(), 1, "no buffer is lost");
}
