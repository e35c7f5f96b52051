//! Whether what a crash left agrees with what was done before.

use std::collections::HashMap;

use super::anomaly::{self, Anomaly, Report};
use super::order::Orders;
use super::record::{Outcome, Recorded};

/// Compares the lists that were found with the history.
pub(super) fn compare(
    history: &[Recorded],
    orders: &Orders<'_>,
    numbers: impl Fn(&[u8]) -> Option<u32>,
    found: &[(Vec<u8>, Vec<u64>)],
    report: &mut Report,
) {
    let mut there: HashMap<(&[u8], u64), usize> = HashMap::new();
    for (key, list) in found {
        for (at, element) in list.iter().enumerate() {
            if there.insert((key, *element), at).is_some() {
                let why = || format!("{element} is twice in {}", anomaly::key(key));
                report.add(history, Anomaly::Duplicate, &[], why);
            }
        }
        compare_list(history, orders, key, numbers(key), list, report);
    }
    compare_transactions(history, &there, report);
}

/// A list that was found is a version seen before, or goes on from the last one.
fn compare_list(
    history: &[Recorded],
    orders: &Orders<'_>,
    key: &[u8],
    number: Option<u32>,
    list: &[u64],
    report: &mut Report,
) {
    let name = || anomaly::key(key);
    let seen = number.map_or(&[][..], |number| orders.by_key[number as usize].list);
    let common = seen.len().min(list.len());
    if seen[..common] != list[..common] {
        let why =
            || format!("{} was {} and came back as {}", name(), anomaly::list(seen), anomaly::list(list));
        report.add(history, Anomaly::IncompatibleOrders, &[], why);
    }
    for element in list {
        match number.and_then(|number| orders.writer(number, *element)).map(|writer| writer.transaction) {
            None => {
                let why = || format!("{element} came back in {}, and nobody had appended it", name());
                report.add(history, Anomaly::Invented, &[], why);
            }
            Some(writer) if history[writer].outcome == Outcome::Refused => {
                let why = || format!("{element} came back in {}, though T{writer} was refused", name());
                report.add(history, Anomaly::G1a, &[writer], why);
            }
            Some(_) => {}
        }
    }
}

/// Transactions are there wholly or not, and none without those before it.
fn compare_transactions(history: &[Recorded], there: &HashMap<(&[u8], u64), usize>, report: &mut Report) {
    let (mut absent, mut last_begun) = (Vec::new(), None);
    for (number, recorded) in history.iter().enumerate() {
        if recorded.outcome == Outcome::Refused {
            continue;
        }
        let (mut kept, mut gone) = (0, 0);
        for append in recorded.appends() {
            *(if there.contains_key(&append) { &mut kept } else { &mut gone }) += 1;
        }
        if kept > 0 && gone > 0 {
            let why = || format!("{kept} appends of T{number} are there, {gone} are not");
            report.add(history, Anomaly::HalfCommit, &[number], why);
        } else if gone > 0 && recorded.outcome == Outcome::Durable {
            let why = || format!("T{number} was acknowledged as durable and is gone");
            report.add(history, Anomaly::LostCommit, &[number], why);
        } else if gone > 0 && recorded.acknowledged() {
            absent.push(number);
        } else if kept > 0 {
            // In the order of beginnings: the last one is the latest.
            last_begun = Some((number, recorded.begun));
        }
    }
    let Some((kept, begun)) = last_begun else { return };
    for number in absent.into_iter().filter(|number| history[*number].ended < begun) {
        let why = || format!("T{kept} is there, and T{number}, which had ended before it began, is not");
        report.add(history, Anomaly::Hole, &[number, kept], why);
    }
}
