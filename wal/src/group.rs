//! Group commit: many threads commit, one of them writes and syncs for all.
//!
//! Whoever commits puts its request into a queue. If nobody leads, it leads: it takes what is queued as one group,
//! admits each request in turn, writes them as one frame, syncs once if any member asked for it, publishes, and
//! wakes the members; then it hands the lead to the first that has queued meanwhile. So there is one sync for
//! all that arrived during the one before, and nobody waits for more than the group under way and its own.
//!
//! Locks, in the order in which they are taken: `core` (the writer, held for a whole group), then `queue` (never
//! held while waiting for the disk). A failure of the log is known to whoever takes `core` next, since the writer
//! itself carries it.

#[cfg(all(test, loom))]
mod races;

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use crate::Lsn;
use crate::error::Error;
use crate::record::{OpsBuffer, check_record};
use crate::sync::{Condvar, Mutex};
use crate::writer::{LogStats, LogWriter};

/// A group is closed once its operations have this many bytes, so that no one waits behind too long a write.
const GROUP_BYTES: usize = 4 << 20;

/// A group is closed once it has this many members.
const GROUP_MEMBERS_MAX: usize = 4096;

/// What must have happened to a commit before it is acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Durability {
    /// It is on the disk.
    #[default]
    Sync,
    /// It is written, and survives the process; [`Group::sync_buffered`], called at an interval, puts it on the
    /// disk.
    Buffered,
    /// It is written, and survives the process; it reaches the disk when something else is synced.
    None,
}

/// What commits are made of, and whom they are made visible to.
///
/// All of it is called by one thread at a time, the leader, while it holds the writer. So it must not use the
/// group it is called from.
pub trait Sequencer: Send {
    /// A commit that wants to be made.
    type Request: Send;
    /// Why a commit was not made.
    type Error: Send + From<Error>;

    /// Validates the request as commit `lsn` and makes its operations ready. Called in the order of LSNs, while
    /// the earlier members of the group are admitted and not yet published. An error fails this request alone;
    /// its LSN goes to the next one.
    fn admit(&mut self, lsn: Lsn, request: &mut Self::Request) -> Result<(), Self::Error>;

    /// The operations of an admitted request; together they are one commit.
    fn ops<'a>(&'a self, request: &'a Self::Request) -> Vec<&'a OpsBuffer>;

    /// The whole group is in the log, and synced if any of its members asked for that: makes it visible.
    fn publish(&mut self, group: &mut [(Lsn, Self::Request)], durable: Lsn);

    /// The group could not be written: forgets it. Part of it may be found when the log is opened again.
    fn abandon(&mut self, group: &mut [(Lsn, Self::Request)]);
}

/// A log writer that many threads share.
pub struct Group<S: Sequencer> {
    core: Mutex<Core<S>>,
    queue: Mutex<Queue<S>>,
    /// As of the end of the last group.
    stats: Mutex<LogStats>,
}

struct Core<S> {
    writer: LogWriter,
    sequencer: S,
    /// The last commit that the background is to sync.
    buffered: Lsn,
}

struct Queue<S: Sequencer> {
    waiting: VecDeque<Ticket<S>>,
    /// Whether someone leads, or has been told to.
    led: bool,
}

impl<S: Sequencer> Group<S> {
    /// Shares the writer.
    pub fn new(writer: LogWriter, sequencer: S) -> Self {
        Self {
            stats: Mutex::new(writer.stats()),
            core: Mutex::new(Core { writer, sequencer, buffered: 0 }),
            queue: Mutex::new(Queue { waiting: VecDeque::new(), led: false }),
        }
    }

    /// Commits: returns the LSN once the commit is as durable as asked for, and visible.
    ///
    /// The error is the sequencer's refusal of this request, or the log's of the whole group. After the latter
    /// nothing of it is visible; unless it was [`Error::DiskFull`] or [`Error::TooLarge`], which wrote nothing,
    /// the commit may be there, whole, when the log is opened again.
    pub fn commit(&self, request: S::Request, durability: Durability) -> Result<Lsn, S::Error> {
        let seat = Arc::new(Seat { state: Mutex::new(State::Waiting), changed: Condvar::new() });
        let ticket = Ticket { request: Some(request), durability, seat: Arc::clone(&seat) };
        let leads = {
            let mut queue = self.queue.lock();
            queue.waiting.push_back(ticket);
            !std::mem::replace(&mut queue.led, true)
        };
        if leads {
            self.lead();
        }
        loop {
            match seat.wait() {
                Some(answer) => return answer,
                None => self.lead(),
            }
        }
    }

