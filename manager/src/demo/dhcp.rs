//! An ordinary DHCP client (smoltcp's) on an interface that has no address yet. It must not know who serves, and sets nothing.

use std::net::Ipv4Addr;
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use outboard_core::{Error, ErrorKind, MacAddr, Result};
use smoltcp::iface::{Config, Interface, SocketSet};
use smoltcp::phy::{self, Medium, RawSocket};
use smoltcp::socket::dhcpv4;
use smoltcp::wire::{EthernetAddress, HardwareAddress};

/// What the server gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Lease {
    pub(crate) address: Ipv4Addr,
    /// Bits of the network's part.
    pub(crate) prefix: u8,
    pub(crate) server: Ipv4Addr,
}

/// Longer than a client waits with its fourth try (RFC 2131, 4.1).
const PATIENCE: Duration = Duration::from_secs(30);
/// The longest sleep between two looks.
const STEP: smoltcp::time::Duration = smoltcp::time::Duration::from_millis(200);

/// Asks for a lease on an interface that is up.
///
/// # Errors
/// TimedOut: nobody answered. Refused: a raw socket needs CAP_NET_RAW.
pub(crate) fn ask(interface: &str, mac: MacAddr) -> Result<Lease> {
    let mut device = RawSocket::new(interface, Medium::Ethernet)
        .map_err(|error| Error::os(format!("open a raw socket on {interface}"), error))?;
    let config = Config::new(HardwareAddress::Ethernet(EthernetAddress(mac.octets())));
    let mut stack = Interface::new(config, &mut device, smoltcp::time::Instant::now());
    let mut sockets = SocketSet::new(Vec::new());
    let client = sockets.add(dhcpv4::Socket::new());
    let end = Instant::now() + PATIENCE;
    while Instant::now() < end {
        let now = smoltcp::time::Instant::now();
        stack.poll(now, &mut device, &mut sockets);
        if let Some(dhcpv4::Event::Configured(given)) = sockets.get_mut::<dhcpv4::Socket<'_>>(client).poll() {
            let (address, server) = (given.address.address(), given.server.address);
            return Ok(Lease { address, prefix: given.address.prefix_len(), server });
        }
        let delay = stack.poll_delay(now, &sockets).map_or(STEP, |delay| delay.min(STEP));
        phy::wait(device.as_raw_fd(), Some(delay))
            .map_err(|error| Error::os("wait for the DHCP server", error))?;
    }
    let reason = format!("no server answered within {} s", PATIENCE.as_secs());
    Err(Error::new(ErrorKind::TimedOut, format!("ask for an address on {interface}"), reason))
}
