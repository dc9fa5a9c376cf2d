//! The WWDC sample against a device in the same process.

use std::time::{Duration, Instant};

use outboard_core::queue::{Clock, DispatchQueue};
use outboard_core::service::{Ending, Service};
use outboard_core::usb::descriptor::{
    AlternateSetting, Configuration, DeviceDescriptor, DeviceDescriptors, Endpoint,
};
use outboard_core::usb::transport::in_process::{DeviceModel, Handshake, InProcess};
use outboard_core::usb::{Device, Speed, class};
use outboard_core::{ErrorKind, queue};
use outboard_examples::wwdc::MyUserUSBInterfaceDriver;

/// Says something every 10 ms.
struct Clockwork {
    next: Instant,
    ticks: u8,
}

impl DeviceModel for Clockwork {
    fn speed(&self) -> Speed {
        Speed::Full
    }

    fn descriptors(&self) -> Vec<u8> {
        let mut interface = AlternateSetting::new(0, 0, class::VENDOR, 0, 0);
        interface.endpoints.push(Endpoint::interrupt(0x81, 8, 10));
        let mut configuration = Configuration::new(1);
        configuration.push(interface);
        DeviceDescriptors::new(DeviceDescriptor::new(0x1209, 1), vec![configuration]).to_bytes(self.speed())
    }

    fn string_descriptor(&self, _: u8, _: u16) -> Option<Vec<u8>> {
        None
    }

    fn packet_in(&mut self, _: u8, space: &mut [u8], now: Instant) -> Handshake<usize> {
        if now < self.next {
            return Handshake::Nak;
        }
        self.next += Duration::from_millis(10);
        self.ticks += 1;
        space[0] = self.ticks;
        Handshake::Ack(1)
    }

    fn packet_out(&mut self, _: u8, _: &[u8], _: Instant) -> Handshake {
        Handshake::Stall
    }

    fn advance(&mut self, _: Instant) -> Option<Instant> {
        Some(self.next)
    }
}

#[test]
fn reports_come_until_it_is_stopped_or_unplugged() {
    DispatchQueue::run("Default", Clock::Virtual, |_| async {
        let next = queue::now() + Duration::from_millis(10);
        let (transport, plug) = InProcess::new("1-1", Clockwork { next, ticks: 0 });
        let device = Device::open(transport).await.unwrap();
        let start = || Service::<MyUserUSBInterfaceDriver>::start(device.interface(0).unwrap());
        let service = start().await.unwrap();
        tokio::time::sleep(Duration::from_millis(35)).await;
        assert_eq!(service.with(|driver| driver.reports.clone()).unwrap(), [[1], [2], [3]]);
        assert_eq!(service.stop().await, Ending::Stopped);

        // Nobody reads, time passes, and nothing is lost.
        tokio::time::sleep(Duration::from_millis(30)).await;
        let service = start().await.unwrap();
        tokio::time::sleep(Duration::from_millis(1)).await;
        assert_eq!(service.with(|driver| driver.reports[..2].to_vec()).unwrap(), [[4], [5]]);
        plug.unplug();
        device.gone().await;
        assert_eq!(service.stop().await, Ending::Stopped);
    })
    .unwrap();
}

#[test]
fn an_interface_without_the_pipe_is_refused() {
    DispatchQueue::run("Default", Clock::Virtual, |_| async {
        let (transport, _plug) = InProcess::new("1-1", Clockwork { next: queue::now(), ticks: 0 });
        let device = Device::open(transport).await.unwrap();
        assert_eq!(device.interface(1).unwrap_err().kind(), ErrorKind::NotFound);
    })
    .unwrap();
}

#[test]
fn the_sample_has_at_most_forty_lines() {
    let source = include_str!("../src/wwdc.rs");
    let code = source.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with("//"));
    assert!(code.count() <= 40);
}
