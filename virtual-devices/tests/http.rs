//! The page about the dongle, asked for through the dongle, in virtual time: by ordinary clients, by slow ones, and by bytes that are no request.

mod common;

use std::net::IpAddr;
use std::time::{Duration, Instant};

use common::client::{Client, V4, V6};
use outboard_core::usb::Speed;
use outboard_virtual_devices::ecm::{EcmOptions, Link, requests};
use outboard_virtual_devices::host::http::{Content, Exchange, HTTP, LONGEST_HEAD};
use outboard_virtual_devices::host::{Host, HostOptions};
use outboard_virtual_devices::wire::Wire;
use proptest::prelude::*;
use serde_json::Value;
use smoltcp::iface::SocketHandle;
use smoltcp::socket::tcp::State;

fn answer_so_far<W: Wire>(client: &mut Client<W>, handle: SocketHandle, text: &mut Vec<u8>) {
    let socket = client.socket(handle);
    while socket.can_recv() {
        socket.recv(|bytes| (bytes.len(), text.extend_from_slice(bytes))).unwrap();
    }
}

/// Sends a request and takes one whole answer: head and body.
fn ask<W: Wire>(client: &mut Client<W>, handle: SocketHandle, request: &str) -> (String, String) {
    let has_body = !request.starts_with("HEAD");
    assert_eq!(client.socket(handle).send_slice(request.as_bytes()), Ok(request.len()));
    let mut text = Vec::new();
    let mut split = (String::new(), String::new());
    client.run(|this| {
        answer_so_far(this, handle, &mut text);
        let all = String::from_utf8(text.clone()).unwrap();
        let Some((head, body)) = all.split_once("\r\n\r\n") else { return false };
        let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: ")).unwrap();
        split = (head.to_owned(), body.to_owned());
        !has_body || body.len() >= length.parse::<usize>().unwrap()
    });
    split
}

fn get<W: Wire>(client: &mut Client<W>, handle: SocketHandle, target: &str) -> (String, String) {
    ask(client, handle, &format!("GET {target} HTTP/1.1\r\nHost: dongle\r\n\r\n"))
}

/// A client on another port than `connect` takes, for several at once.
fn connect_from(client: &mut Client, to: IpAddr, port: u16) -> SocketHandle {
    use smoltcp::socket::tcp::{Socket, SocketBuffer};
    let buffer = || SocketBuffer::new(vec![0; 16 * 1024]);
    let mut socket = Socket::new(buffer(), buffer());
    socket.connect(client.interface.context(), (to, HTTP), port).unwrap();
    let handle = client.sockets.add(socket);
    client.run(|this| matches!(this.socket(handle).state(), State::Established | State::Closed));
    handle
}

#[test]
fn the_page_and_the_status_come_over_both_families_on_one_connection() {
    for (speed, address, link, rate) in [
        (Speed::Full, V4, "up, 10 Mbit/s", 10_000_000),
        (Speed::High, V6, "up, 100 Mbit/s", 100_000_000),
        (Speed::Super, V4, "up, 1 Gbit/s", 1_000_000_000),
    ] {
        let mut client = Client::new(EcmOptions::at(speed));
        let handle = client.connect(address, HTTP);
        let (head, page) = get(&mut client, handle, "/");
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n") && head.contains("text/html"), "{head}");
        assert!(page.starts_with("<!doctype html>") && page.ends_with("</html>\n"));
        assert!(page.contains("<h1>Virtual ECM dongle</h1>") && page.contains("color-scheme:light dark"));
        assert!(page.contains("52:54:00:e0:cc:01") && page.contains(link), "{page}");
        let (head, status) = get(&mut client, handle, "/status.json");
        assert!(head.contains("Content-Type: application/json\r\n"), "{head}");
        let status: Value = serde_json::from_str(&status).unwrap();
        assert_eq!(status["link"]["downlink_bits_per_second"], rate);
        let (head, body) = ask(&mut client, handle, "HEAD / HTTP/1.1\r\nHost: x\r\n\r\n");
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n") && body.is_empty(), "{head}{body}");
        let (head, _) = get(&mut client, handle, "/nothing");
        assert!(head.starts_with("HTTP/1.1 404 "), "{head}");
        let (head, _) = ask(&mut client, handle, "OPTIONS / HTTP/1.1\r\nHost: x\r\n\r\n");
        assert!(head.starts_with("HTTP/1.1 405 ") && head.contains("\r\nAllow: GET, HEAD"), "{head}");
        let (head, _) = ask(&mut client, handle, "nonsense\r\n\r\n");
        assert!(head.starts_with("HTTP/1.1 400 ") && head.ends_with("Connection: close"), "{head}");
        client.run(|this| this.socket(handle).state() == State::CloseWait);
        client.no_faults();
    }
}

