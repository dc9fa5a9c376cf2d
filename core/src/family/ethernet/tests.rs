//! Segmentation, scattered reading and merging against frames built by hand and a checksum computed by definition.

use std::io::IoSliceMut;

use proptest::prelude::*;

use super::checksum::tests::naive;
use super::frame::{self, Class, flags};
use super::scatter::Scatter;
use super::testing::{
    Family, TcpTemplate, VecBuffer, assert_lossless, cut, fuzz_coalesce, fuzz_segment, merge, read_into,
};
use super::vnet::{NEEDS_CSUM, VnetHeader};
use super::{Counters, Transmit};

/// Whether all checksums of a TCP or UDP frame are right, without the code under test.
fn checks(frame: &[u8], l3: usize, l4: usize, protocol: u8) -> bool {
    let v4 = frame[l3] >> 4 == 4;
    let addresses = if v4 { &frame[l3 + 12..l3 + 20] } else { &frame[l3 + 8..l3 + 40] };
    let mut pseudo = addresses.to_vec();
    pseudo.extend([0, protocol]);
    pseudo.extend(((frame.len() - l4) as u16).to_be_bytes());
    pseudo.extend(&frame[l4..]);
    naive(&pseudo) == 0xffff && (!v4 || naive(&frame[l3..l4]) == 0xffff)
}

fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at * 7 + at / 251) as u8).collect()
}

fn template() -> impl Strategy<Value = TcpTemplate> {
    (0..3_usize, any::<bool>(), 0..11_usize, any::<u32>(), any::<u16>(), any::<bool>()).prop_map(
        |(tags, v6, options, sequence, id, atomic)| TcpTemplate {
            tags,
            family: if v6 { Family::V6 } else { Family::V4 },
            options: options * 4,
            sequence,
            id,
            atomic,
            ..TcpTemplate::default()
        },
    )
}

/// What a sender without any offload would have put on the wire.
fn by_hand(template: &TcpTemplate, payload: &[u8], mss: usize) -> Vec<Vec<u8>> {
    let count = payload.len().div_ceil(mss);
    let chunk = |(at, chunk): (usize, &[u8])| {
        let mut flags = template.flags;
        if at != 0 {
            flags &= !flags::CWR;
        }
        if at + 1 != count {
            flags &= !(flags::FIN | flags::PSH);
        }
        let template = TcpTemplate { flags, id: template.id.wrapping_add(at as u16), ..template.clone() };
        template.frame((at * mss) as u32, chunk)
    };
    payload.chunks(mss).enumerate().map(chunk).collect()
}

#[test]
fn a_superframe_becomes_what_would_have_been_sent_without_offload() {
    for flags in [0x10, 0x18, 0x11, 0x90, 0xd9] {
        for family in [Family::V4, Family::V6] {
            let template = TcpTemplate { flags, family, options: 12, tags: 1, ..TcpTemplate::default() };
            let payload = pattern(10_000);
            let (header, superframe) = template.superframe(&payload, 1448);
            let frames = cut(&mut Scatter::default(), &header, &superframe, 64, 1600);
            assert_eq!(frames, by_hand(&template, &payload, 1448));
            for frame in frames {
                assert!(checks(&frame, template.l3(), template.l4(), 6));
            }
        }
    }
}

#[test]
fn datagrams_of_one_send_get_their_own_lengths_and_checksums() {
    for v6 in [false, true] {
        let l4 = if v6 { 54 } else { 34 };
        let mut superframe =
            TcpTemplate { family: if v6 { Family::V6 } else { Family::V4 }, ..TcpTemplate::default() }
                .frame(0, &[]);
        superframe.truncate(l4);
        superframe[if v6 { 20 } else { 23 }] = 17;
        let payload = pattern(3000);
        let udp_len = payload.len() + 8;
        superframe.extend([0x10, 0, 0x20, 0]);
        superframe.extend((udp_len as u16).to_be_bytes());
        let addresses = if v6 { &superframe[22..54] } else { &superframe[26..34] };
        let mut pseudo = addresses.to_vec();
        pseudo.extend([0, 17]);
        pseudo.extend((udp_len as u16).to_be_bytes());
        superframe.extend(naive(&pseudo).to_be_bytes());
        superframe.extend(&payload);
        let header = VnetHeader {
            flags: NEEDS_CSUM,
            gso_type: 5,
            gso_size: 1200,
            csum_start: l4 as u16,
            csum_offset: 6,
            ..VnetHeader::default()
        };
        let frames = cut(&mut Scatter::default(), &header, &superframe, 64, 1600);
        assert_eq!(frames.len(), 3);
        let mut data: Vec<u8> = Vec::new();
        for frame in &frames {
            assert!(checks(frame, 14, l4, 17));
            assert_eq!(usize::from(frame::be16(frame, l4 + 4).unwrap()), frame.len() - l4);
            data.extend(&frame[l4 + 8..]);
        }
        assert_eq!(data, payload);
    }
}

