//! What the server owes: transfers and unlinks by their sequence numbers. It must not know sockets, nor what a transfer is for.
//!
//! A table whose size is a power of two, at most half full, indexed by the low bits of the number. Numbers go up by one; one whose place
//! is taken is left out, so that a number is never used again while its message is out, and a look-up is one comparison. It grows to
//! twice the deepest that a driver queues, then never again.

use std::collections::VecDeque;

use crate::usb::transfer::{Token, Urb};
use crate::usb::usbip::urb::{Command, HEADER, Submit};

/// Transfers that may be out at once; drivers queue hundreds.
pub(super) const MOST: usize = 1 << 16;

/// Unlinks that may be out at once. A server that completes the transfers and leaves the unlinks unanswered gets no more of our memory.
pub(super) const MOST_UNLINKS: usize = 1 << 12;

/// Transfers remembered after their unlink was answered with anything but -ECONNRESET; see [`Outstanding::forget`].
const GHOSTS: usize = 64;

/// The token of what the transport sends of its own accord, whose end nobody waits for.
pub(super) const OWN: Token = Token(u32::MAX);

/// The smallest table.
const SMALLEST: usize = 64;

/// A transfer that is on its way.
#[derive(Debug)]
pub(super) struct Transfer {
    pub(super) urb: Urb,
    /// As it was sent, or will be.
    pub(super) submit: Submit,
    header: [u8; HEADER],
    /// All of it was given to the system; before that no answer can be true.
    pub(super) sent: bool,
    /// It is to end early.
    pub(super) unlinked: bool,
    /// How many messages of a reset were answered before this one.
    pub(super) stage: usize,
}

impl Transfer {
    /// What follows the header.
    fn data(&self) -> &[u8] {
        let space = self.urb.buffer.space();
        &space[..self.submit.data_length().min(space.len())]
    }
}

#[derive(Debug)]
enum Entry {
    Free,
    // Boxing would cost an allocation per transfer.
    Transfer(Transfer),
    Unlink { header: [u8; HEADER], seqnum: u32, victim: u32, sent: bool },
}

impl Entry {
    fn seqnum(&self) -> Option<u32> {
        match self {
            Self::Free => None,
            Self::Transfer(transfer) => Some(transfer.submit.seqnum),
            Self::Unlink { seqnum, .. } => Some(*seqnum),
        }
    }
}

/// The table.
#[derive(Debug)]
pub(super) struct Outstanding {
    entries: Vec<Entry>,
    transfers: usize,
    unlinks: usize,
    /// Unlinks that were answered since the beginning.
    answered: u64,
    next: u32,
    /// The number of a token's transfer; 0 for none.
    by_token: Vec<u32>,
    /// What their ends would be the ends of.
    ghosts: VecDeque<Submit>,
}

impl Outstanding {
    pub(super) fn new() -> Self {
        Self {
            entries: (0..SMALLEST).map(|_| Entry::Free).collect(),
            transfers: 0,
            unlinks: 0,
            answered: 0,
            next: 1,
            by_token: Vec::new(),
            ghosts: VecDeque::with_capacity(GHOSTS),
        }
    }

    pub(super) fn transfers(&self) -> usize {
        self.transfers
    }

    pub(super) fn unlinks(&self) -> usize {
        self.unlinks
    }

    pub(super) fn answered_unlinks(&self) -> u64 {
        self.answered
    }

    fn index(&self, seqnum: u32) -> usize {
        seqnum as usize & (self.entries.len() - 1)
    }

    /// A number that names nothing, with its place in the table.
    fn fresh(&mut self) -> u32 {
        if (self.transfers + self.unlinks + 1) * 2 > self.entries.len() {
            self.grow();
        }
        loop {
            let seqnum = self.next;
            self.next = self.next.wrapping_add(1);
            if seqnum != 0 && matches!(self.entries[self.index(seqnum)], Entry::Free) {
                return seqnum;
            }
        }
    }

