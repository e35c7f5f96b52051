//! Each anomaly, written by hand, is caught and named; what a serializable database does is not.

use proptest::prelude::*;

use super::{Anomaly, Attempt, Outcome, Recorder, Report};
use Outcome::{Committed, Durable, Refused, Unknown};

fn ended(recorder: &Recorder, outcome: Outcome, tell: impl FnOnce(&mut Attempt)) {
    let mut attempt = recorder.begin();
    tell(&mut attempt);
    attempt.end(outcome);
}

fn names(report: &Report) -> Vec<String> {
    report.names().into_iter().collect()
}

#[track_caller]
fn assert_found(recorder: &Recorder, expected: &[&str]) -> Report {
    let report = recorder.check();
    assert_eq!(names(&report), expected, "{report}");
    report
}

#[test]
fn nothing_is_wrong_with_transactions_one_after_another() {
    let recorder = Recorder::new();
    assert!(recorder.is_empty());
    ended(&recorder, Durable, |tx| tx.append("x", 1));
    ended(&recorder, Committed, |tx| {
        tx.read("x", &[1]);
        tx.append("x", 2);
        tx.append("x", 3);
        tx.read("x", &[1, 2, 3]);
        tx.count("x", 3);
        tx.append("y", 1);
    });
    ended(&recorder, Refused, |tx| {
        tx.read("x", &[1, 2, 3]);
        tx.append("x", 4);
    });
    let rows = vec![("x".into(), vec![1, 2, 3]), ("y".into(), vec![1])];
    ended(&recorder, Committed, |tx| tx.range("a", "z", rows));
    assert_eq!(recorder.len(), 4);
    assert_found(&recorder, &[]);
}

#[test]
fn transactions_that_overlap_may_take_either_order_but_only_one() {
    let recorder = Recorder::new();
    let (mut first, mut second) = (recorder.begin(), recorder.begin());
    first.append("x", 1);
    second.read("x", &[]);
    second.append("y", 1);
    first.end(Committed);
    second.end(Committed);
    ended(&recorder, Committed, |tx| tx.read("x", &[1]));
    assert_found(&recorder, &[]);
}

#[test]
fn g0_is_a_cycle_of_writes() {
    let recorder = Recorder::new();
    let (mut first, mut second) = (recorder.begin(), recorder.begin());
    first.append("x", 1);
    second.append("x", 2);
    second.append("y", 2);
    first.append("y", 1);
    first.end(Committed);
    second.end(Committed);
    ended(&recorder, Committed, |tx| {
        tx.read("x", &[1, 2]);
        tx.read("y", &[2, 1]);
    });
    let report = assert_found(&recorder, &["G0 (write cycle)"]);
    assert_eq!(report.findings[0].transactions.len(), 2);
    assert!(report.to_string().contains("T0 -ww-> T1: appended to x just before it"), "{report}");
}

#[test]
fn g1a_and_dirty_update_come_from_a_refused_transaction() {
    let recorder = Recorder::new();
    ended(&recorder, Refused, |tx| tx.append("x", 1));
    ended(&recorder, Committed, |tx| tx.read("x", &[1]));
    assert_found(&recorder, &["G1a (aborted read)"]);
    ended(&recorder, Committed, |tx| tx.append("x", 2));
    ended(&recorder, Committed, |tx| tx.read("x", &[1, 2]));
    assert_found(&recorder, &["G1a (aborted read)", "dirty update"]);
}

#[test]
fn g1b_sees_a_transaction_in_its_middle() {
    let recorder = Recorder::new();
    let mut writer = recorder.begin();
    writer.append("x", 1);
    ended(&recorder, Committed, |tx| tx.read("x", &[1]));
    writer.append("x", 2);
    writer.end(Committed);
    ended(&recorder, Committed, |tx| tx.read("x", &[1, 2]));
    // It also lies between what it saw and what it missed of the same transaction.
    assert_found(&recorder, &["G-single (read skew)", "G1b (intermediate read)"]);
}

#[test]
fn g1c_sees_in_a_circle() {
    let recorder = Recorder::new();
    let (mut first, mut second) = (recorder.begin(), recorder.begin());
    first.append("x", 1);
    second.append("y", 2);
    first.read("y", &[2]);
    second.read("x", &[1]);
    first.end(Committed);
    second.end(Committed);
    assert_found(&recorder, &["G1c (circular information flow)"]);
}

