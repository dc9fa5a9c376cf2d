//! The rules of actions, in every interleaving of a few submissions, ends and cancels.

use std::future::Future;

use super::*;

/// What can happen next to one action; `End` and `Drop` name the submission by its number.
#[derive(Debug, Clone, Copy)]
enum Step {
    Submit,
    End(usize),
    Drop(usize),
    Cancel,
}

const SUBMISSIONS: usize = 3;
const STEPS: usize = 7;

/// Runs one script against a real action and checks the rules after each step.
fn play(script: &[Step]) -> Result<(), String> {
    let seen: Rc<RefCell<Vec<(usize, Outcome)>>> = Rc::default();
    let action = Action::new({
        let seen = seen.clone();
        move |done: Completion<usize>| seen.borrow_mut().push((done.buffer, done.outcome))
    });
    let mut open: Vec<Option<Submission<usize>>> = Vec::new();
    let mut over_at = None;
    let mut waiter = waiter_of(&action);
    for step in script {
        match *step {
            Step::Submit => match action.submit(open.len()) {
                Ok(submission) if !action.is_cancelled() => open.push(Some(submission)),
                Ok(_) => return Err("a cancelled action took a submission".into()),
                Err((_, buffer)) if action.is_cancelled() && buffer == open.len() => {}
                Err(_) => return Err("a live action refused, or kept the buffer".into()),
            },
            Step::End(n) => {
                open[n].take().expect("the script ends what is open").end(Outcome::Completed(Ok(n)))
            }
            Step::Drop(n) => drop(open[n].take()),
            Step::Cancel => action.begin_cancel(),
        }
        let outstanding = open.iter().flatten().count();
        if action.outstanding() != outstanding {
            return Err(format!("{} outstanding, expected {outstanding}", action.outstanding()));
        }
        if over_at.is_some_and(|at| seen.borrow().len() != at) {
            return Err("the handler ran after the cancel was over".into());
        }
        let over = waiter();
        if over != (action.is_cancelled() && outstanding == 0) {
            return Err(format!("cancelled() resolved: {over}, with {outstanding} outstanding"));
        }
        if over {
            over_at.get_or_insert(seen.borrow().len());
        }
    }
    drop(open);
    let mut ends = seen.borrow().clone();
    ends.sort_by_key(|(n, _)| *n);
    let submitted = ends.len();
    if !ends.iter().map(|(n, _)| *n).eq(0..submitted) {
        return Err(format!("each submission ends once: {ends:?}"));
    }
    Ok(())
}

/// Polls `cancelled()` afresh: has it resolved?
fn waiter_of(action: &Action<usize>) -> impl FnMut() -> bool {
    let mut future = Box::pin({
        let action = action.clone();
        async move { action.cancelled().await }
    });
    let mut done = false;
    move || {
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        done = done || future.as_mut().poll(&mut context).is_ready();
        done
    }
}

/// Extends `script` by every step that is possible there, depth first.
fn explore(script: &mut Vec<Step>, open: &mut Vec<bool>, submitted: usize, played: &mut usize) {
    if let Err(broken) = play(script) {
        panic!("{broken}, in {script:?}");
    }
    *played += 1;
    if script.len() == STEPS {
        return;
    }
    let mut try_step = |step, script: &mut Vec<Step>, open: &mut Vec<bool>, submitted| {
        script.push(step);
        explore(script, open, submitted, played);
        script.pop();
    };
    if submitted < SUBMISSIONS {
        let cancelled = script.iter().any(|step| matches!(step, Step::Cancel));
        if !cancelled {
            open.push(true);
        }
        try_step(Step::Submit, script, open, submitted + 1);
        if !cancelled {
            open.pop();
        }
    }
    for n in 0..open.len() {
        if open[n] {
            open[n] = false;
            try_step(Step::End(n), script, open, submitted);
            try_step(Step::Drop(n), script, open, submitted);
            open[n] = true;
        }
    }
    try_step(Step::Cancel, script, open, submitted);
}

#[test]
fn every_interleaving_keeps_the_rules() {
    let mut played = 0;
    explore(&mut Vec::new(), &mut Vec::new(), 0, &mut played);
    assert!(played > 1000, "only {played} scripts were explored");
}

#[test]
fn a_dropped_submission_is_aborted_and_gives_its_buffer_back() {
    let seen = Rc::new(RefCell::new(None));
    let action = Action::new({
        let seen = seen.clone();
        move |done: Completion<Vec<u8>>| *seen.borrow_mut() = Some((done.buffer, done.outcome))
    });
    drop(action.submit(vec![1, 2, 3]).unwrap());
    assert_eq!(*seen.borrow(), Some((vec![1, 2, 3], Outcome::Aborted(Aborted::Dropped))));
}

#[test]
fn a_handler_never_runs_inside_itself() {
    let action: Rc<RefCell<Option<Action<u32>>>> = Rc::default();
    let log = Rc::new(RefCell::new(Vec::new()));
    let made = Action::new({
        let (action, log) = (action.clone(), log.clone());
        move |done: Completion<u32>| {
            log.borrow_mut().push(format!("enter {}", done.buffer));
            if done.buffer < 3 {
                let action = action.borrow().clone().unwrap();
                action.submit(done.buffer + 1).unwrap().end(Outcome::Cancelled);
            }
            log.borrow_mut().push(format!("leave {}", done.buffer));
        }
    });
    *action.borrow_mut() = Some(made.clone());
    made.submit(1).unwrap().end(Outcome::Cancelled);
    assert_eq!(*log.borrow(), ["enter 1", "leave 1", "enter 2", "leave 2", "enter 3", "leave 3"]);
    *action.borrow_mut() = None;
}
