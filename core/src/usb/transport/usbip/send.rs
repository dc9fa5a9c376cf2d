//! The way out: what is to be sent, in order, written many messages a system call straight from the transfers' buffers. It must not know
//! what comes back.
//!
//! What waits here costs no memory of its own but its number: headers are in the table, data in the buffers that the driver queued. So a
//! server that does not read holds up no more than what the driver has.

use std::collections::VecDeque;
use std::io::IoSlice;

use rustix::io::Errno;

use super::outstanding::Outstanding;

/// Pieces per system call; a message is one or two.
const PIECES: usize = 256;

/// Numbers of the messages that are not, or not wholly, sent.
#[derive(Debug, Default)]
pub(super) struct Sender {
    queue: VecDeque<u32>,
    /// Bytes of the first message that were sent.
    written: usize,
}

impl Sender {
    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Puts a message of the table at the end.
    pub(super) fn push(&mut self, seqnum: u32) {
        self.queue.push_back(seqnum);
    }

    /// Takes a message back of which nothing was sent.
    pub(super) fn withdraw(&mut self, seqnum: u32) -> bool {
        match self.queue.iter().position(|queued| *queued == seqnum) {
            Some(0) if self.written > 0 => false,
            Some(at) => {
                self.queue.remove(at);
                true
            }
            None => false,
        }
    }

    pub(super) fn clear(&mut self) {
        self.queue.clear();
        self.written = 0;
    }

    /// Writes all there is. `write` takes as much as it can.
    ///
    /// # Errors
    /// Those of `write`, such as AGAIN. What was written before is accounted for.
    pub(super) fn flush(
        &mut self,
        table: &mut Outstanding,
        mut write: impl FnMut(&[IoSlice<'_>]) -> Result<usize, Errno>,
    ) -> Result<(), Errno> {
        while !self.queue.is_empty() {
            let written = self.write_some(table, &mut write)?;
            self.account(table, written);
        }
        Ok(())
    }

    fn write_some(
        &self,
        table: &Outstanding,
        write: &mut impl FnMut(&[IoSlice<'_>]) -> Result<usize, Errno>,
    ) -> Result<usize, Errno> {
        let mut pieces = [IoSlice::new(&[]); PIECES];
        let (mut count, mut skip) = (0, self.written);
        for seqnum in self.queue.iter().take(PIECES / 2) {
            let Some((header, data)) = table.message(*seqnum) else { continue };
            for piece in [&header[..], data] {
                let skipped = skip.min(piece.len());
                skip -= skipped;
                if skipped < piece.len() {
                    pieces[count] = IoSlice::new(&piece[skipped..]);
                    count += 1;
                }
            }
        }
        write(&pieces[..count])
    }

    fn account(&mut self, table: &mut Outstanding, written: usize) {
        self.written += written;
        while let Some(first) = self.queue.front() {
            let length = table.message(*first).map_or(0, |(header, data)| header.len() + data.len());
            if self.written < length {
                return;
            }
            self.written -= length;
            table.set_sent(*first);
            self.queue.pop_front();
        }
    }
}
