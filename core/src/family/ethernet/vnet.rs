//! The header that stands before every frame of an interface with offloads (VIRTIO 1.2, 5.1.6). It knows its fields
//! and nothing of the frame behind it.

/// Bytes of the header without the fields of later versions: what Linux's TUN calls its default size.
pub const VNET_HEADER_SIZE: usize = 10;

/// VIRTIO 1.2, 5.1.6: `csum_start` and `csum_offset` say where a checksum is still to be computed.
pub const NEEDS_CSUM: u8 = 1;

/// VIRTIO 1.2, 5.1.6: bit of `gso_type`; the first segment has CWR set.
pub const GSO_ECN: u8 = 0x80;

/// What is to be cut (VIRTIO 1.2, 5.1.6, `gso_type` without [`GSO_ECN`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gso {
    /// 0: one ordinary frame.
    None,
    /// 1: TCP over IPv4.
    Tcp4,
    /// 4: TCP over IPv6.
    Tcp6,
    /// 5: UDP datagrams of equal size over IPv4 or IPv6.
    Udp,
    /// Anything else: IP fragments (3), or a later version's.
    Unknown(u8),
}

/// One header, in little-endian order on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct VnetHeader {
    /// [`NEEDS_CSUM`] and others.
    pub flags: u8,
    /// See [`Gso`].
    pub gso_type: u8,
    /// Bytes of all headers; a hint only.
    pub hdr_len: u16,
    /// Bytes of payload of each segment but the last.
    pub gso_size: u16,
    /// Where the summed range begins, from the start of the frame.
    pub csum_start: u16,
    /// Where the checksum goes, from `csum_start`.
    pub csum_offset: u16,
}

impl VnetHeader {
    /// The header in these bytes.
    pub const fn from_bytes(bytes: [u8; VNET_HEADER_SIZE]) -> Self {
        let [flags, gso_type, a, b, c, d, e, f, g, h] = bytes;
        Self {
            flags,
            gso_type,
            hdr_len: u16::from_le_bytes([a, b]),
            gso_size: u16::from_le_bytes([c, d]),
            csum_start: u16::from_le_bytes([e, f]),
            csum_offset: u16::from_le_bytes([g, h]),
        }
    }

    /// The bytes of this header.
    pub const fn to_bytes(self) -> [u8; VNET_HEADER_SIZE] {
        let [a, b] = self.hdr_len.to_le_bytes();
        let [c, d] = self.gso_size.to_le_bytes();
        let [e, f] = self.csum_start.to_le_bytes();
        let [g, h] = self.csum_offset.to_le_bytes();
        [self.flags, self.gso_type, a, b, c, d, e, f, g, h]
    }

    /// What is to be cut.
    pub const fn gso(self) -> Gso {
        match self.gso_type & !GSO_ECN {
            0 => Gso::None,
            1 => Gso::Tcp4,
            4 => Gso::Tcp6,
            5 => Gso::Udp,
            other => Gso::Unknown(other),
        }
    }

    /// Whether a checksum is left to us.
    pub const fn needs_checksum(self) -> bool {
        self.flags & NEEDS_CSUM != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_stand_where_the_specification_puts_them() {
        let bytes = [1, 0x84, 66, 0, 0xa8, 0x05, 34, 0, 16, 0];
        let header = VnetHeader::from_bytes(bytes);
        assert_eq!((header.needs_checksum(), header.gso()), (true, Gso::Tcp6));
        assert_eq!(
            (header.hdr_len, header.gso_size, header.csum_start, header.csum_offset),
            (66, 1448, 34, 16)
        );
        assert_eq!(header.to_bytes(), bytes);
    }
}
