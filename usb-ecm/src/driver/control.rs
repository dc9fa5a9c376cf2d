//! Control: what the machine says is done here, and what happens is told to it. It does not touch frames.

use std::rc::Rc;
use std::time::Duration;

use outboard_core::action::{Action as Completed, Completion, Outcome};
use outboard_core::buffer::BufferDescriptor;
use outboard_core::family::ethernet::EthernetInterface;
use outboard_core::service::Context;
use outboard_core::source::Drained;
use outboard_core::usb::{In, Interface, Interrupt, Pipe, TransferError};
use outboard_core::{Error, ErrorKind, MacAddr, Result};

use super::data_path::{Event, refused};
use super::{EcmDriver, Notice, start};
use crate::machine::{Action, Answer, FilterRequest, LinkSpeed, Role, Trouble};
use crate::proto::request;

/// Transfers queued on the notification endpoint: one is taken while the other waits.
const NOTIFICATION_DEPTH: usize = 2;

/// The notification endpoint.
pub(super) struct Notifications {
    pipe: Rc<Pipe<Interrupt, In>>,
    action: Completed<BufferDescriptor<In>>,
    idle: Vec<BufferDescriptor<In>>,
}

impl Notifications {
    pub(super) fn open<E: EthernetInterface + 'static>(
        context: &Context<EcmDriver<E>>,
        control: &Interface,
        endpoint: u8,
    ) -> Result<Self> {
        let pipe = Rc::new(control.pipe::<Interrupt, In>(endpoint)?);
        // One packet a transfer: a notification that fills its packet is not followed by a shorter one.
        let idle = pipe.buffers(pipe.max_packet_size(), NOTIFICATION_DEPTH);
        Ok(Self { pipe, action: context.action(EcmDriver::notified), idle })
    }

    fn resume(&mut self) -> Result<(), Event> {
        while let Some(buffer) = self.idle.pop() {
            if let Err(rejected) = self.pipe.async_io(buffer, &self.action) {
                self.idle.push(rejected.buffer);
                return refused(Role::Notify, rejected.error);
            }
        }
        Ok(())
    }
}

/// How often the host's wish is looked at without a sign: groups that are joined without a report (LLDP) give none.
const WISH_INTERVAL: Duration = Duration::from_secs(5);

/// No other attempt can help: the device is gone, or does not answer at all.
pub(super) fn is_final(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Unplugged | ErrorKind::TimedOut)
}

/// Sends a filter request. An error means that the device is gone.
pub(super) async fn perform(
    control: &Interface,
    request: &FilterRequest,
) -> Result<(Answer, Option<Notice>)> {
    let number = control.number();
    let result = match request {
        FilterRequest::Packet(filter) => {
            control.request_out(request::set_packet_filter(number, *filter), &[]).await
        }
        FilterRequest::Multicast(groups) => {
            // The machine asks for no more than the device has; what does not fit in a request is refused like the device would.
            let offered = crate::proto::functional::MulticastFilters { count: u16::MAX, perfect: true };
            match request::set_multicast_filters(number, offered, groups) {
                Ok(request) => control.request_out(request.setup, &request.data).await,
                Err(_) => return Ok((Answer::Refused, None)),
            }
        }
    };
    let Err(error) = result else { return Ok((Answer::Done, None)) };
    match (error.kind(), request) {
        (ErrorKind::Unplugged, _) => Err(error),
        (ErrorKind::Stalled, FilterRequest::Packet(_)) => {
            tracing::info!(%error, "the device refuses packet filters");
            Ok((Answer::Refused, Some(Notice::FilterRefused)))
        }
        (ErrorKind::Stalled, FilterRequest::Multicast(_)) => Ok((Answer::Refused, None)),
        // By a reset, after which all is asked anew.
        (ErrorKind::Cancelled, _) => Ok((Answer::Failed, None)),
        _ => {
            tracing::warn!(%error, "a packet filter could not be set");
            Ok((Answer::Failed, Some(Notice::FilterFailed)))
        }
    }
}

/// Shows the speed; an interface that cannot is no reason to stop.
pub(super) fn show_speed<E: EthernetInterface>(
    interface: &mut E,
    speed: LinkSpeed,
) -> Result<Option<Notice>> {
    // USB moves frames both ways at once, and CDC knows no duplex.
    match interface.set_speed(speed.down_mbit, true) {
        Ok(()) => Ok(None),
        Err(error) if error.kind() == ErrorKind::NotFound => Err(error),
        Err(error) => {
            tracing::debug!(%error, "the speed is not shown");
            Ok(Some(Notice::SpeedNotShown))
        }
    }
}