#[test]
fn an_open_checksum_of_a_single_frame_is_completed() {
    for tags in 0..3 {
        let template = TcpTemplate { tags, options: 4, ..TcpTemplate::default() };
        let (header, frame) = template.superframe(b"odd", 1);
        let header = VnetHeader { gso_type: 0, gso_size: 0, ..header };
        assert_eq!(cut(&mut Scatter::default(), &header, &frame, 1, 1600), [template.frame(0, b"odd")]);
    }
}

#[test]
fn a_checksum_of_zero_is_sent_as_ones() {
    // The sum of the range is 0xffff, so its complement is 0.
    let mut frame = vec![0; 60];
    frame[40..42].fill(0xff);
    let header = VnetHeader { flags: NEEDS_CSUM, csum_start: 34, csum_offset: 16, ..VnetHeader::default() };
    let frames = cut(&mut Scatter::default(), &header, &frame, 1, 100);
    assert_eq!(frames[0][50..52], [0xff, 0xff]);
}

#[test]
fn a_stream_in_one_batch_is_one_write() {
    let template = TcpTemplate { options: 12, ..TcpTemplate::default() };
    let payload = pattern(20_000);
    let written = merge(&by_hand(&template, &payload, 1448));
    let [(header, superframe)] = &written[..] else { panic!("{} writes", written.len()) };
    assert_eq!((*header, superframe.clone()), template.superframe(&payload, 1448));
}

#[test]
fn two_streams_and_other_traffic_do_not_part_each_other() {
    let a = TcpTemplate::default();
    let b = TcpTemplate { port: 40001, family: Family::V6, ..TcpTemplate::default() };
    let mut arp = vec![0xff; 60];
    arp[12..14].copy_from_slice(&[8, 6]);
    let payload = pattern(5000);
    let mut batch = Vec::new();
    for (one, other) in by_hand(&a, &payload, 1000).into_iter().zip(by_hand(&b, &payload, 1000)) {
        batch.extend([one, arp.clone(), other]);
    }
    let written = merge(&batch);
    assert_eq!(written.len(), 5 + 2);
    assert!(written.contains(&a.superframe(&payload, 1000)));
    assert!(written.contains(&b.superframe(&payload, 1000)));
}

/// Two segments that would be merged, the second one changed by `change`, which says where its frame's headers are.
fn writes_after(template: &TcpTemplate, change: impl Fn(&mut TcpTemplate, &mut Vec<u8>)) -> usize {
    let mut second = TcpTemplate { id: template.id.wrapping_add(1), ..template.clone() };
    let mut payload = pattern(1000);
    change(&mut second, &mut payload);
    let frames = [template.frame(0, &pattern(1000)), second.frame(1000, &payload)];
    assert_lossless(&frames);
    merge(&frames).len()
}