    /// Runs `work` between groups, with nobody else at the writer and the sequencer.
    pub fn with<R>(&self, work: impl FnOnce(&mut LogWriter, &mut S) -> R) -> R {
        self.at_core(|core| work(&mut core.writer, &mut core.sequencer))
    }

    /// Makes every commit so far durable; returns the last one.
    pub fn sync_now(&self) -> Result<Lsn, Error> {
        self.at_core(|core| core.writer.sync())
    }

    /// Makes durable what was committed as [`Durability::Buffered`], if anything was since the last sync; returns
    /// the last durable commit. For the background to call at an interval.
    pub fn sync_buffered(&self) -> Result<Lsn, Error> {
        self.at_core(|core| {
            if core.buffered > core.writer.durable() { core.writer.sync() } else { Ok(core.writer.durable()) }
        })
    }

    /// Makes the next file's space ready ahead of need, holding up no commit meanwhile. For the background.
    pub fn prepare(&self) -> Result<(), Error> {
        let Some(job) = self.with(|writer, _| writer.wants_space()) else { return Ok(()) };
        let space = job.run();
        self.with(|writer, _| match space {
            Ok(space) => {
                writer.accept_space(space);
                Ok(())
            }
            Err(error) => Err(writer.full_or_poison(error)),
        })
    }

    /// What the log did up to the last group; does not wait for the one under way.
    pub fn stats(&self) -> LogStats {
        *self.stats.lock()
    }

    /// The parts again, when nobody commits any more.
    pub fn into_parts(self) -> (LogWriter, S) {
        let core = self.core.into_inner();
        (core.writer, core.sequencer)
    }

    fn at_core<R>(&self, work: impl FnOnce(&mut Core<S>) -> R) -> R {
        let mut core = self.core.lock();
        let result = work(&mut core);
        *self.stats.lock() = core.writer.stats();
        result
    }

    /// Leads one group, and hands the lead on.
    fn lead(&self) {
        let mut lead = Lead { group: self, done: false };
        self.at_core(|core| {
            // Taken only now: whoever came while another group was written is in this one.
            let mut tickets = {
                let mut queue = self.queue.lock();
                let members = queue.waiting.len().min(GROUP_MEMBERS_MAX);
                queue.waiting.drain(..members).collect()
            };
            core.run(&mut tickets);
            let mut queue = self.queue.lock();
            while let Some(ticket) = tickets.pop_back() {
                queue.waiting.push_front(ticket);
            }
        });
        lead.done = true;
    }
}

impl<S: Sequencer> fmt::Debug for Group<S> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Group").field("stats", &self.stats()).finish_non_exhaustive()
    }
}

/// The lead: handed on when dropped, also by a leader that panics; the log is then stopped, since nobody knows
/// what the sequencer holds.
struct Lead<'a, S: Sequencer> {
    group: &'a Group<S>,
    done: bool,
}

impl<S: Sequencer> Drop for Lead<'_, S> {
    fn drop(&mut self) {
        if !self.done {
            self.group.core.lock().writer.poison_by(Error::LeaderPanicked);
        }
        let mut queue = self.group.queue.lock();
        match queue.waiting.front() {
            Some(first) => first.seat.set(State::Leads),
            None => queue.led = false,
        }
    }
}

impl<S: Sequencer> Core<S> {
    /// Runs one group of the first tickets; those that are too many for it are left.
    fn run(&mut self, tickets: &mut VecDeque<Ticket<S>>) {
        if let Err(error) = self.writer.running() {
            tickets.drain(..).for_each(|mut ticket| ticket.answer(Err(error.clone().into())));
            return;
        }
        let (mut requests, mut members) = (Vec::new(), Vec::new());
        let refused = self.admit(tickets, &mut requests, &mut members);
        if !requests.is_empty() {
            let answer = self.write(&requests, &members);
            match &answer {
                Ok(()) => self.sequencer.publish(&mut requests, self.writer.durable()),
                Err(_) => self.sequencer.abandon(&mut requests),
            }
            for (mut ticket, (lsn, _)) in members.into_iter().zip(requests) {
                ticket.answer(answer.clone().map(|()| lsn).map_err(S::Error::from));
            }
        }
        // Last, so that the sequencer never has to forget one request among others.
        if let Some(Refused { mut ticket, admitted, error }) = refused {
            self.sequencer.abandon(&mut [admitted]);
            ticket.answer(Err(error.into()));
        }
    }

