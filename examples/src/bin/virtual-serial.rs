//! A serial port without an adapter: the FTDI driver on a virtual FT232R with a loop-back plug, behind a pseudo-terminal. What is written to
//! it comes back, as fast as the rate that was set. `virtual-serial [DIRECTORY]` makes the port's name in a directory, else in the system's
//! temporary one; Ctrl-C ends it.

use std::path::PathBuf;

use anyhow::Result;
use outboard_core::family::serial::pty::{Pty, PtyOptions};
use outboard_core::queue::{Clock, DispatchQueue};
use outboard_core::service::Service;
use outboard_core::usb::Device;
use outboard_core::usb::transport::in_process::InProcess;
use outboard_usb_serial_ftdi::driver::Adapter;
use outboard_usb_serial_ftdi::{FtdiDriver, Provider};
use outboard_virtual_devices::ftdi::{FtdiChip, FtdiOptions, Kind, Wiring};
use tokio::signal::unix::{SignalKind, signal};

fn main() -> Result<()> {
    let directory = std::env::args_os().nth(1).map_or_else(std::env::temp_dir, PathBuf::from);
    DispatchQueue::run("Default", Clock::Real, |_| serve(directory))?
}

async fn serve(directory: PathBuf) -> Result<()> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut chip = FtdiChip::new(FtdiOptions::new(Kind::R));
    chip.wire(0, Wiring::Loopback);
    let (transport, plug) = InProcess::new("virtual", chip);
    let adapter = Adapter::open(Device::open(transport).await?).await?;
    let provider = Provider::new(&adapter, adapter.ports[0], move |vended| {
        let link = Some(directory.join(&vended.name));
        Pty::create(&PtyOptions { link, ..PtyOptions::default() })
    })
    .watched(|name, status| println!("{}", status.line(name)));
    let service = Service::<FtdiDriver<Pty>>::start(provider).await?;
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
        ending = service.ended() => println!("{ending:?}"),
    }
    if let Some(status) = service.with(|driver| driver.status()) {
        let lost = plug.with(|chip| chip.port(0).lost());
        let (traffic, errors) = (status.traffic, status.line.errors);
        println!(
            "{} bytes sent, {} received, {} lost by the reader, {lost} by the chip ({} overruns)",
            traffic.transmitted_bytes, traffic.received_bytes, traffic.received_overruns, errors.overrun
        );
    }
    service.stop().await;
    Ok(())
}
