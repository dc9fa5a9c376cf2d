//! The transport to a modelled device in the same process: whole drivers run against it in deterministic tests, in virtual time and
//! without privilege. It must not know what the model is.

mod model;
mod port;
mod standard;

use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

pub use model::{DeviceModel, Handshake};
pub use port::Port;
use tokio::time::Sleep;

use super::{DeviceInfo, Reaped, Transport};
use crate::buffer::RawBuffer;
use crate::error::{Error, ErrorKind, Result};
use crate::queue;
use crate::usb::Direction;
use crate::usb::transfer::{Done, Token, TransferError, Urb};

/// A transport in front of a [`DeviceModel`]. Its [`Plug`] stays with the test.
pub struct InProcess<M> {
    info: DeviceInfo,
    shared: Rc<RefCell<Shared<M>>>,
    timer: Option<Pin<Box<Sleep>>>,
    cancelled: Vec<Done>,
    claimed: Vec<u8>,
}

struct Shared<M> {
    port: Port<M>,
    unplugged: bool,
    waker: Option<Waker>,
}

/// The test's end of an in-process device: reaches the model, and pulls the plug.
pub struct Plug<M> {
    shared: Rc<RefCell<Shared<M>>>,
}

impl<M> Clone for Plug<M> {
    fn clone(&self) -> Self {
        Self { shared: self.shared.clone() }
    }
}

impl<M: DeviceModel> Plug<M> {
    /// Does something with the model; the driver's transfers then see the change.
    pub fn with<R>(&self, change: impl FnOnce(&mut M) -> R) -> R {
        let mut shared = self.shared.borrow_mut();
        let result = change(shared.port.model_mut());
        if let Some(waker) = shared.waker.take() {
            waker.wake();
        }
        result
    }

    /// Pulls the device out.
    pub fn unplug(&self) {
        let mut shared = self.shared.borrow_mut();
        shared.unplugged = true;
        if let Some(waker) = shared.waker.take() {
            waker.wake();
        }
    }

    /// bConfigurationValue of the active configuration.
    pub fn configuration(&self) -> u8 {
        self.shared.borrow().port.configuration()
    }
}

impl<M: DeviceModel> InProcess<M> {
    /// Plugs a model in as `name`, in its first configuration (as the kernel selects it after enumeration).
    pub fn new(name: impl Into<String>, model: M) -> (Self, Plug<M>) {
        let first = model.descriptors().get(18 + 5).copied().unwrap_or(0);
        Self::in_configuration(name, model, first)
    }

    /// The same in the configuration with this value.
    pub fn in_configuration(name: impl Into<String>, model: M, value: u8) -> (Self, Plug<M>) {
        let speed = model.speed();
        let mut port = Port::new(model);
        port.configure(value, queue::now());
        let info = DeviceInfo {
            name: name.into(),
            speed,
            descriptors: port.descriptors().to_vec(),
            configuration: Some(port.configuration()),
        };
        let shared = Rc::new(RefCell::new(Shared { port, unplugged: false, waker: None }));
        let plug = Plug { shared: shared.clone() };
        (Self { info, shared, timer: None, cancelled: Vec::new(), claimed: Vec::new() }, plug)
    }

    fn sleep_until(&mut self, wake: Option<Instant>, context: &mut Context<'_>) -> bool {
        let Some(wake) = wake else {
            self.timer = None;
            return false;
        };
        let wake = tokio::time::Instant::from_std(wake);
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(wake)));
        if timer.deadline() != wake {
            timer.as_mut().reset(wake);
        }
        timer.as_mut().poll(context).is_ready()
    }
}

impl<M: DeviceModel> Transport for InProcess<M> {
    fn info(&self) -> &DeviceInfo {
        &self.info
    }

    fn submit(&mut self, urb: Urb) -> Result<(), (TransferError, Urb)> {
        let mut shared = self.shared.borrow_mut();
        if shared.unplugged {
            return Err((TransferError::Unplugged, urb));
        }
        shared.port.submit(urb);
        if let Some(waker) = shared.waker.take() {
            waker.wake();
        }
        Ok(())
    }

    fn cancel(&mut self, token: Token) {
        let mut shared = self.shared.borrow_mut();
        if let Some((urb, _)) = shared.port.withdraw(token) {
            self.cancelled.push(Done { urb, status: Err(TransferError::Cancelled) });
            if let Some(waker) = shared.waker.take() {
                waker.wake();
            }
        }
    }

    fn poll_reap(&mut self, context: &mut Context<'_>, done: &mut Vec<Done>) -> Poll<Reaped> {
        loop {
            let before = done.len();
            done.append(&mut self.cancelled);
            let wake = {
                let mut shared = self.shared.borrow_mut();
                if shared.unplugged {
                    let gone = shared.port.withdraw_all();
                    done.extend(gone.map(|urb| Done { urb, status: Err(TransferError::Unplugged) }));
                    return Poll::Ready(Reaped::Gone);
                }
                shared.waker = Some(context.waker().clone());
                shared.port.turn(queue::now(), done)
            };
            if done.len() > before {
                return Poll::Ready(Reaped::Some);
            }
            if !self.sleep_until(wake, context) {
                return Poll::Pending;
            }
            // Once more, at the new time.
            self.timer = None;
        }
    }

    fn abandon(&mut self, done: &mut Vec<Done>) {
        done.append(&mut self.cancelled);
        let mut shared = self.shared.borrow_mut();
        let all = shared.port.withdraw_all();
        done.extend(all.map(|urb| Done { urb, status: Err(TransferError::Cancelled) }));
    }

    fn allocate(&mut self, _: Direction, capacity: usize, count: usize) -> Vec<RawBuffer> {
        (0..count).map(|_| RawBuffer::heap(capacity)).collect()
    }

    fn claim(&mut self, interface: u8) -> Result<()> {
        if self.claimed.contains(&interface) {
            return Err(Error::new(ErrorKind::Busy, "claim", "another program has the interface open")
                .device(&self.info.name)
                .interface(interface));
        }
        self.claimed.push(interface);
        Ok(())
    }

    fn release(&mut self, interface: u8) {
        self.claimed.retain(|claimed| *claimed != interface);
    }
}
