//! How a program that embeds Logwood puts crash tests of its own on it.
//!
//! The program keeps accounts, and moves money between them. Each transfer also stores a receipt, as an object. Its
//! promise: at every moment, after whatever happened, the sum of all accounts is what it was, there is one receipt for
//! each transfer, and no transfer that a customer was told of is missing.
//!
//! `cargo run -p logwood-fuzz --example transfers` tries it; so does `cargo test`.

use std::sync::Arc;

use logwood::{
    Bucket, BucketOptions, Collection, Database, Disk, Error, ListOptions, ManualClock, Options, Patch,
    PutOptions, Schema, Snapshot, Transaction,
};
use logwood_fuzz::explore::{self, Found, Outcome};
use logwood_fuzz::{Coverage, Ledger, Rng, SimulatedDisk, Violation};
use serde_json::json;

const ACCOUNTS: u64 = 4;
const OPENING_BALANCE: u64 = 100;
const TRANSFERS: u64 = 12;

/// A disk that is simulated, no thread of the database's own, a seed and a clock that stands: so every run is the same.
fn open(disk: &SimulatedDisk) -> logwood::Result<Database> {
    let options = Options::new()
        .background(false)
        .memtable_bytes(64 << 10)
        .log_file_bytes(16 << 10)
        .seed(Some(1))
        .clock(Arc::new(ManualClock::new(0)));
    Database::open_on(Arc::new(disk.clone()) as Arc<dyn Disk>, options)
}

fn account(number: u64) -> String {
    format!("account {number}")
}

/// Opens all accounts in one transaction, unless that was done before.
fn open_accounts(db: &Database) -> logwood::Result<()> {
    db.transact(|tx| {
        let accounts = Collection::ensure(tx, "accounts", Schema::new().index("by_balance", ["balance"]))?;
        Bucket::ensure(tx, "receipts", BucketOptions::default())?;
        for number in 0..ACCOUNTS {
            if !accounts.contains(tx, &account(number))? {
                accounts.insert(tx, &account(number), &json!({"balance": OPENING_BALANCE}))?;
            }
        }
        Ok(())
    })
}

fn balance(accounts: &Collection, tx: &Transaction, number: u64) -> logwood::Result<u64> {
    let found = accounts.get(tx, &account(number))?;
    let balance = found.and_then(|found| found.to_json()["balance"].as_u64());
    balance.ok_or_else(|| Error::Abort(format!("account {number} has no balance")))
}

/// Moves an amount and stores the receipt: both or neither.
fn transfer(db: &Database, number: u64, from: u64, to: u64, amount: u64) -> logwood::Result<()> {
    db.transact(|tx| {
        let accounts = Collection::open(tx, "accounts")?;
        let (rich, poor) = (balance(&accounts, tx, from)?, balance(&accounts, tx, to)?);
        if rich < amount {
            return Err(Error::Abort("the account has not that much".to_owned()));
        }
        accounts.update(tx, &account(from), &Patch::merge(&json!({"balance": rich - amount}))?, None)?;
        accounts.update(tx, &account(to), &Patch::merge(&json!({"balance": poor + amount}))?, None)?;
        let receipt = format!("{amount} from {from} to {to}").repeat(300);
        let receipts = Bucket::open(tx, "receipts")?;
        receipts.put_bytes(tx, &format!("receipt {number:04}"), receipt.as_bytes(), PutOptions::default())?;
        Ok(())
    })
}

/// The program at work. It notes how many transfers its customers were told of.
fn run(disk: &SimulatedDisk, ledger: &Ledger<u64>, seed: u64) -> Outcome {
    let mut rng = Rng::new(seed);
    let db = open(disk)?;
    open_accounts(&db)?;
    let mut told = 0;
    while told < TRANSFERS {
        let (from, to) = (rng.below(ACCOUNTS), rng.below(ACCOUNTS - 1));
        let to = if to >= from { to + 1 } else { to };
        match transfer(&db, told, from, to, 1 + rng.below(60)) {
            Err(Error::Abort(_)) => ledger.count("refused"),
            Err(error) => return Err(error.into()),
            Ok(()) => {
                told += 1;
                ledger.note(told);
                ledger.count("transfers");
            }
        }
        if rng.chance(1, 3) {
            db.flush()?;
        }
        db.maintain()?;
    }
    Ok(db.close()?)
}

/// The promise.
fn holds(view: &Snapshot, told: u64) -> Outcome {
    let accounts = match Collection::open(view, "accounts") {
        Err(Error::NotFound { .. }) if told == 0 => return Ok(()),
        accounts => accounts?,
    };
    let balances = accounts.scan(view)?.map(|found| Ok(found?.to_json()["balance"].as_u64().unwrap_or(0)));
    let sum: u64 = balances.sum::<logwood::Result<u64>>()?;
    if sum != ACCOUNTS * OPENING_BALANCE {
        return Err(Violation::new(format!("the accounts hold {sum}")).into());
    }
    let receipts = Bucket::open(view, "receipts")?;
    let listed = receipts.list(view, &ListOptions::default())?.objects;
    for info in &listed {
        receipts.get(view, &info.key)?.ok_or("a receipt that is listed is not there")?.verify()?;
    }
    // The transfer under way may be there, too, though the customer was not told.
    let count = listed.len() as u64;
    if count < told || count > told + 1 {
        return Err(Violation::new(format!("{count} receipts, {told} transfers were told of")).into());
    }
    Ok(())
}

/// Opens what was found, as the next start of the program would, and verifies the promise.
fn verify(found: &Found<'_, u64>) -> Outcome {
    let db = open(found.disk)?;
    holds(&db.snapshot(), *found.told)?;
    while db.maintain()? {}
    holds(&db.snapshot(), *found.told)?;
    Ok(db.close()?)
}

fn explore(seed: u64) -> Result<Coverage, explore::Failure> {
    let mut coverage = explore::crashes(seed, 10, |disk, ledger| run(disk, ledger, seed), verify)?;
    coverage.add(&explore::faults(seed, 10, |disk, ledger| run(disk, ledger, seed), verify)?);
    Ok(coverage)
}

#[expect(clippy::print_stdout, reason = "it shows what was tried")]
fn main() -> Result<(), explore::Failure> {
    println!("{}", explore(1)?);
    Ok(())
}

#[test]
fn no_end_and_no_fault_breaks_the_promise() -> Result<(), explore::Failure> {
    explore(2).map(drop)
}