/// What the status says is what the dongle had counted when the request was read, the frame with the request included.
#[test]
fn the_status_says_what_the_dongle_counted() {
    let options = EcmOptions {
        link: Link { up: true, downlink: 10_000_000, uplink: 1_000_000 },
        ..EcmOptions::default()
    };
    let mut client = Client::new(options);
    let handle = client.connect(V4, HTTP);
    client.wait(Duration::from_secs(3));
    let before = *client.card.0.dongle().statistics();
    let request = "GET /status.json HTTP/1.1\r\nHost: x\r\n\r\n";
    let (_, status) = ask(&mut client, handle, request);
    let status: Value = serde_json::from_str(&status).unwrap();
    let frame = 14 + 20 + 20 + request.len() as u64;
    assert_eq!(status["transmitted"]["frames"], before.transmitted.frames() + 1);
    assert_eq!(status["transmitted"]["bytes"], before.transmitted.bytes() + frame);
    assert_eq!(status["transmitted"]["directed"]["frames"], before.transmitted.directed.frames + 1);
    assert_eq!(status["transmitted"]["broadcast"]["bytes"], before.transmitted.broadcast.bytes);
    assert_eq!(status["received"]["frames"], before.received.frames());
    assert_eq!(status["received"]["bytes"], before.received.bytes());
    assert_eq!(status["received"]["filtered"], before.filtered);
    assert_eq!(status["link"]["uplink_bits_per_second"], 1_000_000);
    let filter = &status["filter"];
    assert_eq!((&filter["directed"], &filter["promiscuous"]), (&Value::Bool(true), &Value::Bool(false)));
    let uptime = status["device"]["uptime_seconds"].as_f64().unwrap();
    assert!((3.0..4.0).contains(&uptime), "{uptime}");
    client.no_faults();
}

#[test]
fn names_are_escaped_and_groups_are_bounded() {
    let options = EcmOptions { multicast_filters: 2000, ..EcmOptions::default() };
    let mut client = Client::new(options);
    client.card.0.dongle().set_variant("<script>alert(1)</script>");
    let groups: Vec<u8> = (0..1000u32).flat_map(|n| [1, 0, 0x5e, 0, (n >> 8) as u8, n as u8]).collect();
    client.card.0.set(requests::SET_ETHERNET_MULTICAST_FILTERS, 1000, &groups).unwrap();
    client.card.0.filter(0x1c).unwrap();
    let handle = client.connect(V4, HTTP);
    let (_, page) = get(&mut client, handle, "/");
    assert!(
        page.contains("<p>&lt;script&gt;alert(1)&lt;/script&gt;</p>") && !page.contains("<script"),
        "{page}"
    );
    assert!(page.contains("and 936 more") && page.len() < 8192, "{}", page.len());
    let (_, status) = get(&mut client, handle, "/status.json");
    let status: Value = serde_json::from_str(&status).unwrap();
    assert_eq!(status["filter"]["group_count"], 1000);
    assert_eq!(status["filter"]["groups"].as_array().unwrap().len(), 64);
    assert_eq!(status["filter"]["groups"][63], "01:00:5e:00:00:3f");
    assert_eq!(status["device"]["variant"], "<script>alert(1)</script>");
}

/// A host behind a device that tells nothing.
struct Untold(Host);

impl Wire for Untold {
    fn to_wire(&mut self, frame: &[u8], now: Instant) {
        self.0.to_wire(frame, now);
    }

    fn from_wire(&mut self, frame: &mut Vec<u8>, now: Instant) -> bool {
        self.0.from_wire(frame, now)
    }

    fn next_wake(&mut self, now: Instant) -> Option<Instant> {
        self.0.next_wake(now)
    }
}

