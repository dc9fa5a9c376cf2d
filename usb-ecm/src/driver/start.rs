//! The start, in the order in which devices work: configuration, claims, address, alternate setting, packet filter, transfers.
//! It ends where the first frame begins.

use std::rc::Rc;

use outboard_core::family::ethernet::EthernetInterface;
use outboard_core::service::Context;
use outboard_core::usb::{Device, Interface, Speed};
use outboard_core::{Error, ErrorKind, MacAddr, Result, queue};

use super::control::{self, Notifications};
use super::data_path::DataPath;
use super::{EcmDriver, EcmStatus, Notice, Notices, Provider, Vended};
use crate::machine::{Action, Machine, Parameters};
use crate::proto::function::{self, EcmFunction, Refusal};
use crate::proto::mac;
use crate::proto::quirks::Quirks;

/// The MTU that an interface begins with, if the device's frames are long enough.
const USUAL_MTU: u16 = 1500;

pub(super) async fn start<E: EthernetInterface + 'static>(
    context: &Context<EcmDriver<E>>,
    provider: Provider<E>,
) -> Result<EcmDriver<E>> {
    let Provider { device, interface, resumes, vend, mut watch } = provider;
    let mut notices = Notices::default();
    let quirks = quirks_of(&device);
    let function = choose(&device, &quirks, interface)?;
    for finding in &function.findings {
        notices.add(Notice::OddDescriptors);
        tracing::warn!(device = device.name(), interface = function.control_interface, "{finding}");
    }
    if let Some(driver) = quirks.better_driver {
        notices.add(Notice::BetterDriver);
        tracing::info!(device = device.name(), driver, "the kernel has a driver that does more");
    }
    if device.configuration() != function.configuration {
        device.set_configuration(function.configuration).await?;
    }
    let control = Rc::new(device.interface(function.control_interface)?);
    let data = match function.data_interface {
        number if number == function.control_interface => None,
        number => Some(Rc::new(device.interface(number)?)),
    };
    let (mac, mac_is_made_up) = station(&device, &function, &quirks).await?;
    if mac_is_made_up {
        notices.add(Notice::MacMadeUp);
    }
    let vended = Vended {
        mac,
        mac_is_made_up,
        mtu: function.max_mtu().min(USUAL_MTU).into(),
        max_mtu: function.max_mtu().into(),
        speed: device.speed(),
        device: device.name().to_owned(),
        product: product(&device).await?,
        control_interface: function.control_interface,
    };
    let start_mtu = vended.mtu;
    let mut interface = vend(vended).await?;
    let wish = interface.wish()?;
    let bulk = data.as_ref().unwrap_or(&control);
    select(bulk, &function).await?;
    // A device whose address we could not read filters for one that only it knows. One whose address we replaced sends us what it sends.
    let known = !mac_is_made_up || quirks.replace_local_mac;
    let mut machine = Machine::new(Parameters {
        station: if known { mac } else { MacAddr::ZERO },
        bus_mbit: u32::try_from(device.speed().bits_per_second() / 1_000_000).unwrap_or(u32::MAX),
        resumes,
        notifies: function.notification.is_some(),
        multicast: function.multicast,
        repeated_carrier_on: quirks.repeated_carrier_on,
    });
    machine.handle_wish(&wish);
    first_requests(&mut machine, &control, &mut interface, &mut notices).await?;
    let status = EcmStatus {
        link_up: false,
        mac: if wish.mac == MacAddr::ZERO { mac } else { wish.mac },
        mtu: if wish.mtu == 0 { start_mtu } else { wish.mtu },
        speed: machine.speed(),
        traffic: *interface.counters(),
        drops: Default::default(),
        recoveries: 0,
        last_recovery: None,
        bad_notifications: 0,
        notices,
    };
    let notifications = match function.notification {
        Some(endpoint) => Some(Notifications::open(context, &control, endpoint.address)?),
        None => None,
    };
    let rewrite = quirks.rewrite_local_destination.then_some(status.mac);
    let path = DataPath::open(context, bulk, &function, interface, rewrite)?;
    let timer = context.timer(|driver: &mut EcmDriver<E>| driver.time());
    let wish_timer = context.timer(|driver: &mut EcmDriver<E>| driver.time_for_wish());
    EcmDriver::watch_wish(context, &path.interface)?;
    let gone = device.clone();
    context.spawn(async move { gone.gone().await }, |driver, ()| driver.unplugged());
    watch(path.interface.name(), &status);
    let mut driver = EcmDriver {
        context: context.clone(),
        device,
        function,
        control,
        data,
        machine,
        path,
        notifications,
        timer,
        wish_timer,
        status,
        watch,
    };
    driver.begin();
    Ok(driver)
}

fn quirks_of(device: &Device) -> Quirks {
    let descriptor = &device.descriptors().device;
    Quirks::of(descriptor.vendor_id, descriptor.product_id)
}

