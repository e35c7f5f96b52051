//! The run: clients, background work, readers and mishaps, in an order that is drawn.

use logwood::{
    Batch, Clock, Collection, Database, Durability, Error, ManualClock, Snapshot, Task, Transaction, View,
};

use super::chronicle::{Chronicle, Done, Made, Told, recognize, replay};
use super::{BEGINNING, Plan};
use crate::disk::{Crash, SimulatedDisk};
use crate::draws::Draws;
use crate::explore::End;
use crate::ledger::Ledger;
use crate::model::{Handles, State, Step};
use crate::violation::Violation;

/// How much room a disk has left that is about to be full, at most.
const ROOM_BYTES_MAX: u64 = 64 << 10;
/// Contents that are staged and given up.
const STAGED_BYTES: usize = 5_000;
const HELD_MAX: usize = 3;
/// How far the clock jumps, in microseconds: a day back, a moment, an hour.
const JUMPS: [i64; 4] = [-86_400_000_000, -1, 1, 3_600_000_000];

/// A client in the middle of a transaction.
struct Client {
    tx: Transaction,
    begun: u64,
    done: Vec<Done>,
    steps_left: u64,
    commits: bool,
    durability: Durability,
}

/// An open database, and who uses it.
struct Open {
    db: Database,
    handles: Handles,
    clients: Vec<Option<Client>>,
    /// Snapshots with the state that they show.
    held: Vec<(Snapshot, Made)>,
    /// A reader beside the writer.
    follower: Option<Database>,
}

/// A database at work, and all that is around it.
pub(super) struct World<'a> {
    disk: SimulatedDisk,
    ledger: &'a Ledger<Told>,
    plan: &'a Plan,
    clock: ManualClock,
    chronicle: Chronicle,
    /// Differs from step to step.
    steps_made: u64,
    /// Whether the disk has room for only a little more.
    full: bool,
    /// Whether the log has said that it takes no more writes.
    poisoned: bool,
}

impl<'a> World<'a> {
    pub(super) fn new(disk: &SimulatedDisk, ledger: &'a Ledger<Told>, plan: &'a Plan) -> Self {
        Self {
            disk: disk.clone(),
            ledger,
            plan,
            clock: ManualClock::new(BEGINNING),
            chronicle: Chronicle::new(),
            steps_made: 0,
            full: false,
            poisoned: false,
        }
    }

    /// Runs until the plan or the decisions end, or a disk that fails leaves nothing to go on with.
    /// Returns the disk that it ended on.
    pub(super) fn run(mut self, mut draws: Draws) -> Result<SimulatedDisk, Violation> {
        let mut open = self.open(End::Kill)?;
        for _ in 0..self.plan.actions {
            let Some(now) = open.take().filter(|_| !draws.are_over()) else { return Ok(self.disk) };
            open = self.act(now, &mut draws)?;
        }
        self.give_room();
        match open {
            Some(open) if draws.chance(1, 2) => {
                drop((open.clients, open.held));
                let closed = open.db.close();
                self.excused(closed)?;
            }
            _ => {}
        }
        Ok(self.disk)
    }

    fn act(&mut self, mut open: Open, draws: &mut Draws) -> Result<Option<Open>, Violation> {
        match draws.below(100) {
            0..=73 => self.client(&mut open, draws)?,
            74..=82 => {
                let task = Task::ALL[draws.index(Task::ALL.len())];
                self.work(&open, "background steps", |db| db.run(task).map(drop))?;
            }
            83 | 84 => {
                self.work(&open, "flushes", Database::flush)?;
                if self.plan.expires {
                    // What was flushed is pinned now by whoever still reads it.
                    self.work(&open, "background steps", |db| db.run(Task::ExpireSnapshots).map(drop))?;
                }
            }
            85 => self.work(&open, "compactions", Database::compact)?,
            86 => self.work(&open, "syncs", Database::sync)?,
            87..=89 => self.hold(&mut open, draws)?,
            90 | 91 => self.follow(&mut open)?,
            92 | 93 => self.batch(&open, draws)?,
            94 => self.clock.advance(draws.pick(JUMPS)),
            95 => {
                let contents = vec![7; STAGED_BYTES];
                self.work(&open, "stagings", |db| db.stage(&contents[..]).map(drop))?;
            }
            96 => self.toggle_room(draws),
            97 | 98 => return self.reopen(open, draws),
            _ if self.plan.ends => return self.end(open, draws),
            _ => {}
        }
        self.note(&open.db, None);
        Ok(Some(open))
    }