#[test]
fn only_what_continues_a_flow_is_merged() {
    let v4 = TcpTemplate { options: 4, ..TcpTemplate::default() };
    assert_eq!(writes_after(&v4, |_, _| {}), 1);
    assert_eq!(writes_after(&v4, |_, payload| payload.truncate(10)), 1, "a short last one");
    assert_eq!(writes_after(&v4, |t, _| t.flags |= flags::PSH), 1, "PSH in the last one");
    assert_eq!(writes_after(&v4, |t, _| t.flags |= flags::FIN), 1, "FIN in the last one");
    assert_eq!(writes_after(&v4, |t, _| t.id = t.id.wrapping_sub(1)), 1, "no identification, DF");
    assert_eq!(writes_after(&v4, |_, payload| payload.push(0)), 2, "longer than the first");
    assert_eq!(writes_after(&v4, |_, payload| payload.clear()), 2, "no data");
    assert_eq!(writes_after(&v4, |t, _| t.sequence += 1), 2, "a gap");
    assert_eq!(writes_after(&v4, |t, _| t.sequence -= 1), 2, "an overlap");
    assert_eq!(writes_after(&v4, |t, _| t.id = t.id.wrapping_add(1)), 2, "an identification left out");
    assert_eq!(writes_after(&v4, |t, _| t.atomic = false), 2, "without DF");
    assert_eq!(writes_after(&v4, |t, _| t.port += 1), 2, "another flow");
    assert_eq!(writes_after(&v4, |t, _| t.tags = 1), 2, "another VLAN");
    assert_eq!(writes_after(&v4, |t, _| t.options = 8), 2, "other options");
    for flag in [flags::CWR, flags::RST, flags::SYN, flags::URG, 0x40] {
        assert_eq!(writes_after(&v4, |t, _| t.flags |= flag), 2, "flag {flag:#x}");
    }
    let fragmentable = TcpTemplate { atomic: false, ..v4.clone() };
    assert_eq!(writes_after(&fragmentable, |_, _| {}), 1);
    assert_eq!(
        writes_after(&fragmentable, |t, _| t.id = t.id.wrapping_sub(1)),
        2,
        "the same identification without DF"
    );
    for flag in [flags::PSH, flags::FIN, flags::RST, flags::SYN, flags::URG] {
        let first = TcpTemplate { flags: flags::ACK | flag, ..v4.clone() };
        assert_eq!(writes_after(&first, |_, _| {}), 2, "flag {flag:#x} in the first");
    }
    let ecn = TcpTemplate { flags: flags::ACK | flags::CWR, ..v4.clone() };
    assert_eq!(writes_after(&ecn, |t, _| t.flags = flags::ACK), 1, "CWR in the first one");
}

#[test]
fn every_header_byte_that_matters_parts_segments() {
    for family in [Family::V4, Family::V6] {
        let first = TcpTemplate { family, options: 8, ..TcpTemplate::default() };
        let second = TcpTemplate { id: first.id.wrapping_add(1), ..first.clone() };
        let good = [first.frame(0, &pattern(100)), second.frame(100, &pattern(100))];
        assert_eq!(merge(&good).len(), 1);
        for at in 0..first.header_len() + 100 {
            let mut frames = good.clone();
            frames[1][at] ^= 0x10;
            // Whatever was hit, a field or only a checksum, the frames may no longer be merged.
            assert_eq!(merge(&frames).len(), 2, "{family:?}, byte {at}");
            assert_lossless(&frames);
            let mut frames = good.clone();
            frames[0][at] ^= 0x10;
            assert_eq!(merge(&frames).len(), 2, "{family:?}, byte {at} of the first");
        }
    }
}

#[test]
fn what_cannot_be_merged_passes_untouched_and_in_order() {
    let template = TcpTemplate::default();
    let mut frames = by_hand(&template, &pattern(3000), 1000);
    frames[1][60] ^= 1;
    frames.push(template.frame(3000, b""));
    frames.push(template.frame(3000, b"x"));
    let written: Vec<_> = merge(&frames).into_iter().map(|(_, frame)| frame).collect();
    assert_eq!(written, frames);
}

#[test]
fn a_merged_frame_stays_within_64_kib_and_64_segments() {
    let template = TcpTemplate::default();
    let written = merge(&by_hand(&template, &pattern(200_000), 1460));
    assert!(written.iter().all(|(_, frame)| frame.len() - 14 <= 0xffff));
    assert_eq!(written.len(), 200_000_usize.div_ceil(44 * 1460));
    let written = merge(&by_hand(&template, &pattern(6400 + 100), 100));
    assert_eq!(written.len(), 2);
}

