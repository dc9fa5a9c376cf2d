//! The wrappers: what is injected happens as it says, in order, and what passes is recorded.

use std::time::Duration;

use outboard_core::action::{Aborted, Outcome};
use outboard_core::buffer::BufferDescriptor;
use outboard_core::queue;
use outboard_core::usb::transfer::{Operation, TransferError};
use outboard_core::usb::transport::fault::{Faulty, Injection, Injector, Rule};
use outboard_core::usb::transport::in_process::{InProcess, Plug};
use outboard_core::usb::transport::record::{Log, Recorded, What};
use outboard_core::usb::{Bulk, Device, In, Interface, Out, Pipe, TransferType};

use super::model::*;

struct Rig {
    device: Device,
    plug: Plug<Bench>,
    injector: Injector,
    interface: Interface,
    input: Pipe<Bulk, In>,
    output: Pipe<Bulk, Out>,
    endings: Endings,
}

async fn rig() -> Rig {
    let (transport, plug) = InProcess::new("1-2", Bench::default());
    let (transport, injector) = Faulty::new(transport);
    let device = Device::open(transport).await.unwrap();
    let interface = device.interface(0).unwrap();
    let (input, output) = (interface.pipe(BULK_IN).unwrap(), interface.pipe(BULK_OUT).unwrap());
    Rig { device, plug, injector, interface, input, output, endings: Endings::default() }
}

impl Rig {
    /// Submits three IN transfers for three packets that are there.
    fn read_three(&self) {
        self.plug.with(|model| model.say.entry(BULK_IN).or_default().extend((1..=3).map(|n| vec![n; 10])));
        let action = self.endings.action();
        for packets in 1..=3 {
            self.input.async_io(self.input.buffer(packets * PACKET), &action).unwrap();
        }
    }
}

const OK: Outcome = Outcome::Completed(Ok(10));

#[test]
fn a_stall_halts_until_it_is_cleared_and_the_device_misses_nothing() {
    on_queue(async || {
        let rig = rig().await;
        rig.injector.add(Rule::at(BULK_IN, 2, Injection::Stall));
        rig.read_three();
        settle().await;
        let stall = Outcome::Completed(Err(TransferError::Stall));
        assert_eq!(rig.endings.outcomes(), [(PACKET, OK), (2 * PACKET, stall), (3 * PACKET, stall)]);
        assert_eq!(rig.input.io(rig.input.buffer(1)).await.outcome, stall);
        rig.input.clear_stall().await.unwrap();
        assert_eq!(rig.input.io(rig.input.buffer(1)).await.buffer.data(), [2; 10]);
        assert_eq!(rig.injector.injected(), 1);
        // Endpoint 0 recovers by itself.
        rig.injector.add(Rule::at(0, 1, Injection::Stall));
        assert!(rig.interface.select_alternate(0).await.is_err());
        rig.interface.select_alternate(0).await.unwrap();
    });
}

#[test]
fn a_fault_ends_one_transfer_and_the_order_stays() {
    on_queue(async || {
        let rig = rig().await;
        rig.injector.add(Rule::at(BULK_IN, 2, Injection::Fault));
        rig.read_three();
        settle().await;
        let fault = Outcome::Completed(Err(TransferError::Fault));
        assert_eq!(rig.endings.outcomes(), [(PACKET, OK), (2 * PACKET, fault), (3 * PACKET, OK)]);
        assert_eq!(rig.endings.all()[2].data, [2; 10]);
    });
}

#[test]
fn short_and_corrupt_transfers_look_like_the_devices_own() {
    on_queue(async || {
        let rig = rig().await;
        rig.injector.add(Rule::at(BULK_IN, 1, Injection::Short(4)));
        rig.injector.add(Rule::at(BULK_IN, 2, Injection::Corrupt { mask: 0x80, offset: 9 }));
        rig.injector.add(Rule::at(BULK_IN, 3, Injection::Corrupt { mask: 0x80, offset: 10 }));
        rig.read_three();
        settle().await;
        let seen: Vec<_> = rig.endings.all().into_iter().map(|seen| (seen.data, seen.outcome)).collect();
        let mut corrupt = vec![2; 10];
        corrupt[9] ^= 0x80;
        assert_eq!(seen, [(vec![1; 4], Outcome::Completed(Ok(4))), (corrupt, OK), (vec![3; 10], OK)]);
        // Outwards the device sees it, and the owner gets back what it gave.
        rig.injector.add(Rule::at(BULK_OUT, 1, Injection::Corrupt { mask: 1, offset: 0 }));
        let done = rig.output.io(BufferDescriptor::from(&[8, 8][..])).await;
        assert_eq!((done.buffer.data(), done.outcome), (&[8, 8][..], Outcome::Completed(Ok(2))));
        assert_eq!(rig.plug.with(|model| model.heard[&BULK_OUT].clone()), [[9, 8]]);
        rig.injector.add(Rule::at(BULK_OUT, 1, Injection::Short(1)));
        let done = rig.output.io(BufferDescriptor::from(&[8, 8][..])).await;
        assert_eq!((done.buffer.data(), done.outcome), (&[8, 8][..], Outcome::Completed(Ok(1))));
    });
}