    /// Admits requests until the group is full; returns one that turned out too large once it was admitted.
    fn admit(
        &mut self,
        tickets: &mut VecDeque<Ticket<S>>,
        requests: &mut Vec<(Lsn, S::Request)>,
        members: &mut Vec<Ticket<S>>,
    ) -> Option<Refused<S>> {
        let mut bytes = 0;
        while bytes < GROUP_BYTES
            && let Some(mut ticket) = tickets.pop_front()
        {
            let Some(mut request) = ticket.request.take() else { continue };
            let lsn = self.writer.next_lsn() + requests.len() as u64;
            if let Err(error) = self.sequencer.admit(lsn, &mut request) {
                ticket.answer(Err(error));
                continue;
            }
            match check_record(&self.sequencer.ops(&request)) {
                Ok(size) => bytes += size,
                Err(error) => return Some(Refused { ticket, admitted: (lsn, request), error }),
            }
            requests.push((lsn, request));
            members.push(ticket);
        }
        None
    }

    /// Writes the group as one frame, and syncs it if any member asked for that.
    fn write(&mut self, requests: &[(Lsn, S::Request)], members: &[Ticket<S>]) -> Result<(), Error> {
        let parts: Vec<Vec<&OpsBuffer>> =
            requests.iter().map(|(_, request)| self.sequencer.ops(request)).collect();
        let records: Vec<&[&OpsBuffer]> = parts.iter().map(Vec::as_slice).collect();
        let last = self.writer.append(&records)?;
        if members.iter().any(|ticket| ticket.durability == Durability::Sync) {
            self.writer.sync()?;
        } else if members.iter().any(|ticket| ticket.durability == Durability::Buffered) {
            self.buffered = last;
        }
        Ok(())
    }
}

/// A request that was admitted, and then turned out too large.
struct Refused<S: Sequencer> {
    ticket: Ticket<S>,
    admitted: (Lsn, S::Request),
    error: Error,
}

/// A request in the queue.
struct Ticket<S: Sequencer> {
    request: Option<S::Request>,
    durability: Durability,
    seat: Arc<Seat<S>>,
}

impl<S: Sequencer> Ticket<S> {
    fn answer(&mut self, answer: Result<Lsn, S::Error>) {
        self.seat.set(State::Answered(answer));
    }
}

impl<S: Sequencer> Drop for Ticket<S> {
    /// Whoever waits is answered, also if the leader panicked with the ticket in its hands.
    fn drop(&mut self) {
        let mut state = self.seat.state.lock();
        if matches!(*state, State::Waiting | State::Leads) {
            *state = State::Answered(Err(Error::LeaderPanicked.into()));
            self.seat.changed.notify_one();
        }
    }
}

/// Where a request's answer is left for the thread that waits for it.
struct Seat<S: Sequencer> {
    state: Mutex<State<S>>,
    changed: Condvar,
}

enum State<S: Sequencer> {
    Waiting,
    /// The one who waits is to lead; its request is the first in the queue.
    Leads,
    Answered(Result<Lsn, S::Error>),
    /// The answer was taken; nobody waits any more.
    Left,
}

impl<S: Sequencer> Seat<S> {
    fn set(&self, state: State<S>) {
        *self.state.lock() = state;
        self.changed.notify_one();
    }

    /// Waits for the answer; `None` if it is this thread's turn to lead.
    fn wait(&self) -> Option<Result<Lsn, S::Error>> {
        let mut state = self.state.lock();
        while matches!(*state, State::Waiting) {
            self.changed.wait(&mut state);
        }
        if matches!(*state, State::Leads) {
            *state = State::Waiting;
            return None;
        }
        match std::mem::replace(&mut *state, State::Left) {
            State::Answered(answer) => Some(answer),
            // Only the thread that waits takes an answer, and it returns with it.
            State::Waiting | State::Leads | State::Left => Some(Err(Error::Closed.into())),
        }
    }
}
