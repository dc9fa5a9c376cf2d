//! Ways in which a driver that is locked down ends, or does what every program does. It must not know what its test expects.

use anyhow::{Context, Result, bail};
use outboard_core::queue::{Clock, DispatchQueue};
use outboard_core::sandbox::{inherit, lock_down};
use outboard_core::source::TimerSource;

use super::profile;

pub(super) fn run(how: &str) -> Result<()> {
    let inherited = inherit()?;
    let profile = profile(&inherited);
    DispatchQueue::run("Default", Clock::Real, |queue| async move {
        lock_down(&profile)?;
        match how {
            "return" => Ok(()),
            "panic" => panic!("the driver panics"),
            "abort" => std::process::abort(),
            "overflow" => {
                println!("{}", recurse(0));
                Ok(())
            }
            "capabilities-again" => lock_down(&profile).map(drop).context("lock down twice"),
            "thread" => std::thread::Builder::new().spawn(|| ()).map(drop).context("start a thread"),
            "runtime" => runtime(&queue).await,
            _ => bail!("there is no ending {how}"),
        }
    })?
}

#[expect(unconditional_recursion, reason = "that is the test")]
fn recurse(depth: u64) -> u64 {
    let room = std::hint::black_box([depth; 128]);
    recurse(room[7] + 1) + room[9]
}

/// What the runtime does on behalf of every driver: timers, jobs, wakers, hash tables, memory in all sizes, the log.
async fn runtime(queue: &DispatchQueue) -> Result<()> {
    let ticked = std::rc::Rc::new(tokio::sync::Notify::new());
    let timer = TimerSource::new({
        let ticked = ticked.clone();
        move || ticked.notify_one()
    });
    timer.wake_at(Some(outboard_core::queue::now() + std::time::Duration::from_millis(2)));
    ticked.notified().await;
    timer.cancel().await;

    let (send, receive) = tokio::sync::oneshot::channel();
    queue.dispatch_async(move || _ = send.send(7))?;
    if receive.await? != 7 {
        bail!("the job's answer is another one");
    }

    let mut table = std::collections::HashMap::new();
    let mut growing = Vec::new();
    for n in 0..1_000_000_u64 {
        growing.push(n);
        if n % 1000 == 0 {
            table.insert(n, vec![0_u8; n as usize]);
        }
    }
    drop(table);
    growing.truncate(10);
    growing.shrink_to_fit();
    eprintln!("{} is still there", growing.len());
    Ok(())
}