    /// Notes what the user knows by now.
    fn note(&mut self, db: &Database, attempt: Option<&Made>) {
        self.chronicle.durable_up_to(db.stats().durable_lsn);
        self.ledger.note(self.chronicle.told(attempt));
    }

    /// An error is excused while the disk is full, or once a call has failed as planned; also if a transaction was open
    /// for longer than the plan allows. Otherwise it breaks a promise.
    fn excused<T>(&self, result: logwood::Result<T>) -> Result<Option<T>, Violation> {
        match result {
            Ok(value) => Ok(Some(value)),
            Err(_) if self.full || self.disk.strikes() > 0 => Ok(None),
            Err(Error::Expired { .. }) if self.plan.expires => {
                self.ledger.count("expired transactions");
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// What is read is right, unless a call failed as planned while it was read.
    fn readable<T>(&self, read: impl FnOnce() -> Result<T, Violation>) -> Result<Option<T>, Violation> {
        let strikes = self.disk.strikes();
        match read() {
            Err(_) if self.disk.strikes() > strikes => Ok(None),
            other => other.map(Some),
        }
    }

    /// Opens the database after an end, and finds out which state it is in. None: a failing disk does not let it.
    fn open(&mut self, end: End) -> Result<Option<Open>, Violation> {
        let mut opened = self.excused(self.plan.open(&self.disk, &self.clock))?;
        if opened.is_none() {
            self.give_room();
            opened = self.excused(self.plan.open(&self.disk, &self.clock))?;
        }
        let Some(db) = opened else { return Ok(None) };
        self.poisoned = false;
        let told = self.chronicle.told(None);
        let Some(made) = self.readable(|| told.recognize(&db, end))? else { return Ok(None) };
        self.chronicle.resume(&made);
        let handles = if *made.state == State::default() {
            let declared = Made { lsn: db.snapshot().lsn() + 1, state: State::declared().into() };
            self.note(&db, Some(&declared));
            let Some(handles) = self.excused(Handles::ensure(&db))? else {
                self.chronicle.perhaps(declared);
                self.ledger.note(self.chronicle.told(None));
                return Ok(None);
            };
            self.chronicle.committed(Made { lsn: db.snapshot().lsn(), ..declared });
            handles
        } else {
            let Some(handles) = self.excused(Handles::ensure(&db))? else { return Ok(None) };
            handles
        };
        self.note(&db, None);
        let clients = (0..self.plan.clients).map(|_| None).collect();
        Ok(Some(Open { db, handles, clients, held: Vec::new(), follower: None }))
    }

    fn reopen(&mut self, open: Open, draws: &mut Draws) -> Result<Option<Open>, Violation> {
        self.ledger.count("reopenings");
        drop((open.clients, open.held, open.follower));
        if draws.chance(2, 3) {
            self.excused(open.db.close())?;
        } else {
            drop(open.db);
        }
        self.open(End::Kill)
    }

    /// The machine loses power, or the process is killed, and both start again.
    fn end(&mut self, open: Open, draws: &mut Draws) -> Result<Option<Open>, Violation> {
        let crash = draws.pick(Crash::ALL);
        let end = if draws.chance(1, 4) { End::Kill } else { End::PowerLoss(crash) };
        self.ledger.count("ends in the middle");
        self.note(&open.db, None);
        self.disk = match end {
            End::Kill => self.disk.kill(),
            End::PowerLoss(crash) => self.disk.crash(crash),
        };
        drop(open);
        self.give_room();
        self.open(end)
    }

    fn toggle_room(&mut self, draws: &mut Draws) {
        if self.full {
            return self.give_room();
        }
        self.ledger.count("full disks");
        self.full = true;
        self.disk.set_capacity(Some(self.disk.used_bytes() + draws.below(ROOM_BYTES_MAX)));
    }

    fn give_room(&mut self) {
        self.full = false;
        self.disk.set_capacity(None);
    }

    /// Something that changes no state.
    fn work(
        &mut self,
        open: &Open,
        name: &'static str,
        work: impl FnOnce(&Database) -> logwood::Result<()>,
    ) -> Result<(), Violation> {
        self.ledger.count(name);
        self.excused(work(&open.db)).map(drop)
    }

    /// Takes a snapshot, or reads one again: it has not moved.
    fn hold(&mut self, open: &mut Open, draws: &mut Draws) -> Result<(), Violation> {
        if open.held.len() < HELD_MAX && draws.chance(1, 2) {
            let view = open.db.snapshot();
            let made = self.chronicle.at(view.lsn()).clone();
            open.held.push((view, made));
            return Ok(());
        }
        if open.held.is_empty() {
            return Ok(());
        }
        let at = draws.index(open.held.len());
        let (view, made) = &open.held[at];
        if self.plan.expires
            && matches!(Collection::list(view), Err(Error::Expired { lsn }) if lsn == view.lsn())
        {
            self.ledger.count("expired snapshots");
            open.held.swap_remove(at);
            return Ok(());
        }
        self.ledger.count("snapshots reread");
        self.readable(|| recognize(std::slice::from_ref(made), &open.db, view))?;
        if draws.chance(1, 2) {
            open.held.swap_remove(at);
        }
        Ok(())
    }

    /// A reader beside the writer sees the last commit.
    fn follow(&mut self, open: &mut Open) -> Result<(), Violation> {
        self.ledger.count("readers beside");
        let follower = self.readable(|| match open.follower.take() {
            Some(follower) => Ok(follower.refresh().map(|_| follower)?),
            None => Ok(self.plan.follow(&self.disk)?),
        })?;
        let Some(follower) = follower else { return Ok(()) };
        let visible = self.chronicle.visible();
        self.readable(|| recognize(&visible, &follower, &follower.snapshot()))?;
        open.follower = Some(follower);
        Ok(())
    }

    /// The next step of one of the clients: a transaction is begun, goes on, or ends.
    fn client(&mut self, open: &mut Open, draws: &mut Draws) -> Result<(), Violation> {
        let at = draws.index(open.clients.len());
        let Some(mut client) = open.clients[at].take() else {
            let tx = open.db.begin();
            open.clients[at] = Some(Client {
                begun: tx.lsn(),
                tx,
                done: Vec::new(),
                steps_left: 1 + draws.below(4),
                commits: draws.chance(7, 8),
                durability: draws.pick([
                    Durability::Sync,
                    Durability::Sync,
                    Durability::Buffered,
                    Durability::None,
                ]),
            });
            return Ok(());
        };
        if client.steps_left > 0 {
            client.steps_left -= 1;
            self.steps_made += 1;
            let step = Step::draw(draws, self.steps_made);
            let answer = self.excused(step.run(&open.handles, &mut client.tx))?;
            // After an error the transaction is rolled back.
            open.clients[at] = answer.map(|answer| {
                client.done.push(Done { step, when: self.clock.now_micros(), answer });
                client
            });
            return Ok(());
        }
        let begun = self.chronicle.at(client.begun).clone();
        if let (_, Some(differs)) = replay(&begun.state, &client.done) {
            return Err(Violation::new(format!("a transaction begun at commit {}: {differs}", begun.lsn)));
        }
        if client.commits {
            return self.commit(open, client, &begun);
        }
        self.ledger.count("rollbacks");
        Ok(())
    }

    fn commit(&mut self, open: &Open, client: Client, begun: &Made) -> Result<(), Violation> {
        let Client { mut tx, done, durability, .. } = client;
        let (state, differs) = replay(&self.chronicle.last().state, &done);
        let attempt = Made { lsn: open.db.snapshot().lsn() + 1, state: state.into() };
        if differs.is_none() {
            self.note(&open.db, Some(&attempt));
        }
        tx.set_durability(durability);
        let began_at = tx.lsn();
        match tx.commit() {
            Ok(lsn) if lsn == began_at => self.wrote_nothing(begun, &done),
            Ok(lsn) => match differs {
                Some(differs) => Err(Violation::new(format!("commit {lsn} is not serializable: {differs}"))),
                None => self.committed(open, Made { lsn, ..attempt }, durability),
            },
            Err(Error::Conflict) => {
                self.ledger.count("conflicts");
                Ok(())
            }
            Err(error) => self.failed(open, attempt, error),
        }
    }

    fn wrote_nothing(&mut self, begun: &Made, done: &[Done]) -> Result<(), Violation> {
        self.ledger.count("reading commits");
        let (state, _) = replay(&begun.state, done);
        if state == *begun.state {
            return Ok(());
        }
        Err(Violation::new(format!("a transaction lost its writes: {}", state.difference(&begun.state))))
    }

    fn committed(&mut self, open: &Open, made: Made, durability: Durability) -> Result<(), Violation> {
        self.ledger.count("commits");
        let lsn = made.lsn;
        if self.poisoned {
            return Err(Violation::new(format!("commit {lsn} was acknowledged by a log that had failed")));
        }
        self.chronicle.committed(made);
        if durability == Durability::Sync && open.db.stats().durable_lsn < lsn {
            return Err(Violation::new(format!("commit {lsn} was to be durable, and is not")));
        }
        self.note(&open.db, None);
        Ok(())
    }

    /// A commit failed: nothing of it is visible. Unless it is certain, it may be there after the next opening.
    fn failed(&mut self, open: &Open, attempt: Made, error: Error) -> Result<(), Violation> {
        use logwood_wal::Error::{DiskFull, Poisoned, TooLarge};
        self.ledger.count("failed commits");
        self.poisoned |= matches!(error, Error::Log(Poisoned { .. }));
        let wrote_nothing = match &error {
            Error::Log(error) => matches!(error, DiskFull { .. } | TooLarge { .. } | Poisoned { .. }),
            // What it wrote ahead is named by nothing.
            _ => true,
        };
        self.excused(Err::<(), _>(error))?;
        if !wrote_nothing {
            self.chronicle.perhaps(attempt);
        }
        self.note(&open.db, None);
        let last = std::slice::from_ref(self.chronicle.last());
        self.readable(|| recognize(last, &open.db, &open.db.snapshot())).map(drop)
    }

    /// Writes that read nothing, and so never conflict.
    fn batch(&mut self, open: &Open, draws: &mut Draws) -> Result<(), Violation> {
        self.steps_made += 1;
        let steps = Step::draw_batch(draws, self.steps_made);
        let durability = draws.pick([Durability::Sync, Durability::Buffered, Durability::None]);
        if steps.is_empty() {
            return Ok(());
        }
        let mut batch = Batch::new();
        steps.iter().try_for_each(|step| step.add_to(&open.handles, &mut batch))?;
        let mut state = (*self.chronicle.last().state).clone();
        steps.iter().for_each(|step| drop(state.apply(step, BEGINNING)));
        let attempt = Made { lsn: open.db.snapshot().lsn() + 1, state: state.into() };
        self.note(&open.db, Some(&attempt));
        match open.db.write_with(batch, durability) {
            // It deletes ranges that enclose nothing, and is no commit.
            Ok(lsn) if lsn < attempt.lsn && attempt.state == self.chronicle.last().state => Ok(()),
            Ok(lsn) => self.committed(open, Made { lsn, ..attempt }, durability),
            Err(error) => self.failed(open, attempt, error),
        }
    }
}
