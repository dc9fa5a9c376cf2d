//! The manager at work: devices come and go, each function gets its driver if policy says so, and what is asked over the control socket is done. It must
//! not know how a driver is kept alive, nor how anything is shown.
//!
//! Its picture of the machine is the registry. Everything happens on one queue; a driver's life is a task on it.

mod attached;
mod picture;

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use outboard_core::registry::{self, Registry};
use outboard_core::usb::discovery::{self, Event, Found};
use outboard_core::usb::transport::Transport;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

use self::attached::{Attached, Candidate, Machine};
use crate::control::{Refusal, Request};
use crate::exit::Failure;
use crate::policy::given::{Entry, Given};
use crate::policy::rule::Rule;
use crate::policy::{Decision, Why};
use crate::supervise::{Access, Asked, Instance, Outcome, Users};
use crate::usbip::{self, Url};

/// How long the kernel's drivers have for a new device, with the modules that udev may have to load, before nobody's counts as nobody's.
const SETTLE: Duration = Duration::from_secs(2);
/// How often the file of what is given is looked at.
const LOOK: Duration = Duration::from_millis(500);

/// What is served, and by what name: the device's, and the first interface's number of the function.
type Key = (String, u8);

/// How a driver is doing now.
type Picture = (Key, registry::Instance);

/// A driver that lives.
struct Served {
    asked: mpsc::Sender<Asked>,
    why: Why,
    /// The device's bus and its address there: what is plugged into the same place later has another one.
    address: (u16, u16),
    instance: registry::Instance,
}

/// The manager's state.
pub(crate) struct Daemon {
    machine: Machine,
    given: Given,
    /// When the file was changed last, as far as we know.
    given_at: Option<SystemTime>,
    devices: BTreeMap<String, Attached>,
    served: BTreeMap<Key, Served>,
    lives: JoinSet<(Key, Result<Outcome, String>)>,
    pictures: (mpsc::UnboundedSender<Picture>, mpsc::UnboundedReceiver<Picture>),
    registry: watch::Sender<Registry>,
    users: Users,
}

impl Daemon {
    /// With the policy of this machine. What it shows goes to `registry`.
    ///
    /// # Errors
    /// The file of what is given makes no sense: nothing is taken or left on a guess.
    pub(crate) fn new(registry: watch::Sender<Registry>, root: PathBuf) -> Result<Self, Failure> {
        let given = Given::load(&root)?;
        let machine = Machine::new(root);
        Ok(Self {
            given_at: machine.given_changed(),
            machine,
            given,
            devices: BTreeMap::new(),
            served: BTreeMap::new(),
            lives: JoinSet::new(),
            pictures: mpsc::unbounded_channel(),
            registry,
            users: Users::of_this_process(),
        })
    }

