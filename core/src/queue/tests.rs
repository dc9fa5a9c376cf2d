//! The promises of a dispatch queue, one by one.

use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};

use super::*;

#[test]
fn jobs_run_in_the_order_they_were_dispatched_on_one_named_thread() {
    let queue = DispatchQueue::new("serial").unwrap();
    let seen = Arc::new(Mutex::new(Vec::new()));
    for n in 0..1000 {
        let seen = seen.clone();
        queue.dispatch_async(move || seen.lock().unwrap().push((n, thread::current().id()))).unwrap();
    }
    let name = queue.dispatch_sync(|| thread::current().name().map(str::to_owned)).unwrap();
    assert_eq!(name.as_deref(), Some("serial"));
    let seen = seen.lock().unwrap();
    assert!(seen.iter().map(|(n, _)| *n).eq(0..1000));
    assert!(seen.iter().all(|(_, id)| *id == seen[0].1));
}

#[test]
fn dispatch_sync_returns_the_value() {
    let queue = DispatchQueue::new("value").unwrap();
    assert_eq!(queue.dispatch_sync(|| 6 * 7), Ok(42));
}

#[test]
fn dispatch_sync_refuses_itself_by_name() {
    let queue = DispatchQueue::new("self").unwrap();
    let inner = queue.clone();
    let refused = queue.dispatch_sync(move || inner.dispatch_sync(|| ())).unwrap();
    assert_eq!(refused, Err(DispatchError::Deadlock { cycle: vec!["self".into()] }));
    assert_eq!(
        refused.unwrap_err().to_string(),
        "dispatch_sync would deadlock: queue 'self' would wait for itself"
    );
}

#[test]
fn dispatch_sync_refuses_a_cycle_by_name() {
    let [a, b, c] = ["a", "b", "c"].map(|name| DispatchQueue::new(name).unwrap());
    let (a2, b2, c2) = (a.clone(), b.clone(), c.clone());
    let refused = a
        .dispatch_sync(move || b2.dispatch_sync(move || c2.dispatch_sync(move || a2.dispatch_sync(|| ()))))
        .unwrap()
        .unwrap()
        .unwrap();
    let error = refused.unwrap_err();
    assert_eq!(
        error.to_string(),
        "dispatch_sync would deadlock: 'c' waits for 'a' waits for 'b' waits for 'c'"
    );
    // The refusal left nothing behind: the same call in a straight line works.
    assert_eq!(c.dispatch_sync(|| 1), Ok(1));
    assert_eq!(
        b.dispatch_sync({
            let c = c.clone();
            move || c.dispatch_sync(|| 2)
        }),
        Ok(Ok(2))
    );
}

#[test]
fn a_queue_ends_after_its_jobs_when_the_last_handle_goes() {
    let queue = DispatchQueue::new("last").unwrap();
    let (send, receive) = channel();
    queue.dispatch_async(move || send.send("ran").unwrap()).unwrap();
    drop(queue);
    assert_eq!(receive.recv(), Ok("ran"));
    // The sender died with its job, so the thread let go of everything.
    assert!(receive.recv().is_err());
}

#[test]
fn a_caller_is_told_when_the_queue_ends_under_its_job() {
    let queue = DispatchQueue::new("dying").unwrap();
    let ended: Result<(), _> = queue.dispatch_sync(|| panic!("a driver's bug, on purpose"));
    assert_eq!(ended, Err(DispatchError::Ended { queue: "dying".into() }));
    // The thread may still be unwinding; once its inbox is gone, every dispatch says so.
    while queue.dispatch_async(|| ()).is_ok() {
        thread::yield_now();
    }
    assert_eq!(queue.dispatch_sync(|| ()), Err(DispatchError::Ended { queue: "dying".into() }));
}

#[test]
fn a_delayed_job_runs_after_the_delay_in_virtual_time() {
    let started = std::time::Instant::now();
    let order = DispatchQueue::run("virtual", Clock::Virtual, |queue| async move {
        let order = Arc::new(Mutex::new(Vec::new()));
        let begin = now();
        for seconds in [3600, 1, 60] {
            let order = order.clone();
            queue
                .dispatch_after(Duration::from_secs(seconds), move || {
                    order.lock().unwrap().push((seconds, (now() - begin).as_secs()));
                })
                .unwrap();
        }
        tokio::time::sleep(Duration::from_secs(3601)).await;
        let order = order.lock().unwrap();
        order.clone()
    })
    .unwrap();
    assert_eq!(order, [(1, 1), (60, 60), (3600, 3600)]);
    // Not a speed test: an hour cannot have passed on the wall.
    assert!(started.elapsed() < Duration::from_secs(3000));
}

#[test]
fn a_thread_runs_one_queue() {
    let refused = DispatchQueue::run("outer", Clock::Real, |_| async {
        DispatchQueue::run("inner", Clock::Real, |_| async {}).unwrap_err().to_string()
    });
    assert_eq!(refused.unwrap(), "this thread already runs queue 'outer'");
    assert!(DispatchQueue::current().is_none());
}