#[test]
fn more_flows_than_places_only_cost_merging() {
    let streams: Vec<_> = (0..20)
        .map(|port| by_hand(&TcpTemplate { port, ..TcpTemplate::default() }, &pattern(300), 100))
        .collect();
    let batch: Vec<_> = (0..3).flat_map(|at| streams.iter().map(move |stream| stream[at].clone())).collect();
    assert_lossless(&batch);
    for stream in &streams {
        let port = &stream[0][34..36];
        let payloads: Vec<u8> = merge(&batch)
            .iter()
            .filter(|(_, frame)| &frame[34..36] == port)
            .flat_map(|(_, frame)| frame[54..].to_vec())
            .collect();
        assert_eq!(payloads, pattern(300));
    }
}

#[test]
fn what_the_host_contradicts_itself_in_is_dropped() {
    let (good, frame) = TcpTemplate::default().superframe(&pattern(3000), 1000);
    let dropped =
        |header: VnetHeader, frame: &[u8]| cut(&mut Scatter::default(), &header, frame, 8, 1600).is_empty();
    assert!(!dropped(good, &frame));
    assert!(dropped(VnetHeader { gso_type: 3, ..good }, &frame));
    assert!(dropped(VnetHeader { gso_type: 4, ..good }, &frame));
    assert!(dropped(VnetHeader { gso_size: 0, ..good }, &frame));
    assert!(dropped(VnetHeader { flags: 0, ..good }, &frame));
    assert!(dropped(VnetHeader { csum_start: 38, ..good }, &frame));
    assert!(dropped(VnetHeader { csum_offset: 6, ..good }, &frame));
    assert!(dropped(VnetHeader { gso_size: 1600, ..good }, &frame), "does not fit into a buffer");
    assert!(dropped(good, &frame[..50]));
    let single = VnetHeader { gso_type: 0, ..good };
    assert!(dropped(VnetHeader { csum_start: 0xfff0, ..single }, &frame[..1000]));
    assert!(dropped(single, &frame), "does not fit into a buffer");
    assert!(dropped(VnetHeader::default(), &[0; 13]));
}

