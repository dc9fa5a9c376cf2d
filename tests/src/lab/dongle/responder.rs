//! The host behind the dongle: answers ARP requests and ICMP echo requests for one IPv4 address. Frames in, frames out, nothing else.

/// Its hardware address.
pub(crate) const MAC: [u8; 6] = [0x02, 0x00, 0x5e, 0x00, 0x00, 0x04];
/// Its IPv4 address.
pub(crate) const ADDRESS: [u8; 4] = [10, 56, 0, 2];

const ARP: [u8; 2] = [0x08, 0x06];
const IPV4: [u8; 2] = [0x08, 0x00];

/// The answer to a frame, if it asks for one.
pub(crate) fn respond(frame: &[u8]) -> Option<Vec<u8>> {
    let sender = frame.get(6..12)?;
    let mut answer = frame.to_vec();
    match frame.get(12..14)? {
        kind if kind == ARP => {
            // RFC 826: request (1) for our address.
            if frame.get(20..22)? != [0, 1] || frame.get(38..42)? != ADDRESS {
                return None;
            }
            answer[20..22].copy_from_slice(&[0, 2]);
            answer[32..42].copy_from_slice(&frame[22..32]);
            answer[22..28].copy_from_slice(&MAC);
            answer[28..32].copy_from_slice(&ADDRESS);
        }
        kind if kind == IPV4 => {
            // RFC 791 and 792: no options, ICMP, to our address, echo request (8).
            if *frame.get(14)? != 0x45
                || *frame.get(23)? != 1
                || frame.get(30..34)? != ADDRESS
                || *frame.get(34)? != 8
            {
                return None;
            }
            let sum = u16::from_be_bytes([*frame.get(36)?, *frame.get(37)?]);
            answer[26..30].copy_from_slice(&frame[30..34]);
            answer[30..34].copy_from_slice(&frame[26..30]);
            // Echo reply (0): the sum of ones' complement grows by what the type lost (RFC 1624).
            answer[34] = 0;
            let (grown, carry) = sum.overflowing_add(0x0800);
            answer[36..38].copy_from_slice(&(grown + u16::from(carry)).to_be_bytes());
        }
        _ => return None,
    }
    answer[..6].copy_from_slice(sender);
    answer[6..12].copy_from_slice(&MAC);
    Some(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(bytes: &[u8]) -> u16 {
        let mut total: u32 = bytes
            .chunks(2)
            .map(|pair| u32::from(u16::from_be_bytes([pair[0], pair.get(1).copied().unwrap_or(0)])))
            .sum();
        while total > 0xffff {
            total = (total & 0xffff) + (total >> 16);
        }
        !(total as u16)
    }

    fn echo_request(payload: &[u8]) -> Vec<u8> {
        let mut icmp = vec![8, 0, 0, 0, 1, 2, 3, 4];
        icmp.extend(payload);
        let checksum = sum(&icmp);
        icmp[2..4].copy_from_slice(&checksum.to_be_bytes());
        let mut frame = MAC.to_vec();
        frame.extend([2, 0, 0, 0, 0, 9, 8, 0, 0x45, 0, 0, 0, 0, 0, 0, 0, 64, 1, 0, 0, 10, 56, 0, 1]);
        frame.extend(ADDRESS);
        frame.extend(icmp);
        frame
    }

    #[test]
    fn an_echo_is_answered_with_a_good_checksum() {
        for payload in [&b"abcdefgh"[..], &[0xff; 32], &[0; 7]] {
            let request = echo_request(payload);
            let reply = respond(&request).expect("it is for us");
            assert_eq!((reply[34], sum(&reply[34..])), (0, 0));
            assert_eq!(reply[..6], request[6..12]);
            assert_eq!((&reply[26..30], &reply[30..34]), (&request[30..34], &request[26..30]));
        }
    }

    #[test]
    fn an_arp_request_is_answered() {
        let mut request = vec![0xff; 6];
        request.extend([
            2, 0, 0, 0, 0, 9, 8, 6, 0, 1, 8, 0, 6, 4, 0, 1, 2, 0, 0, 0, 0, 9, 10, 56, 0, 1, 0, 0, 0, 0, 0, 0,
        ]);
        request.extend(ADDRESS);
        let reply = respond(&request).expect("it asks for us");
        assert_eq!(reply[20..22], [0, 2]);
        assert_eq!((&reply[22..28], &reply[28..32]), (&MAC[..], &ADDRESS[..]));
        assert_eq!(reply[32..42], request[22..32]);
    }

    #[test]
    fn short_and_foreign_frames_are_ignored() {
        let request = echo_request(b"x");
        for length in 0..38 {
            assert_eq!(respond(&request[..length]), None, "{length} bytes");
        }
        let mut foreign = request;
        foreign[33] = 77;
        assert_eq!(respond(&foreign), None);
    }
}