/// The function to drive, or the best reason why there is none.
fn choose(device: &Device, quirks: &Quirks, interface: Option<u8>) -> Result<EcmFunction> {
    let active = Some(device.configuration()).filter(|value| *value != 0);
    let mut candidates = function::find(device.descriptors(), quirks, active);
    if let Some(wanted) = interface {
        // It was matched in the active configuration, and the right to change that is not ours.
        candidates.retain(|candidate| candidate.is_of(wanted) && Some(candidate.configuration) == active);
    }
    if let Some(function) = function::best(&candidates) {
        return Ok(function.clone());
    }
    const OPERATION: &str = "look for an ECM function";
    // A function that is broken says more than a configuration that has none.
    let broken = candidates.iter().find_map(|candidate| match &candidate.verdict {
        Err(Refusal::Malformed(malformed)) => Some(Error::from(malformed.clone())),
        Err(Refusal::Quirk(reason)) => Some(Error::new(ErrorKind::Unsupported, OPERATION, *reason)),
        _ => None,
    });
    let error = broken.unwrap_or_else(|| {
        let reasons: Vec<_> = candidates.iter().map(ToString::to_string).collect();
        let reason =
            if reasons.is_empty() { "there is no configuration".to_owned() } else { reasons.join("; ") };
        Error::new(ErrorKind::NotFound, OPERATION, reason)
    });
    Err(error.device(device.name()))
}

/// The station address: the device's, or a stable one of our own.
async fn station(device: &Device, function: &EcmFunction, quirks: &Quirks) -> Result<(MacAddr, bool)> {
    let text = match function.mac_string {
        None => Err(mac::BadMacString::Missing.to_string()),
        Some(index) => match device.string(index).await {
            Ok(text) => mac::parse(&text).map_err(|bad| bad.to_string()),
            Err(error) if control::is_final(&error) => return Err(error),
            Err(error) => Err(format!("iMACAddress's string could not be read: {error}")),
        },
    };
    let reason = match text {
        Ok(mac) if !(mac.is_local() && quirks.replace_local_mac) => return Ok((mac, false)),
        Ok(mac) => format!("{mac} is the same on every such device"),
        Err(reason) => reason,
    };
    let descriptor = &device.descriptors().device;
    let serial = match descriptor.serial_number {
        None => None,
        Some(index) => match device.string(index).await {
            Ok(serial) => Some(serial),
            Err(error) if control::is_final(&error) => return Err(error),
            Err(_) => None,
        },
    };
    let identity =
        mac::identity(descriptor.vendor_id, descriptor.product_id, serial.as_deref(), device.name());
    let mac = mac::fallback(&identity);
    tracing::warn!(device = device.name(), interface = function.control_interface, "{reason}; {mac} is used");
    Ok((mac, true))
}

async fn product(device: &Device) -> Result<Option<String>> {
    let Some(index) = device.descriptors().device.product else { return Ok(None) };
    match device.string(index).await {
        Ok(product) => Ok(Some(product).filter(|product| !product.is_empty())),
        Err(error) if error.kind() == ErrorKind::Unplugged => Err(error),
        Err(_) => Ok(None),
    }
}

/// Selects the alternate setting with the bulk pair. An interface with one setting has nothing to select, and some devices refuse it.
pub(super) async fn select(bulk: &Interface, function: &EcmFunction) -> Result<()> {
    let configuration = bulk.device().descriptors().configuration(function.configuration);
    let settings = configuration
        .and_then(|configuration| configuration.interface(function.data_interface))
        .map_or(0, |interface| interface.alternates.len());
    if settings > 1 || function.data_alternate != 0 {
        bulk.select_alternate(function.data_alternate).await?;
    }
    Ok(())
}

/// What the device and the host have to be told before the first transfer: the filter, and the speed for show.
async fn first_requests<E: EthernetInterface>(
    machine: &mut Machine,
    control: &Interface,
    interface: &mut E,
    notices: &mut Notices,
) -> Result<()> {
    while let Some(action) = machine.poll_action(queue::now()) {
        match action {
            Action::Request(request) => {
                let (answer, notice) = control::perform(control, &request).await?;
                notices.extend(notice);
                machine.handle_answer(answer);
            }
            Action::Speed(speed) => notices.extend(control::show_speed(interface, speed)?),
            // Nothing runs yet that could need repair, and there is no link.
            action => debug_assert!(false, "{action:?} before the start"),
        }
    }
    Ok(())
}

/// Transfers queued each way for a bus of this speed.
pub(super) const fn depth(speed: Speed) -> usize {
    match speed {
        Speed::Low | Speed::Full => super::DEPTH_FULL_SPEED,
        Speed::High => super::DEPTH_HIGH_SPEED,
        Speed::Super | Speed::SuperPlus => super::DEPTH_SUPER_SPEED,
    }
}
