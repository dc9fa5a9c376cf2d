//! The server on sockets: TCP and a socketpair, with clients of this test's own.

use std::cell::RefCell;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::rc::Rc;
use std::sync::mpsc;
use std::thread;

use outboard_core::queue::{Clock, DispatchQueue};
use outboard_core::usb::usbip::operation::Status;
use outboard_core::usb::usbip::urb::{Submit, flags};
use outboard_core::usb::{Direction, Recipient, standard};
use outboard_virtual_devices::ecm::{EcmDongle, EcmOptions, FRAMES_IN, FRAMES_OUT};
use outboard_virtual_devices::usbip::{Ended, Event, Exports, News, PeerError, serve_listener, serve_stream};
use outboard_virtual_devices::wire::Wire;
use tokio::net::{TcpListener, UnixStream};
use tokio::sync::Notify;

use super::client::{Answer, Client, Way, import, list};

impl Way for TcpStream {
    fn send(&mut self, bytes: &[u8]) {
        self.write_all(bytes).unwrap();
    }

    fn receive(&mut self, count: usize) -> Option<Vec<u8>> {
        let mut bytes = vec![0; count];
        self.read_exact(&mut bytes).ok()?;
        Some(bytes)
    }
}

impl Way for std::os::unix::net::UnixStream {
    fn send(&mut self, bytes: &[u8]) {
        self.write_all(bytes).unwrap();
    }

    fn receive(&mut self, count: usize) -> Option<Vec<u8>> {
        let mut bytes = vec![0; count];
        self.read_exact(&mut bytes).ok()?;
        Some(bytes)
    }
}

/// A wire that sends every frame back.
#[derive(Default)]
struct Mirror(std::collections::VecDeque<Vec<u8>>);

impl Wire for Mirror {
    fn to_wire(&mut self, frame: &[u8], _: std::time::Instant) {
        self.0.push_back(frame.to_vec());
    }

    fn from_wire(&mut self, frame: &mut Vec<u8>, _: std::time::Instant) -> bool {
        let Some(next) = self.0.pop_front() else { return false };
        *frame = next;
        true
    }
}

/// What the server said, without addresses.
#[derive(Debug, PartialEq)]
enum Said {
    News(News),
    Ended(Option<String>, Result<(), String>),
}

/// A server of two dongles on a thread of its own, for as long as the handle is kept.
struct Server {
    address: SocketAddr,
    said: mpsc::Receiver<Said>,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Server {
    fn start() -> Self {
        let (ready, address) = mpsc::channel();
        let (tell, said) = mpsc::channel();
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let thread = thread::spawn(move || {
            DispatchQueue::run("Server", Clock::Real, async move |_| {
                let exports = Exports::new();
                for _ in 0..2 {
                    exports.add(EcmDongle::new(EcmOptions::default(), Mirror::default()));
                }
                let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
                ready.send(listener.local_addr().unwrap()).unwrap();
                let tell = move |_, event| {
                    let said = match event {
                        Event::News(news) => Said::News(news),
                        Event::Ended(had, ended) => {
                            Said::Ended(had, ended.map_err(|error| error.to_string()))
                        }
                    };
                    tell.send(said).ok();
                };
                tokio::select! {
                    ended = serve_listener(listener, &exports, tell) => panic!("{ended:?}"),
                    _ = stopped => {}
                }
            })
            .unwrap();
        });
        let address = address.recv().unwrap();
        Self { address, said, stop: Some(stop), thread: Some(thread) }
    }

    fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            assert!(thread.join().is_ok() || thread::panicking());
        }
    }
}

#[test]
fn clients_come_and_go_over_tcp() {
    let server = Server::start();
    let mut way = server.connect();
    assert_eq!(list(&mut way).len(), 2);
    assert_eq!(way.receive(1), None, "the connection ends behind the list");
    assert_eq!(server.said.recv().unwrap(), Said::News(News::Listed));
    assert_eq!(server.said.recv().unwrap(), Said::Ended(None, Ok(())));

    let mut client = Client::new(server.connect(), "1-1").unwrap();
    assert_eq!(server.said.recv().unwrap(), Said::News(News::Imported("1-1".into())));
    assert_eq!(import(&mut server.connect(), "1-1").unwrap_err(), Status::Busy);
    assert_eq!(server.said.recv().unwrap(), Said::News(News::Refused("1-1".into(), Status::Busy)));
    assert_eq!(server.said.recv().unwrap(), Said::Ended(None, Ok(())));
    client.start_ecm();
    // More than the socket's buffers hold: both sides have to go on reading while they write.
    let count = 4000u32;
    let mut writer = Client::over(client.way.try_clone().unwrap(), client.devid, client.next);
    let frame = |n: u32| {
        let mut frame = vec![2; 1000 + n as usize % 500];
        frame[14..18].copy_from_slice(&n.to_be_bytes());
        frame
    };
    let first = client.next;
    let submitted: Vec<_> = (0..count).map(|n| (first + 2 * n, first + 2 * n + 1)).collect();
    for (receive, send) in &submitted {
        client.expect(*receive, Direction::In);
        client.expect(*send, Direction::Out);
    }
    let (window, room) = mpsc::sync_channel(200);
    let sending = thread::spawn(move || {
        for n in 0..count {
            window.send(()).unwrap();
            writer.submit_in(FRAMES_IN, 2048);
            let frame = frame(n);
            let whole = writer.transfer(Direction::Out, FRAMES_OUT, frame.len());
            writer.submit(Submit { flags: flags::ZERO_PACKET, ..whole }, &frame);
        }
    });
    let mut received = 0;
    let mut sent = 0;
    while received < count {
        match client.answer().expect("an answer") {
            Answer::Returned { seqnum, status, data, .. } if data.is_empty() => {
                assert_eq!((seqnum, status), (submitted[sent as usize].1, 0));
                sent += 1;
            }
            Answer::Returned { seqnum, status, data, .. } => {
                assert_eq!((seqnum, status), (submitted[received as usize].0, 0));
                assert!(data == frame(received), "frame {received}");
                received += 1;
                room.recv().unwrap();
            }
            other => panic!("{other:?}"),
        }
    }
    sending.join().unwrap();
    drop(client);
    assert_eq!(server.said.recv().unwrap(), Said::Ended(Some("1-1".into()), Ok(())));
    let mut again = Client::new(server.connect(), "1-1").unwrap();
    assert_eq!(again.get(Recipient::Device, standard::GET_CONFIGURATION, 0, 0, 1), Ok(vec![0]));
}

