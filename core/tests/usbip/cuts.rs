//! A session whose connection is cut after every single byte that the server sends: everything that was out comes back, and nothing hangs.

use outboard_core::ErrorKind;
use outboard_core::usb::transfer::{Token, TransferError};
use outboard_core::usb::transport::Transport;
use outboard_core::usb::transport::usbip::{Loss, UsbIp};

use crate::peer::{CONNRESET, Over, Peer, descriptors, unlinked};
use crate::rig::*;

fn session(peer: &mut Peer) -> Result<(), Over> {
    peer.ready()?;
    let (input, output, waiting) = (peer.command()?, peer.command()?, peer.command()?);
    peer.returned(&input, 0, 11, b"hello there")?;
    peer.returned(&output, 0, 3, &[])?;
    let unlink = peer.command()?;
    assert_eq!(unlink.victim(), waiting.seqnum());
    peer.send(&unlinked(unlink.seqnum(), CONNRESET))
}

#[test]
fn a_connection_may_end_at_any_byte() {
    let total = 8 + 312 + 4 * 48 + descriptors().len() + 9 + 1 + 48 + 11 + 48 + 48;
    let imported = total - (48 + 11 + 48 + 48);
    for budget in 0..total {
        play_within(budget.max(1), session, async |fd| {
            let mut client = match UsbIp::import(fd, "3-1.2", "far").await {
                Ok(client) => client,
                Err(error) => {
                    assert!(budget <= imported, "{budget}: {error}");
                    assert_eq!(error.kind(), ErrorKind::Unplugged, "{budget}: {error}");
                    return;
                }
            };
            assert!(budget >= imported, "{budget}");
            submit(&mut client, urb(1, 0x81, &[0; 64]));
            submit(&mut client, urb(2, 0x02, b"out"));
            submit(&mut client, urb(3, 0x83, &[0; 64]));
            let mut all = Vec::new();
            let mut over = false;
            while all.len() < 2 && !over {
                let (reaped, ends) = reap(&mut client).await;
                over = reaped == outboard_core::usb::transport::Reaped::Gone;
                all.extend(ends);
            }
            if !over {
                client.cancel(Token(3));
                all.extend(gone(&mut client).await);
            }
            let mut tokens: Vec<_> = all.iter().map(|(token, ..)| *token).collect();
            tokens.sort_unstable();
            assert_eq!(tokens, [1, 2, 3], "{budget}: each once");
            let ended_well = all.iter().filter(|(_, status, _)| status.is_ok()).count();
            let sent = budget - imported;
            assert_eq!(
                ended_well,
                usize::from(sent >= 59) + usize::from(sent >= 59 + 48),
                "{budget}: {all:?}"
            );
            assert!(
                all.iter().all(|(_, status, _)| status.is_ok() || *status == Err(TransferError::Unplugged))
            );
            let loss = client.fate().loss().unwrap();
            let between = [0, 59, 59 + 48].contains(&sent);
            // Closing with unread data of ours in the socket resets the connection.
            let reset = matches!(loss, Loss::System(number) if number == 104);
            assert!(reset || loss == if between { Loss::Closed } else { Loss::Cut }, "{budget}: {loss:?}");
        });
    }
}