/// Sends frames through one [`Scatter`] and counts its calls.
fn transmit_all(wires: Vec<Vec<u8>>) -> (usize, Counters) {
    let (mut scatter, mut counters, mut calls) = (Scatter::default(), Counters::default(), 0);
    let mut wires = wires.into_iter();
    loop {
        let mut free: Vec<_> = (0..64).map(|_| VecBuffer::new(1600)).collect();
        let read = |slices: &mut [IoSliceMut<'_>]| read_into(slices, wires.next().as_deref());
        calls += 1;
        if scatter.transmit(&mut free, &mut Vec::new(), &mut counters, read) == Ok(Transmit::Drained) {
            return (calls, counters);
        }
    }
}

fn wire(header: &VnetHeader, frame: &[u8]) -> Vec<u8> {
    [&header.to_bytes()[..], frame].concat()
}

#[test]
fn one_call_drops_a_bounded_number_of_frames() {
    let (calls, counters) = transmit_all(vec![wire(&VnetHeader::default(), &[0; 2000]); 600]);
    assert_eq!((calls, counters.transmitted_oversize), (3, 600));
    let (calls, counters) = transmit_all(vec![wire(&VnetHeader::default(), &[0; 5]); 600]);
    assert_eq!((calls, counters.transmitted_malformed), (3, 600));
}

#[test]
fn one_stream_and_two_that_take_turns_are_cut_without_copying() {
    let stream = |family| {
        let (header, frame) =
            TcpTemplate { family, ..TcpTemplate::default() }.superframe(&pattern(4000), 1400);
        wire(&header, &frame)
    };
    let (one, other) = (stream(Family::V4), stream(Family::V6));
    let (_, counters) = transmit_all(vec![one.clone(); 100]);
    assert_eq!((counters.transmitted_superframes, counters.transmitted_copied), (100, 1));
    let turns = (0..100).map(|at| if at % 2 == 0 { one.clone() } else { other.clone() }).collect();
    let (_, counters) = transmit_all(turns);
    assert_eq!((counters.transmitted_superframes, counters.transmitted_copied), (100, 3));
    let (_, counters) = transmit_all([vec![one; 50], vec![other; 50]].concat());
    assert_eq!(counters.transmitted_copied, 2);
}

proptest! {
    /// Whatever was read before, however many buffers there are: the frames are the same.
    #[test]
    fn scattered_reading_gives_the_same_frames_whatever_was_expected(
        runs in proptest::collection::vec((template(), 1..20_000_usize, prop_oneof![8..200_usize, 200..1500_usize], 1..70_usize, any::<bool>()), 1..6),
    ) {
        let mut scatter = Scatter::default();
        for (template, len, mss, step, single) in runs {
            let payload = pattern(if single { len.min(1500) } else { len.min(mss * 200) });
            let (mut header, superframe) = template.superframe(&payload, mss as u16);
            let expected = if single {
                header.gso_type = 0;
                vec![template.frame(0, &payload)]
            } else {
                by_hand(&template, &payload, mss)
            };
            prop_assert_eq!(cut(&mut scatter, &header, &superframe, step, 1700), expected);
        }
    }

    #[test]
    fn merging_and_cutting_gives_the_original(template in template(), len in 1..30_000_usize, mss in 8..1500_usize, fin: bool) {
        let template = TcpTemplate { flags: if fin { 0x19 } else { 0x10 }, ..template };
        let payload = pattern(len);
        let frames = by_hand(&template, &payload, mss);
        let mut out = Vec::new();
        let written = merge(&frames);
        prop_assert!(written.len() <= frames.len().div_ceil(64) + payload.len() / 60_000 + 1);
        for (header, frame) in written {
            if header.gso_type == 0 {
                out.push(frame);
            } else {
                out.extend(cut(&mut Scatter::default(), &header, &frame, 64, 1700));
            }
        }
        prop_assert_eq!(out, frames);
    }

    #[test]
    fn any_mixture_comes_out_whole(
        choices in proptest::collection::vec((0..4_u16, 0..6_u32, 1..4_usize, any::<bool>(), 0..80_usize), 0..80),
    ) {
        let mut frames = Vec::new();
        for (port, offset, len, push, broken) in choices {
            let template = TcpTemplate {
                port,
                id: offset as u16,
                flags: if push { 0x18 } else { 0x10 },
                family: if port % 2 == 0 { Family::V4 } else { Family::V6 },
                ..TcpTemplate::default()
            };
            let mut frame = template.frame(offset * 30, &pattern(len * 10));
            if broken > 40 {
                frame[broken.min(60)] ^= 0x10;
            }
            frames.push(frame);
        }
        assert_lossless(&frames);
    }

    #[test]
    fn cutting_survives_any_bytes(data in proptest::collection::vec(any::<u8>(), 0..300)) {
        fuzz_segment(&data);
    }

    /// A good superframe with a few bytes changed gets further than noise does.
    #[test]
    fn cutting_survives_changed_bytes(
        template in template(), len in 0..3000_usize, changes in proptest::collection::vec((0..120_usize, any::<u8>()), 0..4),
    ) {
        let (header, frame) = template.superframe(&pattern(len), 500);
        let mut data = header.to_bytes().to_vec();
        data.extend(frame);
        for (at, value) in changes {
            if let Some(byte) = data.get_mut(at) {
                *byte = value;
            }
        }
        fuzz_segment(&data);
    }

    #[test]
    fn merging_survives_changed_bytes(
        template in template(), changes in proptest::collection::vec((0..700_usize, any::<u8>()), 0..6),
    ) {
        let mut data = Vec::new();
        for frame in by_hand(&template, &pattern(400), 100) {
            data.extend((frame.len() as u16).to_le_bytes());
            data.extend(frame);
        }
        for (at, value) in changes {
            if let Some(byte) = data.get_mut(at) {
                *byte = value;
            }
        }
        fuzz_coalesce(&data);
    }
}

#[test]
fn a_frame_with_data_is_found_by_the_classifier() {
    let template = TcpTemplate::default();
    assert!(matches!(frame::classify(&template.frame(0, b"x")), Class::Tcp(_)));
}