    fn grow(&mut self) {
        let larger = (0..self.entries.len() * 2).map(|_| Entry::Free).collect();
        // Different places in the small table are different places in the large one.
        for entry in std::mem::replace(&mut self.entries, larger) {
            if let Some(seqnum) = entry.seqnum() {
                let index = self.index(seqnum);
                self.entries[index] = entry;
            }
        }
    }

    /// Takes a transfer in and gives it its number.
    pub(super) fn add(&mut self, urb: Urb, submit: Submit, stage: usize) -> u32 {
        let seqnum = self.fresh();
        if urb.token != OWN {
            let token = urb.token.0 as usize;
            if self.by_token.len() <= token {
                self.by_token.resize(token + 1, 0);
            }
            self.by_token[token] = seqnum;
        }
        let submit = Submit { seqnum, ..submit };
        let (header, index) = (submit.to_bytes(), self.index(seqnum));
        self.entries[index] =
            Entry::Transfer(Transfer { urb, submit, header, sent: false, unlinked: false, stage });
        self.transfers += 1;
        seqnum
    }

    /// Takes an unlink in and gives it its number.
    pub(super) fn add_unlink(&mut self, devid: u32, victim: u32) -> u32 {
        let seqnum = self.fresh();
        let (header, index) = (Command::Unlink { seqnum, devid, victim }.to_bytes(), self.index(seqnum));
        self.entries[index] = Entry::Unlink { header, seqnum, victim, sent: false };
        self.unlinks += 1;
        seqnum
    }

    /// The number of the transfer with this token.
    pub(super) fn named(&self, token: Token) -> Option<u32> {
        self.by_token.get(token.0 as usize).copied().filter(|seqnum| *seqnum != 0)
    }

    pub(super) fn transfer(&mut self, seqnum: u32) -> Option<&mut Transfer> {
        let index = self.index(seqnum);
        match &mut self.entries[index] {
            Entry::Transfer(transfer) if transfer.submit.seqnum == seqnum => Some(transfer),
            _ => None,
        }
    }

    /// Takes a transfer out.
    pub(super) fn take(&mut self, seqnum: u32) -> Option<Transfer> {
        self.transfer(seqnum)?;
        let index = self.index(seqnum);
        let Entry::Transfer(transfer) = std::mem::replace(&mut self.entries[index], Entry::Free) else {
            return None;
        };
        if transfer.urb.token != OWN {
            self.by_token[transfer.urb.token.0 as usize] = 0;
        }
        self.transfers -= 1;
        Some(transfer)
    }

    /// Takes an unlink out that was sent; returns its victim's number, which may name nothing any more.
    pub(super) fn take_unlink(&mut self, wanted: u32) -> Option<u32> {
        let index = self.index(wanted);
        let Entry::Unlink { seqnum, victim, sent: true, .. } = self.entries[index] else { return None };
        if seqnum != wanted {
            return None;
        }
        self.entries[index] = Entry::Free;
        self.unlinks -= 1;
        self.answered += 1;
        Some(victim)
    }

    /// Takes out all there is, the oldest transfer first; what is our own is dropped.
    pub(super) fn take_all(&mut self) -> Vec<Transfer> {
        let mut numbers: Vec<u32> = self.by_token.iter().copied().filter(|seqnum| *seqnum != 0).collect();
        numbers.sort_unstable_by_key(|seqnum| std::cmp::Reverse(self.next.wrapping_sub(*seqnum)));
        let all = numbers.into_iter().filter_map(|seqnum| self.take(seqnum)).collect();
        self.entries.fill_with(|| Entry::Free);
        (self.transfers, self.unlinks) = (0, 0);
        self.ghosts.clear();
        all
    }