#[test]
fn g_single_sees_half_of_a_transaction() {
    let recorder = Recorder::new();
    let mut reader = recorder.begin();
    reader.read("x", &[]);
    ended(&recorder, Committed, |tx| {
        tx.append("x", 1);
        tx.append("y", 1);
    });
    reader.read("y", &[1]);
    reader.end(Committed);
    ended(&recorder, Committed, |tx| tx.read("x", &[1]));
    let report = assert_found(&recorder, &["G-single (read skew)"]);
    assert_eq!(report.findings[0].transactions.len(), 2);
}

#[test]
fn refused_transactions_too_read_at_one_moment() {
    let recorder = Recorder::new();
    let mut reader = recorder.begin();
    reader.read("x", &[]);
    ended(&recorder, Committed, |tx| {
        tx.append("x", 1);
        tx.append("y", 1);
    });
    reader.read("y", &[1]);
    reader.append("z", 9);
    reader.end(Refused);
    ended(&recorder, Committed, |tx| tx.read("x", &[1]));
    assert_found(&recorder, &["G-single (read skew)"]);
}

#[test]
fn g2_item_is_write_skew_and_g2_is_a_phantom() {
    for phantom in [false, true] {
        let recorder = Recorder::new();
        let (mut first, mut second) = (recorder.begin(), recorder.begin());
        if phantom {
            first.range("a", "m", Vec::new());
            second.range("m", "z", Vec::new());
        } else {
            first.read("a", &[]);
            second.read("n", &[]);
        }
        first.append("n", 1);
        second.append("a", 2);
        first.end(Committed);
        second.end(Committed);
        ended(&recorder, Committed, |tx| {
            tx.read("a", &[2]);
            tx.read("n", &[1]);
        });
        let name = if phantom { "G2 (write skew by a phantom)" } else { "G2-item (write skew)" };
        assert_found(&recorder, &[name]);
    }
}

#[test]
fn lost_updates_are_named_also_when_the_lost_element_is_in_no_read() {
    let recorder = Recorder::new();
    let (mut first, mut second) = (recorder.begin(), recorder.begin());
    first.read("x", &[]);
    second.read("x", &[]);
    first.append("x", 1);
    second.append("x", 2);
    first.end(Committed);
    second.end(Committed);
    ended(&recorder, Committed, |tx| tx.read("x", &[2]));
    // The reader missed what had been committed before it began, and so did the second writer.
    let report = recorder.check();
    assert!(report.has(Anomaly::LostUpdate) && report.has(Anomaly::GSingle), "{report}");
}

#[test]
fn a_read_that_is_out_of_date_takes_real_time_to_be_seen() {
    let recorder = Recorder::new();
    ended(&recorder, Committed, |tx| tx.append("x", 1));
    ended(&recorder, Committed, |tx| tx.read("x", &[]));
    ended(&recorder, Committed, |tx| tx.read("x", &[1]));
    let report = assert_found(&recorder, &["G-single (read skew)-realtime"]);
    assert!(report.to_string().contains("T0 -real time-> T1"), "{report}");
}

#[test]
fn a_lost_element_is_found_by_the_last_read() {
    let recorder = Recorder::new();
    ended(&recorder, Committed, |tx| tx.append("x", 1));
    ended(&recorder, Committed, |tx| tx.append("x", 2));
    ended(&recorder, Committed, |tx| tx.read("x", &[1]));
    assert_found(&recorder, &["G-single (read skew)-realtime"]);
}

#[test]
fn an_order_against_real_time_is_a_cycle_of_writes() {
    let recorder = Recorder::new();
    ended(&recorder, Committed, |tx| tx.append("x", 1));
    ended(&recorder, Committed, |tx| tx.append("x", 2));
    ended(&recorder, Committed, |tx| tx.read("x", &[2, 1]));
    assert_found(&recorder, &["G0 (write cycle)-realtime"]);
}

#[test]
fn a_snapshot_stands_where_it_was_taken() {
    for taken in [false, true] {
        let recorder = Recorder::new();
        let mut snapshot = recorder.begin();
        if taken {
            snapshot.taken();
        }
        ended(&recorder, Committed, |tx| tx.append("x", 1));
        snapshot.read("x", &[1]);
        snapshot.end(Committed);
        // Once it was taken, it may not see what came later.
        let expected: &[&str] = if taken { &["G1c (circular information flow)-realtime"] } else { &[] };
        assert_found(&recorder, expected);
    }
}

