//! No memory is allocated for a transfer: from its submission over the in-process transport or over USB/IP, through the driver's handler, to
//! the next submission of the same buffer. It must not know what is transferred.

mod sys;
mod usbip;

use std::time::Instant;

use outboard_core::Result;
use outboard_core::action::{Action, Completion};
use outboard_core::buffer::BufferDescriptor;
use outboard_core::queue::{Clock, DispatchQueue};
use outboard_core::service::{Context, Driver, Service};
use outboard_core::usb::trace::{Options, TraceFile};
use outboard_core::usb::transport::Transport;
use outboard_core::usb::transport::in_process::{DeviceModel, Handshake, InProcess};
use outboard_core::usb::transport::record::{Event, Recorded, Recorder};
use outboard_core::usb::{Bulk, Device, In, Interface, Out, Pipe, Speed};

#[global_allocator]
static ALLOCATOR: sys::Counting = sys::Counting;

/// Takes everything, and always has a full packet.
struct Endless;

impl DeviceModel for Endless {
    fn speed(&self) -> Speed {
        Speed::High
    }

    fn descriptors(&self) -> Vec<u8> {
        let device = [18, 1, 0, 2, 0, 0, 0, 64, 0x34, 0x12, 0x78, 0x56, 0, 1, 0, 0, 0, 1];
        let configuration = [9, 2, 32, 0, 1, 1, 0, 0x80, 50, 9, 4, 0, 0, 2, 0xff, 0, 0, 0];
        let endpoints = [7, 5, 0x81, 2, 0, 2, 0, 7, 5, 0x02, 2, 0, 2, 0];
        [&device[..], &configuration, &endpoints].concat()
    }

    fn string_descriptor(&self, _: u8, _: u16) -> Option<Vec<u8>> {
        None
    }

    fn packet_in(&mut self, _: u8, space: &mut [u8], _: Instant) -> Handshake<usize> {
        space.fill(0x55);
        Handshake::Ack(space.len())
    }

    fn packet_out(&mut self, _: u8, _: &[u8], _: Instant) -> Handshake {
        Handshake::Ack(())
    }
}

/// Until every queue and list has its size, also those of the event loop, to which a busy device gives way now and then.
const WARM_UP: u64 = 10_000;
const MEASURED: u64 = 50_000;

/// Keeps eight transfers in flight each way, and notes how much was allocated while they went round.
struct Pump {
    input: Pipe<Bulk, In>,
    output: Pipe<Bulk, Out>,
    read: Action<BufferDescriptor<In>>,
    write: Action<BufferDescriptor<Out>>,
    rounds: u64,
    at_warm_up: u64,
    at_end: Option<u64>,
    context: Context<Self>,
    _interface: Interface,
}

impl Pump {
    /// False: it is over.
    fn count(&mut self) -> bool {
        self.rounds += 1;
        if self.rounds == WARM_UP {
            self.at_warm_up = sys::count();
        }
        if self.rounds == WARM_UP + MEASURED {
            self.at_end = Some(sys::count());
            let enough = outboard_core::Error::new(outboard_core::ErrorKind::Cancelled, "measure", "enough");
            self.context.fail(enough);
        }
        self.at_end.is_none()
    }

    fn read_complete(&mut self, done: Completion<BufferDescriptor<In>>) {
        assert_eq!(done.buffer.len(), 1536);
        if self.count() {
            self.input.async_io(done.buffer, &self.read).unwrap();
        }
    }

    fn write_complete(&mut self, done: Completion<BufferDescriptor<Out>>) {
        if self.count() {
            self.output.async_io(done.buffer, &self.write).unwrap();
        }
    }
}

impl Driver for Pump {
    type Provider = Device;

    async fn start(context: &Context<Self>, device: Device) -> Result<Self> {
        let interface = device.interface(0)?;
        let (input, output) = (interface.pipe(0x81)?, interface.pipe(0x02)?);
        let (read, write) = (context.action(Self::read_complete), context.action(Self::write_complete));
        for buffer in input.buffers(1536, 8) {
            input.async_io(buffer, &read)?;
        }
        for _ in 0..8 {
            output.async_io(BufferDescriptor::from(&[0xaa; 1514][..]), &write)?;
        }
        let context = context.clone();
        Ok(Self {
            input,
            output,
            read,
            write,
            rounds: 0,
            at_warm_up: 0,
            at_end: None,
            context,
            _interface: interface,
        })
    }
}

#[derive(Default)]
struct Counter(u64);

impl Recorder for Counter {
    fn record(&mut self, _: Instant, _: Event<'_>) {
        self.0 += 1;
    }
}

#[test]
fn the_count_counts() {
    let before = sys::count();
    drop(std::hint::black_box(Box::new(1)));
    assert_eq!(sys::count(), before + 1);
}

/// Allocations of this thread in [`MEASURED`] transfers.
async fn measure(device: Device) -> u64 {
    let service = Service::<Pump>::start(device).await.unwrap();
    service.ended().await;
    let allocated = service.with(|pump| pump.at_end.unwrap() - pump.at_warm_up).unwrap();
    service.stop().await;
    allocated
}

/// The same over this transport to a model in this process.
fn allocated(transport: impl FnOnce(InProcess<Endless>) -> Box<dyn Transport>) -> u64 {
    let allocated = DispatchQueue::run("measured", Clock::Real, |_| async {
        let (model, _plug) = InProcess::new("1-2", Endless);
        measure(Device::open(transport(model)).await.unwrap()).await
    });
    allocated.unwrap()
}

#[test]
fn a_transfer_allocates_nothing() {
    let allocated = allocated(|model| Box::new(Recorded::new(model, Counter::default())));
    assert_eq!(allocated, 0, "allocations in {MEASURED} transfers");
}

#[test]
fn a_traced_transfer_allocates_nothing() {
    let allocated = allocated(|model| {
        // What is written does not matter here, only that it is.
        let file = std::fs::File::options().write(true).open("/dev/null").unwrap();
        let trace = TraceFile::on(file, "null".as_ref(), model.info(), &Options::default()).unwrap();
        Box::new(Recorded::new(model, trace))
    });
    assert_eq!(allocated, 0, "allocations in {MEASURED} transfers");
}