impl<E: EthernetInterface + 'static> EcmDriver<E> {
    /// Everything is open: the first transfers.
    pub(super) fn begin(&mut self) {
        // First, for what the host queued while a driver before this one was dead is for the device, if the link was up then.
        self.machine.handle_started(Self::now());
        for role in [Role::Notify, Role::Receive, Role::Transmit] {
            self.resume(role);
        }
        self.wish_timer.wake_at(Some(Self::now() + WISH_INTERVAL));
        self.drive();
    }

    pub(super) fn time_for_wish(&mut self) {
        self.wish_timer.wake_at(Some(Self::now() + WISH_INTERVAL));
        self.look_at_wish();
    }

    /// A source for changes of what the host wants.
    pub(super) fn watch_wish(context: &Context<Self>, interface: &E) -> Result<()> {
        let Some(fd) = interface.wish_readiness() else { return Ok(()) };
        // The context keeps it.
        let looked = |driver: &mut Self| {
            driver.look_at_wish();
            Drained::Yes
        };
        context.interrupt_source(fd, looked).map(drop)
    }

    /// What the host wants may have changed.
    pub(super) fn look_at_wish(&mut self) {
        let wish = match self.path.interface.wish() {
            Ok(wish) => wish,
            Err(error) => return self.fail(error),
        };
        self.machine.handle_wish(&wish);
        let mut status = self.status;
        if wish.mac != MacAddr::ZERO {
            status.mac = wish.mac;
            self.path.set_station(wish.mac);
        }
        if wish.mtu != 0 {
            status.mtu = wish.mtu;
        }
        self.tell(status);
        self.drive();
    }

    /// ReadComplete of the notification pipe.
    fn notified(&mut self, done: Completion<BufferDescriptor<In>>) {
        let more = done.more;
        match done.outcome {
            Outcome::Completed(Ok(_)) => self.machine.handle_notification(done.buffer.data(), Self::now()),
            Outcome::Completed(Err(error)) => self.trouble(Role::Notify, error),
            Outcome::Cancelled | Outcome::Aborted(_) => {}
        }
        if let Some(notifications) = &mut self.notifications {
            notifications.idle.push(done.buffer);
        }
        if !more {
            if self.machine.is_running(Role::Notify) {
                self.resume(Role::Notify);
            }
            self.drive();
        }
    }

    /// So many transfers went well.
    #[inline]
    pub(super) fn progress(&mut self, role: Role, good: u32, frames: u32) {
        let was_up = self.machine.is_up();
        self.machine.handle_completed(role, good, frames, Self::now());
        if !was_up && self.machine.is_up() {
            self.drive();
        }
    }

    /// A transfer failed. What follows is done by the end of the batch.
    #[cold]
    pub(super) fn trouble(&mut self, role: Role, error: TransferError) {
        let trouble = match error {
            TransferError::Stall => Trouble::Stall,
            TransferError::Overflow => Trouble::Overflow,
            // The end is told otherwise.
            TransferError::Unplugged | TransferError::Cancelled => return,
            _ => Trouble::Fault,
        };
        self.event(Event::Trouble(role, trouble));
    }

    #[cold]
    pub(super) fn event(&mut self, event: Event) {
        match event {
            Event::Trouble(role, trouble) => {
                let was_running = self.machine.is_running(role);
                self.machine.handle_trouble(role, trouble, Self::now());
                if was_running {
                    tracing::debug!(device = self.device.name(), ?role, ?trouble, "a transfer failed");
                    self.drive();
                }
            }
            Event::Ended(error) => self.fail(error),
        }
    }

    pub(super) fn time(&mut self) {
        self.machine.handle_timeout(Self::now());
        self.drive();
    }

    #[cold]
    pub(super) fn unplugged(&mut self) {
        self.path.stop_sending();
        // There is nobody left to tell if it fails.
        let _ = self.path.interface.set_carrier(false);
        self.tell(super::EcmStatus { link_up: false, ..self.status });
        let error = Error::new(ErrorKind::Unplugged, "drive the Ethernet function", "the device is gone");
        self.fail(error.device(self.device.name()).interface(self.function.control_interface));
    }

    fn resume(&mut self, role: Role) {
        let resumed = match role {
            Role::Receive => self.path.resume_receiving(),
            Role::Transmit => self.path.resume_sending(),
            Role::Notify => self.notifications.as_mut().map_or(Ok(()), Notifications::resume),
        };
        match resumed {
            Ok(()) => {}
            Err(Event::Trouble(role, trouble)) => self.machine.handle_trouble(role, trouble, Self::now()),
            Err(Event::Ended(error)) => self.fail(error),
        }
        if role == Role::Transmit {
            self.pull();
        }
    }

    /// Does what the machine says, until it says no more.
    pub(super) fn drive(&mut self) {
        let now = Self::now();
        while let Some(action) = self.machine.poll_action(now) {
            self.act(action);
        }
        if !self.machine.is_running(Role::Receive) {
            self.path.stop_receiving();
        }
        if !self.machine.is_running(Role::Transmit) {
            self.path.stop_sending();
        }
        if self.machine.is_deaf() && self.status.notices.add(Notice::Deaf) {
            tracing::warn!(device = self.device.name(), "the notification endpoint does not work");
        }
        self.timer.wake_at(self.machine.poll_timeout());
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Carrier(up) => {
                if let Err(error) = self.path.interface.set_carrier(up) {
                    return self.fail(error);
                }
                self.tell(super::EcmStatus { link_up: up, ..self.status });
            }
            Action::Speed(speed) => {
                let mut status = super::EcmStatus { speed, ..self.status };
                match show_speed(&mut self.path.interface, speed) {
                    Ok(notice) => status.notices.extend(notice),
                    Err(error) => return self.fail(error),
                }
                self.tell(status);
            }
            Action::Request(request) => {
                let control = self.control.clone();
                self.context.spawn(async move { perform(&control, &request).await }, |driver, result| {
                    match result {
                        Ok((answer, notice)) => {
                            driver.status.notices.extend(notice);
                            driver.machine.handle_answer(answer);
                            driver.drive();
                        }
                        Err(_) => driver.unplugged(),
                    }
                });
            }
            Action::ClearHalt(role) => self.clear_halt(role),
            Action::Resume(role) => self.resume(role),
            Action::Reset => self.reset(),
            Action::Fail { role, trouble } => self.beyond_repair(role, trouble),
        }
    }

    fn clear_halt(&mut self, role: Role) {
        let (receive, send) = (self.path.receive.pipe.clone(), self.path.send.pipe.clone());
        let notify = self.notifications.as_ref().map(|notifications| notifications.pipe.clone());
        let clear = async move {
            match (role, notify) {
                (Role::Receive, _) => {
                    receive.abort().await;
                    receive.clear_stall().await
                }
                (Role::Transmit, _) => {
                    send.abort().await;
                    send.clear_stall().await
                }
                (Role::Notify, Some(notify)) => {
                    notify.abort().await;
                    notify.clear_stall().await
                }
                (Role::Notify, None) => Ok(()),
            }
        };
        self.context.spawn(clear, move |driver, result| {
            if let Err(error) = &result {
                tracing::debug!(%error, "a halt could not be cleared");
            }
            driver.machine.handle_cleared(role, result.is_ok(), Self::now());
            driver.drive();
        });
    }

    fn reset(&mut self) {
        tracing::warn!(device = self.device.name(), "transfers fail again and again; the device is reset");
        let (device, function) = (self.device.clone(), self.function.clone());
        let bulk = self.data.as_ref().unwrap_or(&self.control).clone();
        let (receive, send) = (self.path.receive.pipe.clone(), self.path.send.pipe.clone());
        let notify = self.notifications.as_ref().map(|notifications| notifications.pipe.clone());
        self.path.stop_receiving();
        self.path.stop_sending();
        let reset = async move {
            receive.abort().await;
            send.abort().await;
            if let Some(notify) = notify {
                notify.abort().await;
            }
            device.reset().await?;
            start::select(&bulk, &function).await
        };
        self.context.spawn(reset, |driver, result| {
            let reopened = result.and_then(|()| driver.reopen());
            driver.machine.handle_reset(reopened.is_ok());
            match reopened {
                Err(error) if error.kind() == ErrorKind::Unplugged => driver.unplugged(),
                // It says more than the trouble that the reset was to end.
                Err(error) => driver.fail(error),
                Ok(()) => {}
            }
            driver.drive();
        });
    }

    /// Opens the pipes anew: those from before the alternate setting was selected are stale.
    fn reopen(&mut self) -> Result<()> {
        let bulk = self.data.as_ref().unwrap_or(&self.control);
        self.path.receive.pipe = Rc::new(bulk.pipe(self.function.bulk_in.address)?);
        self.path.send.pipe = Rc::new(bulk.pipe(self.function.bulk_out.address)?);
        if let Some(notifications) = &mut self.notifications {
            notifications.pipe = Rc::new(self.control.pipe(notifications.pipe.address())?);
        }
        Ok(())
    }

    #[cold]
    fn beyond_repair(&mut self, role: Role, trouble: Trouble) {
        let endpoint = match role {
            Role::Receive => self.function.bulk_in.address,
            _ => self.function.bulk_out.address,
        };
        let (kind, reason) = match trouble {
            Trouble::Stall => (ErrorKind::Stalled, "the endpoint stalls again and again, also after a reset"),
            Trouble::Fault => (ErrorKind::Faulted, "transfers fail again and again, also after a reset"),
            Trouble::Overflow => {
                (ErrorKind::Faulted, "most transfers bring more than they may, also after a reset")
            }
        };
        let _ = self.path.interface.set_carrier(false);
        let error = Error::new(kind, "transfer frames", reason);
        self.fail(
            error.device(self.device.name()).interface(self.function.data_interface).endpoint(endpoint),
        );
    }
}
