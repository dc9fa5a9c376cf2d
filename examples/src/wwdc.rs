//! The sample of WWDC 2019, "System Extensions and DriverKit": `MyUserUSBInterfaceDriver` opens an interface, takes an interrupt-IN pipe,
//! reads from it asynchronously, and handles ReadComplete until it is stopped. It is the yardstick of how a driver reads here.

use outboard_core::Result;
use outboard_core::action::{Action, Completion, Outcome};
use outboard_core::buffer::BufferDescriptor;
use outboard_core::service::{Context, Driver};
use outboard_core::usb::{In, Interface, Interrupt, Pipe};

/// Keeps what its device says.
pub struct MyUserUSBInterfaceDriver {
    context: Context<Self>,
    _interface: Interface,
    pipe: Pipe<Interrupt, In>,
    read_complete: Action<BufferDescriptor<In>>,
    /// What came, oldest first.
    pub reports: Vec<Vec<u8>>,
}

impl Driver for MyUserUSBInterfaceDriver {
    type Provider = Interface;

    async fn start(context: &Context<Self>, interface: Interface) -> Result<Self> {
        let pipe = interface.first_pipe()?;
        let read_complete = context.action(Self::read_complete);
        pipe.async_io(pipe.buffer(64), &read_complete)?;
        Ok(Self { context: context.clone(), _interface: interface, pipe, read_complete, reports: Vec::new() })
    }
}

impl MyUserUSBInterfaceDriver {
    fn read_complete(&mut self, done: Completion<BufferDescriptor<In>>) {
        match done.outcome {
            Outcome::Completed(Ok(_)) => self.reports.push(done.buffer.data().to_vec()),
            Outcome::Completed(Err(error)) => return self.context.fail(error.during("read a report")),
            Outcome::Cancelled | Outcome::Aborted(_) => return,
        }
        if let Err(rejected) = self.pipe.async_io(done.buffer, &self.read_complete) {
            self.context.fail(rejected.error);
        }
    }
}