#[test]
fn a_snapshot_that_moves_and_a_transaction_that_contradicts_itself_are_told_apart() {
    let recorder = Recorder::new();
    let mut snapshot = recorder.begin();
    snapshot.read("x", &[]);
    ended(&recorder, Committed, |tx| tx.append("x", 1));
    snapshot.read("x", &[1]);
    snapshot.end(Committed);
    assert_found(&recorder, &["snapshot moved"]);

    type Tell = fn(&mut Attempt);
    let contradictions: [Tell; 4] = [
        |tx| tx.read("x", &[]),
        |tx| tx.read("x", &[2, 1]),
        |tx| tx.range("a", "z", Vec::new()),
        |tx| {
            tx.read("x", &[2]);
            tx.count("x", 3);
        },
    ];
    for contradict in contradictions {
        let recorder = Recorder::new();
        ended(&recorder, Committed, |tx| {
            tx.append("x", 2);
            contradict(tx);
        });
        ended(&recorder, Committed, |tx| tx.append("x", 1));
        assert!(recorder.check().has(Anomaly::Internal), "{}", recorder.check());
    }
}

#[test]
fn reads_that_are_no_versions_of_one_list_are_reported() {
    let recorder = Recorder::new();
    for (key, element) in [("x", 1), ("x", 2)] {
        ended(&recorder, Committed, |tx| tx.append(key, element));
    }
    ended(&recorder, Committed, |tx| tx.read("x", &[1, 2]));
    ended(&recorder, Committed, |tx| tx.read("x", &[2]));
    ended(&recorder, Committed, |tx| tx.read("y", &[7]));
    ended(&recorder, Committed, |tx| tx.read("z", &[]));
    ended(&recorder, Committed, |tx| tx.count("z", 1));
    let report = assert_found(&recorder, &["incompatible orders", "invented element"]);
    assert_eq!(report.findings.iter().filter(|finding| finding.anomaly == Anomaly::Invented).count(), 2);
    ended(&recorder, Committed, |tx| tx.append("x", 1));
    ended(&recorder, Committed, |tx| tx.read("w", &[5, 5]));
    assert!(recorder.check().has(Anomaly::Duplicate));
}

#[test]
fn a_transaction_of_unknown_end_may_have_happened_or_not_and_at_any_time() {
    for seen in [false, true] {
        let recorder = Recorder::new();
        ended(&recorder, Unknown, |tx| {
            tx.read("x", &[]);
            tx.append("x", 1);
        });
        ended(&recorder, Committed, |tx| tx.read("x", &[]));
        ended(&recorder, Committed, |tx| tx.read("x", if seen { &[1] } else { &[] }));
        drop(recorder.begin());
        assert_found(&recorder, &[]);
    }
}

#[test]
fn counts_take_part_as_versions() {
    let recorder = Recorder::new();
    let mut reader = recorder.begin();
    reader.count("x", 0);
    ended(&recorder, Committed, |tx| {
        tx.append("x", 1);
        tx.append("y", 1);
    });
    reader.count("y", 1);
    reader.end(Committed);
    ended(&recorder, Committed, |tx| tx.read("x", &[1]));
    ended(&recorder, Committed, |tx| tx.read("y", &[1]));
    assert_found(&recorder, &["G-single (read skew)"]);
}

#[test]
fn elements_that_nobody_read_count_each() {
    let recorder = Recorder::new();
    ended(&recorder, Committed, |tx| {
        tx.append("x", 1);
        tx.append("x", 2);
    });
    ended(&recorder, Committed, |tx| tx.count("x", 2));
    assert_found(&recorder, &[]);
    ended(&recorder, Committed, |tx| tx.count("x", 3));
    assert_found(&recorder, &["invented element"]);
}

#[test]
fn a_crash_may_undo_only_what_was_not_durable_from_the_end_and_whole() {
    let recorder = Recorder::new();
    ended(&recorder, Durable, |tx| tx.append("x", 1));
    ended(&recorder, Committed, |tx| {
        tx.read("x", &[1]);
        tx.append("x", 2);
        tx.append("y", 2);
    });
    ended(&recorder, Refused, |tx| tx.append("y", 9));
    ended(&recorder, Committed, |tx| tx.append("x", 3));
    ended(&recorder, Unknown, |tx| tx.append("x", 4));
    ended(&recorder, Committed, |tx| tx.read("x", &[1, 2, 3]));
    let check = |x: &[u64], y: &[u64]| {
        names(&recorder.check_recovered(&[(b"x".to_vec(), x.to_vec()), (b"y".to_vec(), y.to_vec())]))
    };
    for (x, y) in [(&[1][..], &[][..]), (&[1, 2], &[2]), (&[1, 2, 3], &[2]), (&[1, 2, 3, 4], &[2])] {
        assert_eq!(check(x, y), Vec::<String>::new());
    }
    assert_eq!(check(&[], &[]), ["lost commit"]);
    assert_eq!(check(&[1, 2], &[]), ["half a commit"]);
    assert_eq!(check(&[1, 3], &[]), ["hole in the order of commits", "incompatible orders"]);
    assert_eq!(check(&[1, 2, 4], &[2]), ["hole in the order of commits", "incompatible orders"]);
    assert_eq!(check(&[1, 2, 3, 5], &[2]), ["invented element"]);
    assert_eq!(check(&[1, 2, 3, 3], &[2]), ["duplicate element"]);
    assert_eq!(check(&[1, 2, 3], &[2, 9]), ["G1a (aborted read)"]);
}

