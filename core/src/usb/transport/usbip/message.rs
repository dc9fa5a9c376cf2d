//! What each operation is on the wire. It must not know when it is sent.

use rustix::io::Errno;

use super::describe::Layout;
use crate::usb::transfer::{Operation, Urb};
use crate::usb::usbip::urb::{MOST_DATA, Submit, flags};
use crate::usb::{Direction, Recipient, RequestKind, SetupPacket, TransferType, endpoint_number, standard};

/// SetPortFeature(PORT_RESET) (USB 2.0, 11.24.2.13 and Table 11-17), which servers take as a reset of the device, whatever the port.
const RESET: SetupPacket =
    SetupPacket::new(Direction::Out, RequestKind::Class, Recipient::Other, standard::SET_FEATURE, 4, 1, 0);

/// The message that a request begins with; its number is still 0.
///
/// # Errors
/// MSGSIZE: it has more data than a message carries.
pub(super) fn of(urb: &Urb, devid: u32, layout: &Layout) -> Result<Submit, Errno> {
    use Operation as O;
    Ok(match urb.operation {
        O::Transfer { endpoint, transfer_type, request, zero_packet } => {
            let direction = Direction::of(endpoint);
            let (length, flags) = match direction {
                Direction::In => (request.min(urb.buffer.capacity()), flags::DIR_IN),
                Direction::Out if zero_packet && transfer_type == TransferType::Bulk => {
                    (urb.buffer.len(), flags::ZERO_PACKET)
                }
                Direction::Out => (urb.buffer.len(), 0),
            };
            Submit {
                seqnum: 0,
                devid,
                direction,
                endpoint: endpoint_number(endpoint),
                flags,
                length: u32::try_from(length)
                    .ok()
                    .filter(|length| *length <= MOST_DATA)
                    .ok_or(Errno::MSGSIZE)?,
                interval: match transfer_type {
                    TransferType::Interrupt => layout.interval(endpoint),
                    _ => 0,
                },
                setup: SetupPacket::from_bytes([0; 8]),
            }
        }
        O::Control(setup) => {
            let length = usize::from(setup.length).min(urb.buffer.capacity()) as u16;
            control(devid, SetupPacket { length, ..setup })
        }
        O::SetConfiguration(value) => {
            standard(devid, Recipient::Device, standard::SET_CONFIGURATION, value.into(), 0)
        }
        O::SetInterface { interface, alternate } => set_interface(devid, interface, alternate),
        O::ClearHalt { endpoint } => {
            let feature = standard::ENDPOINT_HALT;
            standard(devid, Recipient::Endpoint, standard::CLEAR_FEATURE, feature, endpoint.into())
        }
        O::Reset => control(devid, RESET),
    })
}

/// SET_INTERFACE (USB 2.0, 9.4.10).
pub(super) fn set_interface(devid: u32, interface: u8, alternate: u8) -> Submit {
    standard(devid, Recipient::Interface, standard::SET_INTERFACE, alternate.into(), interface.into())
}

fn standard(devid: u32, recipient: Recipient, request: u8, value: u16, index: u16) -> Submit {
    let kind = RequestKind::Standard;
    control(devid, SetupPacket::new(Direction::Out, kind, recipient, request, value, index, 0))
}

fn control(devid: u32, setup: SetupPacket) -> Submit {
    // Without a data stage there is nothing to come in (USB 2.0, 9.3.1).
    let direction = if setup.length == 0 { Direction::Out } else { setup.direction() };
    let flags = if direction == Direction::In { flags::DIR_IN } else { 0 };
    let length = setup.length.into();
    Submit { seqnum: 0, devid, direction, endpoint: 0, flags, length, interval: 0, setup }
}