#[test]
fn a_bad_peer_ends_alone() {
    let server = Server::start();
    let mut good = Client::new(server.connect(), "1-1").unwrap();
    assert_eq!(server.said.recv().unwrap(), Said::News(News::Imported("1-1".into())));
    let mut bad = Client::new(server.connect(), "1-2").unwrap();
    assert_eq!(server.said.recv().unwrap(), Said::News(News::Imported("1-2".into())));
    bad.way.send(&[0xff; 48]);
    assert_eq!(bad.way.receive(1), None);
    let why = "command is 0xffffffff, which is not one of this direction";
    assert_eq!(server.said.recv().unwrap(), Said::Ended(Some("1-2".into()), Err(why.into())));
    let mut cut = Client::new(server.connect(), "1-2").unwrap();
    assert_eq!(server.said.recv().unwrap(), Said::News(News::Imported("1-2".into())));
    cut.way.send(&[0, 0]);
    drop(cut);
    let why = "the connection was cut off within a header";
    assert_eq!(server.said.recv().unwrap(), Said::Ended(Some("1-2".into()), Err(why.into())));
    good.start_ecm();
}

#[test]
fn a_socketpair_is_a_connection_too() {
    let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
    theirs.set_nonblocking(true).unwrap();
    let client = thread::spawn(move || {
        let mut client = Client::new(ours, "1-1").unwrap();
        client.start_ecm();
        client.submit_out(FRAMES_OUT, &[2; 60]);
        let waiting = client.submit_in(FRAMES_IN, 2048);
        let mut answers = [client.answer().unwrap(), client.answer().unwrap()];
        answers.sort_by_key(|answer| matches!(answer, Answer::Returned { seqnum, .. } if *seqnum == waiting));
        let mirrored = Answer::Returned { seqnum: waiting, status: 0, length: 60, data: vec![2; 60] };
        assert_eq!(answers[1], mirrored);
        client.way.send(&[1]);
    });
    DispatchQueue::run("Server", Clock::Real, async move |_| {
        let exports = Exports::new();
        exports.add(EcmDongle::new(EcmOptions::default(), Mirror::default()));
        let news = Rc::new(RefCell::new(Vec::new()));
        let heard = news.clone();
        let stream = UnixStream::from_std(theirs).unwrap();
        let ended = serve_stream(stream, &exports, move |news| heard.borrow_mut().push(news)).await;
        assert!(matches!(ended, Err(Ended::Peer(PeerError::Cut { within: "a header" }))), "{ended:?}");
        assert_eq!(*news.borrow(), [News::Imported("1-1".into())]);
        assert!(!exports.is_taken("1-1"));
    })
    .unwrap();
    client.join().unwrap();
}

#[test]
fn whoever_stops_to_serve_pulls_the_plug() {
    let (mut ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
    theirs.set_nonblocking(true).unwrap();
    DispatchQueue::run("Server", Clock::Real, async move |_| {
        let exports = Exports::new();
        exports.add(EcmDongle::new(EcmOptions::default(), Mirror::default()));
        ours.send(&outboard_core::usb::usbip::operation::Request::import("1-1").unwrap());
        let imported = Rc::new(Notify::new());
        let tell = imported.clone();
        let stream = UnixStream::from_std(theirs).unwrap();
        tokio::select! {
            ended = serve_stream(stream, &exports, move |_| tell.notify_one()) => panic!("{ended:?}"),
            () = imported.notified() => {}
        }
        assert!(!exports.is_taken("1-1"));
        // The answer to the import was sent or not; behind it is the end.
        let mut rest = Vec::new();
        ours.read_to_end(&mut rest).unwrap();
    })
    .unwrap();
}
