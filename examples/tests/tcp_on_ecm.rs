//! TCP over a dongle with a host behind it, in one process and virtual time.

use std::net::Ipv4Addr;

use outboard_core::queue::{self, Clock, DispatchQueue};
use outboard_core::usb::Device;
use outboard_core::usb::transport::in_process::InProcess;
use outboard_core::{ErrorKind, Result};
use outboard_examples::tcp_on_ecm::echo;
use outboard_virtual_devices::ecm::{EcmDongle, EcmOptions};
use outboard_virtual_devices::host::{Host, HostOptions};

const ADDRESS: (Ipv4Addr, u8) = (Ipv4Addr::new(10, 0, 2, 15), 24);
const PEER: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 1);

fn talk(port: u16, message: &[u8]) -> Result<Vec<u8>> {
    DispatchQueue::run("Default", Clock::Virtual, |_| async {
        let dongle = EcmDongle::new(EcmOptions::default(), Host::new(&HostOptions::default(), queue::now()));
        let (transport, plug) = InProcess::new("1-1", dongle);
        let answer = echo(Device::open(transport).await?, ADDRESS, (PEER, port), message).await;
        assert_eq!(plug.with(|dongle| dongle.faults().to_vec()), [], "the dongle has nothing to complain of");
        answer
    })
    .unwrap()
}

#[test]
fn a_megabyte_comes_back_as_it_was_sent() {
    let message: Vec<u8> = (0..1_000_000u32).map(|n| (n * 7 / 3) as u8).collect();
    assert!(talk(7, &message).unwrap() == message);
}

#[test]
fn a_closed_port_is_told() {
    assert_eq!(talk(1, b"anybody?").unwrap_err().kind(), ErrorKind::Refused);
}