    /// A transfer was given up, but its end may still come: the kernel's server answers an unlink with 0 both when the transfer's end
    /// went over the wire before and, if the two cross in its queues, when it goes right after (stub_tx.c), and also when it never will.
    pub(super) fn forget(&mut self, submit: &Submit) {
        if self.ghosts.len() == GHOSTS {
            self.ghosts.pop_front();
        }
        self.ghosts.push_back(*submit);
    }

    /// A transfer that was given up and whose end has come after all.
    pub(super) fn take_ghost(&mut self, seqnum: u32) -> Option<Submit> {
        let at = self.ghosts.iter().position(|known| known.seqnum == seqnum)?;
        self.ghosts.remove(at)
    }

    /// All of a message was given to the system: from now on it can be answered.
    pub(super) fn set_sent(&mut self, wanted: u32) {
        let index = self.index(wanted);
        match &mut self.entries[index] {
            Entry::Transfer(transfer) if transfer.submit.seqnum == wanted => transfer.sent = true,
            Entry::Unlink { seqnum, sent, .. } if *seqnum == wanted => *sent = true,
            _ => {}
        }
    }

    /// A message as it goes over the wire: header, and what follows it.
    pub(super) fn message(&self, seqnum: u32) -> Option<(&[u8; HEADER], &[u8])> {
        match &self.entries[self.index(seqnum)] {
            Entry::Transfer(transfer) if transfer.submit.seqnum == seqnum => {
                Some((&transfer.header, transfer.data()))
            }
            Entry::Unlink { header, seqnum: known, .. } if *known == seqnum => Some((header, &[])),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::buffer::RawBuffer;
    use crate::usb::transfer::Operation;
    use crate::usb::{Direction, SetupPacket, TransferType};

    fn add(table: &mut Outstanding, token: u32) -> u32 {
        let operation = Operation::Transfer {
            endpoint: 0x81,
            transfer_type: TransferType::Bulk,
            request: 64,
            zero_packet: false,
        };
        let submit = Submit {
            seqnum: 0,
            devid: 1,
            direction: Direction::In,
            endpoint: 1,
            flags: 0,
            length: 64,
            interval: 0,
            setup: SetupPacket::from_bytes([0; 8]),
        };
        table.add(Urb { token: Token(token), operation, buffer: RawBuffer::heap(64) }, submit, 0)
    }

    #[test]
    fn a_number_that_is_out_is_never_given_again() {
        let mut table = Outstanding::new();
        let long = add(&mut table, 0);
        // Near the end of the numbers, so that they wrap over 0 and past the one that is out.
        table.next = u32::MAX - 100;
        for _ in 0..300 {
            let seqnum = add(&mut table, 1);
            assert!(seqnum != 0 && seqnum != long);
            assert!(table.take(seqnum).is_some());
        }
        assert_eq!(table.named(Token(0)), Some(long));
        assert_eq!(table.take(long).unwrap().urb.token, Token(0));
        assert!(table.take(long).is_none());
        assert_eq!(table.named(Token(0)), None);
    }

    #[test]
    fn the_table_grows_and_finds_everything_again() {
        let mut table = Outstanding::new();
        let numbers: Vec<u32> = (0..1000).map(|token| add(&mut table, token)).collect();
        let unlinks: Vec<u32> = numbers.iter().map(|victim| table.add_unlink(7, *victim)).collect();
        assert_eq!((table.transfers(), table.unlinks()), (1000, 1000));
        for (token, seqnum) in (0..).zip(&numbers) {
            assert_eq!(table.transfer(*seqnum).unwrap().urb.token, Token(token));
            // A number of the other kind is refused.
            assert!(table.take_unlink(*seqnum).is_none());
        }
        for (unlink, victim) in unlinks.iter().zip(&numbers) {
            assert!(table.take(*unlink).is_none());
            assert_eq!(table.take_unlink(*unlink), None, "it was not sent yet");
            table.set_sent(*unlink);
            assert_eq!(table.take_unlink(*unlink), Some(*victim));
        }
        assert!(table.transfer(unlinks[999] + 1).is_none());
    }
}
