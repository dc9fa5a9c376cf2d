//! Control: what the machine says is done here, and what happens is told to it. It does not touch data.

use std::rc::Rc;

use outboard_core::family::serial::SerialPort;
use outboard_core::usb::{SetupPacket, TransferError};
use outboard_core::{Error, ErrorKind};

use super::FtdiDriver;
use super::data_path::Pulled;
use crate::machine::{Action, Answer, Role, Trouble};

/// Rounds of requests and bytes before other work has its turn.
const ROUNDS: usize = 64;

impl<P: SerialPort + 'static> FtdiDriver<P> {
    /// The host has something, or something has been done that it waited for: asks it, does what the machine says, and takes its bytes, until
    /// there is no more.
    pub(super) fn serve(&mut self) {
        for _ in 0..ROUNDS {
            let mut asked = false;
            while self.machine.may_ask() {
                match self.path.port.poll() {
                    Ok(Some(request)) => {
                        self.machine.handle_request(request, Self::now());
                        asked = true;
                    }
                    Ok(None) => break,
                    Err(error) => return self.fail(error),
                }
            }
            self.drive();
            // A reader made room.
            self.refill();
            match self.take_bytes() {
                // The end may have found a request in the place of bytes.
                Some(Pulled::Nothing) if asked => {}
                Some(Pulled::Nothing) if self.machine.may_ask() => match self.path.port.poll() {
                    Ok(Some(request)) => self.machine.handle_request(request, Self::now()),
                    Ok(None) => return,
                    Err(error) => return self.fail(error),
                },
                _ => return,
            }
        }
        // Somebody asks faster than that: others on the queue have their turn.
        self.context.spawn(std::future::ready(()), |driver, ()| driver.serve());
    }

    /// A buffer is free: takes bytes from the host. If there are none, it may have a request.
    pub(super) fn pull(&mut self) {
        if self.take_bytes() == Some(Pulled::Nothing) {
            self.serve();
        }
    }

    /// `None`: the service has failed.
    fn take_bytes(&mut self) -> Option<Pulled> {
        let pulled = self.path.pull(&mut self.machine);
        // The first byte after a pause makes the latency timer quick.
        if self.machine.is_restless() {
            self.drive();
        }
        match pulled {
            Ok(Pulled::Trouble) => {
                self.trouble(Role::Transmit, TransferError::Fault);
                Some(Pulled::Trouble)
            }
            Ok(pulled) => Some(pulled),
            Err(error) => {
                self.fail(error);
                None
            }
        }
    }

    /// Keeps reads queued.
    pub(super) fn refill(&mut self) {
        if let Err(error) = self.path.fill(self.machine.stops_sender()) {
            self.trouble(Role::Receive, error);
        }
    }

    pub(super) fn time(&mut self) {
        self.machine.handle_timeout(Self::now());
        self.serve();
    }

    /// A transfer failed.
    #[cold]
    pub(super) fn trouble(&mut self, role: Role, error: TransferError) {
        let trouble = match error {
            TransferError::Stall => Trouble::Stall,
            TransferError::Overflow if role == Role::Receive => Trouble::Overflow,
            // The end is told otherwise.
            TransferError::Unplugged | TransferError::Cancelled => return,
            _ => Trouble::Fault,
        };
        if self.machine.is_running(role) {
            tracing::debug!(device = self.device.name(), ?role, ?trouble, "a transfer failed");
        }
        self.machine.handle_trouble(role, trouble, Self::now());
        self.drive();
    }

    #[cold]
    pub(super) fn unplugged(&mut self) {
        let error = Error::new(ErrorKind::Unplugged, "drive the serial port", "the device is gone");
        self.fail(error.device(self.device.name()).interface(self.ids.interface));
    }

    /// Does what the machine says, until it says no more.
    pub(super) fn drive(&mut self) {
        let now = Self::now();
        while let Some(action) = self.machine.poll_action(now) {
            self.act(action);
        }
        if !self.machine.is_running(Role::Receive) {
            self.path.set_receiving(false);
        }
        if !self.machine.is_running(Role::Transmit) {
            self.path.set_sending(false);
        }
        self.tell();
        self.timer.wake_at(self.machine.poll_timeout());
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Request(setup) => self.request(setup),
            Action::Read(on) => self.read(on),
            Action::Pull => {
                if self.take_bytes() == Some(Pulled::Nothing) {
                    // A request may be in the way of the bytes.
                    self.context.spawn(std::future::ready(()), |driver, ()| driver.serve());
                }
            }
            Action::AbortWrites => {
                self.path.discard(true);
                let pipe = self.path.send.pipe.clone();
                self.context.spawn(async move { pipe.abort().await }, |driver, ()| {
                    driver.path.discard(false);
                    driver.machine.handle_aborted();
                    driver.serve();
                });
            }
            Action::Applied(applied) => {
                if applied.clamped {
                    let (asked, baud) = (applied.asked.baud, applied.baud);
                    tracing::warn!(
                        device = self.device.name(),
                        asked,
                        baud,
                        "the chip cannot do this rate; it has its nearest"
                    );
                }
                if applied.refused {
                    tracing::warn!(
                        device = self.device.name(),
                        "the chip cannot do these settings; the line is as before"
                    );
                }
                self.applied = Some(applied);
                self.path.port.applied(&applied);
            }
            Action::Discard => self.path.port.discard(),
            Action::Modem(inputs) => self.path.port.modem_changed(inputs),
            Action::Drained { complete } => self.path.port.drained(complete),
            Action::ClearHalt(role) => self.clear_halt(role),
            Action::Resume(Role::Receive) => {
                self.path.set_receiving(self.machine.is_open());
                self.refill();
            }
            Action::Resume(Role::Transmit) => {
                if let Err(error) = self.path.resend(&mut self.machine) {
                    self.trouble(Role::Transmit, error);
                }
            }
            Action::Reset => self.reset(),
            Action::Fail { role, trouble } => {
                let what = match role {
                    Role::Receive => "the pipe from the chip",
                    Role::Transmit => "the pipe to the chip",
                };
                let reason =
                    format!("{what} fails again and again ({trouble:?}), and neither repair nor reset helps");
                let error = Error::new(ErrorKind::Faulted, "drive the serial port", reason);
                self.fail(error.device(self.device.name()).interface(self.ids.interface));
            }
        }
    }

    fn request(&mut self, setup: SetupPacket) {
        let device = self.device.clone();
        self.context.spawn(async move { device.request_out(setup, &[]).await }, |driver, result| {
            let answer = match &result {
                Ok(()) => Answer::Done,
                Err(error) => match error.kind() {
                    ErrorKind::Unplugged => return driver.unplugged(),
                    ErrorKind::Stalled => Answer::Refused,
                    _ => Answer::Failed,
                },
            };
            if let Err(error) = result {
                tracing::info!(%error, "a request failed");
            }
            driver.machine.handle_answer(answer, Self::now());
            driver.serve();
        });
    }

    fn read(&mut self, on: bool) {
        if on {
            self.path.set_receiving(self.machine.is_running(Role::Receive));
            return self.refill();
        }
        self.path.forget_reads();
        let pipe = self.path.receive.pipe.clone();
        // It may have been opened again meanwhile.
        self.context.spawn(async move { pipe.abort().await }, |driver, ()| driver.refill());
    }

    fn clear_halt(&mut self, role: Role) {
        let (receive, send) = (self.path.receive.pipe.clone(), self.path.send.pipe.clone());
        let clear = async move {
            match role {
                Role::Receive => {
                    receive.abort().await;
                    receive.clear_stall().await
                }
                Role::Transmit => {
                    send.abort().await;
                    send.clear_stall().await
                }
            }
        };
        self.context.spawn(clear, move |driver, result| {
            if let Err(error) = &result {
                tracing::debug!(%error, "a halt could not be cleared");
            }
            driver.machine.handle_cleared(role, result.is_ok(), Self::now());
            driver.serve();
        });
    }

    fn reset(&mut self) {
        tracing::warn!(device = self.device.name(), "transfers fail again and again; the device is reset");
        let device = self.device.clone();
        let (receive, send) = (self.path.receive.pipe.clone(), self.path.send.pipe.clone());
        self.path.stop();
        let reset = async move {
            receive.abort().await;
            send.abort().await;
            device.reset().await
        };
        self.context.spawn(reset, |driver, result| {
            let reopened = result.and_then(|()| driver.reopen());
            driver.machine.handle_reset(reopened.is_ok());
            match reopened {
                Err(error) if error.kind() == ErrorKind::Unplugged => return driver.unplugged(),
                // It says more than the trouble that the reset was to end.
                Err(error) => driver.fail(error),
                Ok(()) => {}
            }
            driver.serve();
        });
    }

    /// Opens the pipes anew: those from before may be stale.
    fn reopen(&mut self) -> Result<(), Error> {
        self.path.receive.pipe = Rc::new(self.interface.pipe(self.ids.bulk_in)?);
        self.path.send.pipe = Rc::new(self.interface.pipe(self.ids.bulk_out)?);
        Ok(())
    }
}
