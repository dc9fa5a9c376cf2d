//! Answers on their way to the peer: appended whole, taken in whatever pieces the socket takes. It knows no message.

/// What is due to the peer.
#[derive(Debug, Default)]
pub(super) struct Output {
    bytes: Vec<u8>,
    /// Bytes of it that are sent.
    sent: usize,
}

impl Output {
    pub(super) fn due(&self) -> &[u8] {
        &self.bytes[self.sent..]
    }

    /// Appends bytes. The memory is kept for the next ones.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        if self.sent > 0 && self.bytes.len() + bytes.len() > self.bytes.capacity() {
            // Before it grows, what is sent makes room.
            self.bytes.drain(..self.sent);
            self.sent = 0;
        }
        self.bytes.extend_from_slice(bytes);
    }

    /// The first `count` bytes that were due are sent.
    pub(super) fn sent(&mut self, count: usize) {
        self.sent = self.sent.saturating_add(count).min(self.bytes.len());
        if self.sent == self.bytes.len() {
            self.bytes.clear();
            self.sent = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_leave_in_their_order_whatever_the_pieces() {
        let mut output = Output::default();
        let (mut given, mut taken) = (0u32, Vec::new());
        for piece in 1..200 {
            let bytes: Vec<u8> = (given..given + piece).map(|n| n as u8).collect();
            given += piece;
            output.push(&bytes);
            let count = (piece as usize * 7) % (output.due().len() + 1);
            taken.extend_from_slice(&output.due()[..count]);
            output.sent(count);
        }
        taken.extend_from_slice(output.due());
        assert_eq!(taken, (0..given).map(|n| n as u8).collect::<Vec<_>>());
        output.sent(usize::MAX);
        assert!(output.due().is_empty());
    }
}