#[test]
fn a_long_history_is_checked_in_linear_time() {
    let recorder = Recorder::new();
    let mut lists = vec![Vec::new(); 500];
    for number in 0..20_000_u64 {
        let (read, append) = (number as usize * 7 % 500, number as usize * 13 % 500);
        let mut attempt = recorder.begin();
        attempt.read(read.to_string(), &lists[read]);
        attempt.read(append.to_string(), &lists[append]);
        attempt.append(append.to_string(), number);
        lists[append].push(number);
        attempt.end(Committed);
    }
    let started = std::time::Instant::now();
    assert_found(&recorder, &[]);
    assert!(started.elapsed().as_secs() < 10, "{:?}", started.elapsed());
}

/// One transaction of a generated workload: which list it reads, which it appends to, whether it goes on beside the
/// next one, and how it ends.
#[derive(Clone, Debug)]
struct Planned {
    reads: Vec<u8>,
    appends: Vec<u8>,
    refused: bool,
}

fn planned() -> impl Strategy<Value = Vec<Planned>> {
    let one =
        (proptest::collection::vec(0..5_u8, 0..4), proptest::collection::vec(0..5_u8, 0..3), any::<u8>())
            .prop_map(|(reads, appends, refused)| Planned { reads, appends, refused: refused % 5 == 0 });
    proptest::collection::vec(one, 1..60)
}

/// Runs the plan, `beside` at a time: all of these read before the first of them writes. What a transaction writes
/// back is what it read, and its own elements: as rows are written that were read from a snapshot.
fn run(plan: &[Planned], beside: usize) -> Report {
    let (recorder, mut lists, mut element) = (Recorder::new(), vec![Vec::new(); 5], 0);
    for group in plan.chunks(beside) {
        let snapshot = lists.clone();
        let mut under_way = Vec::new();
        for planned in group {
            let mut attempt = recorder.begin();
            for read in &planned.reads {
                attempt.read([*read], &snapshot[usize::from(*read)]);
            }
            under_way.push(attempt);
        }
        for (planned, mut attempt) in group.iter().zip(under_way) {
            let mut own = snapshot.clone();
            for key in &planned.appends {
                element += 1;
                attempt.read([*key], &own[usize::from(*key)]);
                attempt.append([*key], element);
                own[usize::from(*key)].push(element);
            }
            for key in planned.appends.iter().filter(|_| !planned.refused) {
                lists[usize::from(*key)].clone_from(&own[usize::from(*key)]);
            }
            attempt.end(if planned.refused { Refused } else { Committed });
        }
    }
    ended(&recorder, Committed, |last| {
        for (key, list) in (0_u8..).zip(&lists) {
            last.read([key], list);
        }
    });
    recorder.check()
}

/// Whether two transactions of one group appended to a list, or each to one that the other only read.
fn is_broken(plan: &[Planned], beside: usize) -> bool {
    plan.chunks(beside).any(|group| {
        let of = |at: usize| {
            group.iter().enumerate().filter(move |(other, planned)| *other != at && !planned.refused)
        };
        group.iter().enumerate().filter(|(_, planned)| !planned.refused).any(|(at, planned)| {
            of(at).any(|(_, other)| {
                let both = planned.appends.iter().any(|key| other.appends.contains(key));
                let missed = |a: &Planned, b: &Planned| a.appends.iter().any(|key| b.reads.contains(key));
                both || (missed(planned, other) && missed(other, planned))
            })
        })
    })
}

proptest! {
    #[test]
    fn serial_executions_raise_nothing(plan in planned()) {
        let report = run(&plan, 1);
        prop_assert!(report.is_clean(), "{}", report);
    }

    #[test]
    fn writes_computed_from_snapshots_without_validation_are_caught(plan in planned(), beside in 2..4_usize) {
        let report = run(&plan, beside);
        // Three may be in a circle where no two are.
        prop_assert!(!is_broken(&plan, beside) || !report.is_clean(), "{:?}", plan);
        prop_assert!(is_broken(&plan, beside) || beside > 2 || report.is_clean(), "{}", report);
    }
}