    /// Works until `stop` resolves, then gives every device back.
    pub(crate) async fn run(
        &mut self,
        requests: &mut mpsc::Receiver<Request>,
        remote: Vec<Url>,
        stop: impl Future<Output = ()>,
    ) {
        for url in remote {
            self.import(url).await;
        }
        self.decide_all();
        let mut watch = discovery::watch();
        let mut look = tokio::time::interval(LOOK);
        let mut stop = std::pin::pin!(stop);
        loop {
            let next = self.devices.values().filter_map(|device| device.settles).min();
            let settled = async {
                match next {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                () = &mut stop => break,
                Some((key, instance)) = self.pictures.1.recv() => self.shown(&key, instance),
                Some(ended) = self.lives.join_next() => match ended {
                    Ok((key, outcome)) => self.ended(&key, outcome),
                    Err(error) => tracing::error!(%error, "a driver's life ended by a bug"),
                },
                event = watch.next() => match event {
                    Event::Arrived(found) => self.arrived(found),
                    Event::Departed(found) => self.departed(&found.name),
                },
                Some(request) = requests.recv() => self.asked(request).await,
                () = settled => self.decide_all(),
                _ = look.tick() => if self.machine.given_changed() != self.given_at {
                    self.reload().await;
                },
            }
        }
        self.stop().await;
    }

    /// Ends all drivers, and waits for their devices to be given back.
    async fn stop(&mut self) {
        for served in self.served.values() {
            // Who does not listen has ended.
            let _ = served.asked.try_send(Asked::Stop);
        }
        while let Some(ended) = self.lives.join_next().await {
            if let Ok((key, _)) = ended {
                self.served.remove(&key);
            }
        }
        self.publish();
    }

    fn arrived(&mut self, found: Found) {
        tracing::info!(device = found.name, "plugged in");
        let name = found.name.clone();
        self.devices.insert(name, Attached::new(found, Instant::now() + SETTLE));
        self.decide_all();
    }

    fn departed(&mut self, name: &str) {
        tracing::info!(device = name, "unplugged");
        self.devices.remove(name);
        // Those that serve notice by themselves; those that wait for their time do not.
        for (_, served) in self.served.iter().filter(|((device, _), _)| device == name) {
            // One whose ear is full is ending.
            let _ = served.asked.try_send(Asked::Stop);
        }
        self.publish();
    }

    fn ended(&mut self, key: &Key, outcome: Result<Outcome, String>) {
        let served = self.served.remove(key);
        match &outcome {
            Ok(Outcome::Stopped) => tracing::info!(device = key.0, "the driver was stopped"),
            Ok(Outcome::Unplugged) => tracing::info!(device = key.0, "the driver ended with its device"),
            Err(error) => tracing::error!(device = key.0, "no driver can be started: {error}"),
        }
        if let Some(device) = self.devices.get_mut(&key.0) {
            // It is looked at once more when the kernel has had time for it; what is gone by then has departed.
            device.settles = Some(Instant::now() + SETTLE);
            let is_same = served.is_some_and(|served| served.address == device.address());
            device.left_alone |= is_same && matches!(outcome, Err(_) | Ok(Outcome::Unplugged));
        }
        self.publish();
    }

    fn shown(&mut self, key: &Key, instance: registry::Instance) {
        if let Some(served) = self.served.get_mut(key) {
            served.instance = instance;
            self.publish();
        }
    }

    /// Looks at every device again, as it is now, and takes what is to be taken.
    fn decide_all(&mut self) {
        let now = Instant::now();
        let mut wanted = Vec::new();
        {
            let found = discovery::list().unwrap_or_default();
            for device in found {
                if let Some(known) = self.devices.get_mut(&device.name) {
                    known.refresh(device);
                }
            }
            let mut round = self.machine.round(&self.given);
            for device in self.devices.values_mut() {
                let settled = device.settles.is_none_or(|at| at <= now);
                if settled {
                    device.settles = None;
                }
                device.candidates = round.candidates(&device.found);
                for candidate in &device.candidates {
                    if device.left_alone
                        || self.served.contains_key(&(device.found.name.clone(), candidate.key()))
                    {
                        continue;
                    }
                    match &candidate.decision {
                        Some(Decision::Take(Why::Free)) if !settled => {}
                        Some(Decision::Take(why)) => {
                            wanted.push((device.found.clone(), candidate.clone(), why.clone()));
                        }
                        _ => {}
                    }
                }
            }
        }
        for (found, candidate, why) in wanted {
            self.take(&found, &candidate, why);
        }
        self.publish();
    }

    fn take(&mut self, found: &Found, candidate: &Candidate, why: Why) {
        let Some(driver) = candidate.runnable() else {
            tracing::debug!(
                device = found.name,
                driver = candidate.driver,
                "the driver has no process of its own yet"
            );
            return;
        };
        tracing::info!(device = found.name, driver, "taken, because {why}");
        let access = Access::Local(candidate.local(found));
        let name = found.name.clone();
        self.begin((name, candidate.key()), driver, Some(candidate.key()), access, why);
    }

    /// A device of another machine is there from now on; a connection that fails is tried again.
    async fn import(&mut self, url: Url) {
        let Some(bus_id) = url.bus_id.clone() else { return };
        let name = url.to_string();
        // What it is, for the picture; if the server is away now, the driver finds out when it is back.
        let attached = match usbip::import(&url, &bus_id).await {
            Ok(transport) => Attached::remote(&name, Some(transport.info())),
            Err(failure) => {
                tracing::warn!(device = name, "{failure}; trying again");
                Attached::remote(&name, None)
            }
        };
        self.devices.insert(name.clone(), attached);
        let access = Access::Remote { url, bus_id };
        self.begin((name, Attached::WHOLE), "usb-ecm", None, access, Why::Free);
    }

    fn begin(&mut self, key: Key, driver: &str, interface: Option<u8>, access: Access, why: Why) {
        let (asked, asks) = mpsc::channel(4);
        let (pictures, of) = (self.pictures.0.clone(), key.clone());
        let instance = Instance {
            driver: driver.to_owned(),
            device: key.0.clone(),
            interface,
            access,
            users: self.users.clone(),
            trace: None,
            // There is always a receiver: our own.
            report: Box::new(move |instance| drop(pictures.send((of.clone(), instance.clone())))),
            asked: asks,
        };
        let picture = instance.begun();
        let of = key.clone();
        self.lives.spawn_local(async move { (of, instance.run().await.map_err(|error| error.to_string())) });
        let address = self.devices.get(&key.0).map(Attached::address).unwrap_or_default();
        self.served.insert(key, Served { asked, why, address, instance: picture });
    }

    /// What is given was changed, by us or by a command.
    async fn reload(&mut self) {
        self.given_at = self.machine.given_changed();
        match Given::load(self.machine.root()) {
            Ok(given) => self.given = given,
            Err(error) => return tracing::error!("what is given stays as it was: {error}"),
        }
        // What was taken because of a rule that is gone goes back.
        let mut back = Vec::new();
        for (key, served) in &self.served {
            let Some(device) = self.devices.get(&key.0) else { continue };
            let rule = device.rule(&self.given, key.1);
            if matches!(served.why, Why::Given { .. }) && rule.is_none() {
                back.push(served.asked.clone());
            }
        }
        for asked in back {
            let _ = asked.send(Asked::Stop).await;
        }
        for device in self.devices.values_mut() {
            device.left_alone = false;
        }
        self.decide_all();
    }

    async fn asked(&mut self, request: Request) {
        let (outcome, answer) = match request {
            Request::Restart { device, answer } => (self.tell(&device, Asked::Restart).await, answer),
            Request::Give { rule, answer } => (self.give(&rule).await, answer),
            Request::Return { device, answer } => (self.give_back(&device).await, answer),
        };
        // Who asked may be gone.
        let _ = answer.send(outcome);
    }

    async fn tell(&mut self, device: &str, asked: Asked) -> Result<(), Refusal> {
        let Some(attached) = self.devices.get_mut(device) else { return Err(Refusal::NoSuchDevice) };
        let mut anybody = std::mem::take(&mut attached.left_alone);
        let senders: Vec<_> = self
            .served
            .iter()
            .filter(|((name, _), _)| name == device)
            .map(|(_, served)| served.asked.clone())
            .collect();
        for sender in senders {
            anybody |= sender.send(asked).await.is_ok();
        }
        self.decide_all();
        if anybody { Ok(()) } else { Err(Refusal::NotServed) }
    }

    async fn give(&mut self, rule: &str) -> Result<(), Refusal> {
        let because = |error: String| Refusal::Because(error);
        let rule: Rule = rule.parse().map_err(|error| because(format!("{error}")))?;
        let entry = Entry::now(rule, 0);
        let changed = Given::change(self.machine.root(), |given| given.add(entry).map(drop));
        changed.map_err(|error| because(error.to_string()))?;
        self.reload().await;
        Ok(())
    }

    /// Takes the rule back that gives a device, or one in these very words.
    async fn give_back(&mut self, device: &str) -> Result<(), Refusal> {
        let because = |error: String| Refusal::Because(error);
        let rule: Rule = device.parse().map_err(|error| because(format!("{error}")))?;
        let (removed, _) = Given::change(self.machine.root(), |given| Ok(given.remove(&rule)))
            .map_err(|error| because(error.to_string()))?;
        if !removed {
            return Err(because(format!(
                "{rule} was not given in these words; `outboard give` lists what was"
            )));
        }
        self.reload().await;
        Ok(())
    }

    /// Shows the picture as it is now.
    fn publish(&self) {
        let instance = |key: &Key| self.served.get(key).map(|served| served.instance.clone());
        let devices = self.devices.values().map(|device| picture::device(device, instance)).collect();
        self.registry.send_if_modified(|registry| {
            let new = Registry { devices };
            let is_new = *registry != new;
            *registry = new;
            is_new
        });
    }
}

/// When a file was changed last; `None`: there is none.
fn changed(path: &std::path::Path) -> Option<SystemTime> {
    fs::metadata(path).and_then(|metadata| metadata.modified()).ok()
}
