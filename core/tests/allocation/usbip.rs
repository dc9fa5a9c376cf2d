//! The same over a socket. The server is another thread, whose allocations do not count here.

use std::os::unix::net::UnixStream;

use outboard_core::queue::{Clock, DispatchQueue};
use outboard_core::usb::Device;
use outboard_core::usb::transport::usbip::UsbIp;

use super::{MEASURED, measure};

// The tests of USB/IP use the rest of it.
#[allow(dead_code)]
#[path = "../usbip/peer.rs"]
mod peer;

/// Answers everything at once.
fn serve(mut peer: peer::Peer) -> Result<(), peer::Over> {
    peer.ready()?;
    loop {
        let command = peer.command()?;
        if !command.is_submit() {
            // What it was to end is answered already.
            peer.send(&peer::unlinked(command.seqnum(), 0))?;
            continue;
        }
        let data = if command.is_in() { vec![0x55; command.length()] } else { Vec::new() };
        peer.returned(&command, 0, command.length(), &data)?;
    }
}

#[test]
fn a_transfer_over_usbip_allocates_nothing() {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let server = std::thread::spawn(move || serve(peer::Peer::new(theirs, usize::MAX)).err());
    let allocated = DispatchQueue::run("measured", Clock::Real, |_| async {
        let transport = UsbIp::import(ours.into(), "3-1.2", "far").await.unwrap();
        measure(Device::open(transport).await.unwrap()).await
    });
    assert_eq!(allocated.unwrap(), 0, "allocations in {MEASURED} transfers");
    server.join().unwrap();
}
