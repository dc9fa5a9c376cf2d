//! How fast the data path of the Ethernet family is on this machine: checksum, cutting, merging, and, with the right to
//! make one, a real TAP. Prints a table; every figure is the best of several rounds, so that other load matters little.

use std::hint::black_box;
use std::io::IoSliceMut;
use std::os::fd::AsFd;
use std::process::Command;
use std::time::{Duration, Instant};

use outboard_core::family::ethernet::checksum::Sum;
use outboard_core::family::ethernet::coalesce::Coalescer;
use outboard_core::family::ethernet::scatter::Scatter;
use outboard_core::family::ethernet::tap::{Tap, TapOptions};
use outboard_core::family::ethernet::testing::{Family, TcpTemplate, VecBuffer, read_into};
use outboard_core::family::ethernet::{Counters, EthernetInterface, FrameBuffer, Transmit};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

const ROUND: Duration = Duration::from_millis(40);
const ROUNDS: usize = 7;

/// Seconds of one call, the best of all rounds.
fn seconds(mut call: impl FnMut()) -> f64 {
    let mut best = f64::INFINITY;
    for _ in 0..ROUNDS {
        let (start, mut calls) = (Instant::now(), 0_u32);
        while start.elapsed() < ROUND {
            for _ in 0..8 {
                call();
            }
            calls += 8;
        }
        best = best.min(start.elapsed().as_secs_f64() / f64::from(calls));
    }
    best
}

fn report(name: &str, frames: usize, bytes: usize, seconds: f64) {
    let nanoseconds = seconds * 1e9 / frames as f64;
    println!("{name:<58} {nanoseconds:>9.1} ns/frame {:>8.2} GB/s", bytes as f64 / seconds / 1e9);
}

fn buffers(frames: &[Vec<u8>]) -> Vec<VecBuffer> {
    frames.iter().cloned().map(VecBuffer::from).collect()
}

fn stream(template: &TcpTemplate, count: usize, payload: usize) -> Vec<Vec<u8>> {
    let payload = vec![0x5a; payload];
    let frame = |at: usize| {
        let id = template.id.wrapping_add(at as u16);
        TcpTemplate { id, ..template.clone() }.frame((at * payload.len()) as u32, &payload)
    };
    (0..count).map(frame).collect()
}

fn merging(name: &str, frames: &[Vec<u8>], mut write: impl FnMut(&mut [VecBuffer])) {
    let mut batch = buffers(frames);
    let bytes = frames.iter().map(Vec::len).sum();
    let elapsed = seconds(|| {
        // Headers are changed by merging.
        for (buffer, frame) in batch.iter_mut().zip(frames) {
            let len = frame.len().min(80);
            buffer.frame_mut()[..len].copy_from_slice(&frame[..len]);
        }
        write(&mut batch);
    });
    report(name, frames.len(), bytes, elapsed);
}

fn main() {
    for len in [64, 1448, 65536] {
        let data = vec![0x5a_u8; len];
        let elapsed = seconds(|| {
            black_box(Sum::of(black_box(&data)));
        });
        report(&format!("checksum of {len} bytes"), 1, len, elapsed);
    }
    let data = vec![0x5a_u8; 65536];
    let mut copy = vec![0_u8; 65536];
    let elapsed = seconds(|| black_box(&mut copy).copy_from_slice(black_box(&data)));
    report("for comparison: copy of 65536 bytes", 1, 65536, elapsed);

    for (family, name) in [(Family::V4, "IPv4"), (Family::V6, "IPv6")] {
        let template = TcpTemplate { family, options: 12, ..TcpTemplate::default() };
        let payload = vec![0x5a; 44 * 1448];
        let (header, superframe) = template.superframe(&payload, 1448);
        let mut wire = header.to_bytes().to_vec();
        wire.extend(&superframe);
        for (count, what) in [(64, "in place"), (8, "8 buffers at a time")] {
            let mut scatter = Scatter::default();
            let mut free: Vec<_> = (0..count).map(|_| VecBuffer::new(2048)).collect();
            let mut ready = Vec::with_capacity(count);
            let mut counters = Counters::default();
            let elapsed = seconds(|| {
                let mut left = Some(&wire[..]);
                // The read itself, a copy, is part of the figure.
                let mut transmit = || {
                    let read = |slices: &mut [IoSliceMut<'_>]| read_into(slices, left.take());
                    let end = scatter.transmit(&mut free, &mut ready, &mut counters, read);
                    free.append(&mut ready);
                    end
                };
                while transmit() == Ok(Transmit::NoBuffers) {}
            });
            report(&format!("read and cut 44 x 1448, {name}, {what}"), 44, wire.len(), elapsed);
        }
    }

    let v4 = TcpTemplate { options: 12, ..TcpTemplate::default() };
    let v6 = TcpTemplate { family: Family::V6, ..v4.clone() };
    let bulk = stream(&v4, 44, 1448);
    let mut udp = bulk.clone();
    for frame in &mut udp {
        frame[23] = 17;
    }
    let mut coalescer = Coalescer::default();
    let mut merge = |batch: &mut [VecBuffer]| {
        coalescer.run(batch, |slices, _| {
            black_box(slices);
        });
    };
    merging("merge 44 x 1448, IPv4", &bulk, &mut merge);
    merging("merge 44 x 1428, IPv6", &stream(&v6, 44, 1428), &mut merge);
    let mut mixed = Vec::new();
    for at in 0..8 {
        mixed.push(stream(&TcpTemplate { port: at, ..v4.clone() }, 6, 1448));
    }
    let mixed: Vec<_> = (0..6).flat_map(|at| mixed.iter().map(move |stream| stream[at].clone())).collect();
    merging("merge 8 flows x 6 x 1448, interleaved", &mixed, &mut merge);
    merging("pass 44 acknowledgements", &stream(&v4, 44, 0), &mut merge);
    merging("pass 44 datagrams", &udp, &mut merge);

    let namespace = format!("obtest-{}", std::process::id());
    let result = with_tap(&namespace, |tap| {
        // To somebody else's address: the kernel takes the frames and drops them early.
        let mut write = |batch: &mut [VecBuffer]| {
            tap.receive(batch).expect("the interface is there");
        };
        merging("write 44 x 1448 merged to a TAP", &bulk, &mut write);
        merging("write 44 x 1448 one by one to a TAP", &udp, &mut write);
        let small: Vec<_> = udp.iter().map(|frame| frame[..64].to_vec()).collect();
        merging("write 44 x 64 to a TAP", &small, &mut write);
    });
    if let Err(reason) = result {
        println!("no figures with a TAP: {reason}");
    }
    let _ = ip(&["netns", "del", &namespace]);
}

fn ip(arguments: &[&str]) -> Result<(), String> {
    let output = Command::new("ip").args(arguments).output().map_err(|error| format!("ip(8): {error}"))?;
    if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).trim().into()) }
}

/// Runs with an interface that is up, in a network namespace of its own.
fn with_tap(namespace: &str, work: impl FnOnce(&mut Tap)) -> Result<(), String> {
    ip(&["netns", "add", namespace])?;
    let file = std::fs::File::open(format!("/run/netns/{namespace}")).map_err(|error| error.to_string())?;
    move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network))
        .map_err(|error| error.to_string())?;
    let options = TapOptions { carrier: true, ..TapOptions::default() };
    let mut tap = Tap::create(&options).map_err(|error| error.to_string())?;
    ip(&["link", "set", tap.name(), "up"])?;
    work(&mut tap);
    Ok(())
}