#[test]
fn where_the_device_tells_nothing_that_is_the_answer() {
    let host = Host::new(&HostOptions::default(), Instant::now());
    let mut client = Client::on(EcmOptions::default(), Untold(host));
    let handle = client.connect(V4, HTTP);
    let begin = client.card.0.now;
    let (head, _) = get(&mut client, handle, "/");
    assert!(head.starts_with("HTTP/1.1 503 ") && head.contains("\r\nRetry-After: 1\r\n"), "{head}");
    assert!(client.card.0.now - begin >= Duration::from_secs(1));
    let (head, _) = get(&mut client, handle, "/elsewhere");
    assert!(head.starts_with("HTTP/1.1 404 "), "{head}");
}

#[test]
fn slow_clients_keep_nobody_waiting_and_lose_their_sockets_when_others_come() {
    let mut client = Client::new(EcmOptions::default());
    // More than there are sockets; each begins a request and does not end it.
    let slow: Vec<_> = (0..12).map(|n| connect_from(&mut client, V4, 41_000 + n)).collect();
    for handle in &slow {
        client.socket(*handle).send_slice(b"GET / HT").unwrap();
    }
    client.wait(Duration::from_secs(2));
    let quick = connect_from(&mut client, V6, 42_000);
    assert_eq!(client.socket(quick).state(), State::Established);
    let (head, _) = get(&mut client, quick, "/");
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    client.wait(Duration::from_secs(30));
    let left = slow.iter().filter(|handle| client.socket(**handle).state() == State::Established).count();
    assert_eq!(left, 0, "a head takes ten seconds at most");
    client.no_faults();
}

#[test]
fn many_short_connections_follow_each_other_at_once() {
    let mut client = Client::new(EcmOptions::default());
    for n in 0..40 {
        let handle = connect_from(&mut client, V4, 43_000 + n);
        assert_eq!(client.socket(handle).state(), State::Established, "connection {n}");
        let (head, _) = ask(&mut client, handle, "GET /status.json HTTP/1.0\r\n\r\n");
        assert!(head.starts_with("HTTP/1.1 200 ") && head.ends_with("Connection: close"), "{head}");
        client.socket(handle).close();
        client.run(|this| !this.socket(handle).may_recv());
        client.wait(Duration::from_millis(10));
        client.sockets.remove(handle);
    }
}

#[test]
fn a_request_without_end_is_refused_and_its_rest_is_thrown_away() {
    let mut client = Client::new(EcmOptions::default());
    let handle = client.connect(V4, HTTP);
    let (mut text, mut sent) = (Vec::new(), 0);
    client.run(|this| {
        let socket = this.socket(handle);
        if socket.may_send() {
            sent += socket.send_slice(&[b'a'; 1000]).unwrap();
        }
        answer_so_far(this, handle, &mut text);
        sent > 200_000 || !this.socket(handle).is_active()
    });
    let text = String::from_utf8(text).unwrap();
    assert!(text.starts_with("HTTP/1.1 431 ") && text.contains("Connection: close"), "{text}");
}

proptest! {
    /// Whatever comes in whatever pieces: no panic, no endless loop, bounded memory, and answers that are answers.
    #[test]
    fn any_bytes_are_taken(pieces in prop::collection::vec(piece(), 0..40), content in 0..5000usize) {
        let mut exchange = Exchange::new();
        for piece in pieces {
            let room = exchange.room();
            prop_assert!(room == usize::MAX || room <= LONGEST_HEAD);
            exchange.feed(&piece[..piece.len().min(room)]);
            if exchange.asks().is_some() {
                exchange.answer(Some(Content { media_type: "text/plain", bytes: vec![b'x'; content] }));
            }
            prop_assert!(exchange.unsent().len() < content + 1024);
            if !exchange.unsent().is_empty() {
                prop_assert!(exchange.asks().is_none());
                exchange.advance(700);
            }
        }
    }
}

fn piece() -> impl Strategy<Value = Vec<u8>> {
    let word = prop::sample::select(vec![
        "GET ",
        "HEAD ",
        "/",
        " HTTP/1.1\r\n",
        " HTTP/1.0\r\n",
        "Host: x\r\n",
        "\r\n",
        "Content-Length: ",
        "5",
        "\r\n\r\n",
        "\0",
        "Transfer-Encoding: chunked\r\n",
        "Connection: close\r\n",
        "/status.json",
        "\n",
        ":",
        "\u{ff}",
        "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    ]);
    prop_oneof![
        4 => word.prop_map(|word| word.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 0..600),
    ]
}