#[test]
fn a_delay_is_of_the_queues_clock_and_holds_up_its_endpoint_alone() {
    on_queue(async || {
        let rig = rig().await;
        let hour = Duration::from_secs(3600);
        rig.injector.add(Rule::at(BULK_IN, 2, Injection::Delay(hour)));
        let begin = queue::now();
        rig.read_three();
        let done = rig.output.io(BufferDescriptor::from(&[8][..])).await;
        assert_eq!(done.outcome, Outcome::Completed(Ok(1)));
        settle().await;
        assert_eq!(rig.endings.outcomes(), [(PACKET, OK)]);
        tokio::time::sleep_until((begin + hour - Duration::from_secs(1)).into()).await;
        assert_eq!(rig.endings.all().len(), 1);
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert_eq!(rig.endings.outcomes(), [(PACKET, OK), (2 * PACKET, OK), (3 * PACKET, OK)]);
        let data: Vec<_> = rig.endings.all().iter().map(|seen| seen.data[0]).collect();
        assert_eq!(data, [1, 2, 3]);
    });
}

#[test]
fn what_is_delayed_comes_back_when_it_is_aborted_and_when_the_device_is_let_go() {
    on_queue(async || {
        let rig = rig().await;
        rig.injector.add(Rule::at(BULK_IN, 1, Injection::Delay(Duration::from_secs(3600))).repeated());
        rig.read_three();
        rig.input.abort().await;
        let cancelled = |n| (n * PACKET, Outcome::Cancelled);
        assert_eq!(rig.endings.outcomes(), [cancelled(3), cancelled(2), cancelled(1)]);
        rig.read_three();
        let Rig { device, interface, input, output, endings, .. } = rig;
        settle().await;
        drop((device, interface, input, output));
        let mut rest = endings.outcomes().split_off(3);
        rest.sort_by_key(|(capacity, _)| *capacity);
        assert_eq!(rest, [cancelled(1), cancelled(2), cancelled(3)]);
    });
}

#[test]
fn an_unplug_at_the_nth_transfer_takes_everything() {
    on_queue(async || {
        let rig = rig().await;
        rig.injector.add(Rule::at_any(3, Injection::Unplug));
        let action = rig.endings.action();
        rig.plug.with(|model| model.busy.insert(BULK_OUT));
        rig.output.async_io(BufferDescriptor::from(&[8][..]), &rig.endings.action()).unwrap();
        for packets in 1..=2 {
            rig.input.async_io(rig.input.buffer(packets * PACKET), &action).unwrap();
        }
        assert!(rig.input.async_io(rig.input.buffer(1), &action).is_err(), "it is gone at once");
        rig.device.gone().await;
        let mut outcomes = rig.endings.outcomes();
        outcomes.sort_by_key(|(capacity, _)| *capacity);
        let gone = Outcome::Aborted(Aborted::Unplugged);
        assert_eq!(outcomes, [(1, gone), (PACKET, gone), (2 * PACKET, gone)]);
    });
}

#[test]
fn rules_count_from_when_they_are_added_and_give_way_to_each_other() {
    on_queue(async || {
        let rig = rig().await;
        rig.read_three();
        rig.injector.add(Rule::at(BULK_IN, 2, Injection::Short(1)).repeated());
        rig.injector.add(Rule::at(BULK_IN, 2, Injection::Short(2)));
        rig.read_three();
        rig.read_three();
        settle().await;
        let lens: Vec<_> = rig.endings.all().iter().map(|seen| seen.data.len()).collect();
        assert_eq!(lens, [10, 10, 10, 10, 1, 2, 1, 10, 1]);
        rig.injector.clear();
        rig.read_three();
        settle().await;
        assert!(rig.endings.all()[9..].iter().all(|seen| seen.data.len() == 10));
        assert_eq!(rig.injector.injected(), 4);
    });
}

#[test]
fn everything_that_passes_is_recorded() {
    on_queue(async || {
        let (transport, plug) = InProcess::new("1-2", Bench::default());
        let log = Log::default();
        let device = Device::open(Recorded::new(transport, log.clone())).await.unwrap();
        let interface = device.interface(0).unwrap();
        let (input, output) =
            (interface.pipe::<Bulk, In>(BULK_IN).unwrap(), interface.pipe::<Bulk, Out>(BULK_OUT).unwrap());
        let begin = queue::now();
        plug.with(|model| model.say.entry(BULK_IN).or_default().push_back(vec![1, 2]));
        let endings = Endings::default();
        output.io(BufferDescriptor::from(&[3][..])).await;
        tokio::time::sleep(Duration::from_secs(9)).await;
        let done = input.io(input.buffer(1)).await;
        input.async_io(done.buffer, &endings.action()).unwrap();
        input.abort().await;
        plug.unplug();
        let rejected = input.async_io(input.buffer(1), &endings.action());
        assert!(rejected.is_err());
        let transfer = |endpoint, request| Operation::Transfer {
            endpoint,
            transfer_type: TransferType::Bulk,
            request,
            zero_packet: true,
        };
        let (send, receive) = (transfer(BULK_OUT, 0), transfer(BULK_IN, PACKET));
        let lines: Vec<_> =
            log.entries().into_iter().map(|entry| ((entry.at - begin).as_secs(), entry.what)).collect();
        assert_eq!(
            lines,
            [
                (0, What::Submitted(send, vec![3])),
                (0, What::Completed(send, Ok(1), vec![])),
                (9, What::Submitted(receive, vec![])),
                (9, What::Completed(receive, Ok(2), vec![1, 2])),
                (9, What::Submitted(receive, vec![])),
                (9, What::Cancelled),
                // What the transfer before it left in the buffer did not arrive again.
                (9, What::Completed(receive, Err(TransferError::Cancelled), vec![])),
                (9, What::Submitted(receive, vec![])),
                (9, What::Rejected(receive, TransferError::Unplugged)),
            ]
        );
        let tokens: Vec<_> = log.entries().iter().map(|entry| entry.token).collect();
        assert!(tokens.windows(2).step_by(2).take(2).all(|pair| pair[0] == pair[1]));
    });
}
