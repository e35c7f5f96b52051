//! With the graph built, searches find at least 95 % of the true neighbours, and never what the snapshot
//! does not hold.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use logwood::{Database, Hit, Metric, Result, SearchOptions, Snapshot, VectorSchema, Vectors, View};
use roaring::RoaringBitmap;

const DIMENSION: usize = 8;
const ROWS: u32 = 1_300;
const K: usize = 10;

/// Components from a seed, in 20 clusters.
fn vector(seed: u32) -> Vec<f32> {
    let component = |axis: usize, seed: u32| {
        let mixed = (u64::from(seed) << 8 | axis as u64).wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mixed = (mixed ^ (mixed >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        (mixed >> 40) as f32 / (1 << 24) as f32 - 0.5
    };
    (0..DIMENSION).map(|axis| 6.0 * component(axis, seed % 20 + 1_000_000) + component(axis, seed)).collect()
}

fn imported(metric: Metric) -> Result<(Database, Vectors)> {
    let db = Database::open("memory://", logwood::Options::new().background(false)).unwrap();
    let schema = VectorSchema { m: 8, ef_construction: 48, ..VectorSchema::new(DIMENSION, metric) };
    let field = db.transact(|tx| {
        let field = Vectors::create(tx, "field", schema)?;
        (0..ROWS).try_for_each(|row| field.set(tx, &row.to_string(), &vector(row)).map(drop))?;
        Ok(field)
    })?;
    Ok((db, field))
}

fn recall(field: &Vectors, view: &Snapshot, filter: Option<&RoaringBitmap>) -> Result<f64> {
    let (mut found, mut wanted) = (0, 0);
    for query in (0..30).map(|query| vector(2_000 + query)) {
        let search = |exact| {
            let options = SearchOptions { exact, filter, ..SearchOptions::default() };
            field.search(view, &query, K, &options)
        };
        let (near, truth): (Vec<Hit>, Vec<Hit>) = (search(false)?, search(true)?);
        assert_eq!(near.len(), truth.len());
        found += near.iter().filter(|hit| truth.contains(hit)).count();
        wanted += truth.len();
    }
    Ok(found as f64 / wanted as f64)
}

#[test]
fn recall_is_high_whatever_the_metric() -> Result<()> {
    for metric in [Metric::Cosine, Metric::L2, Metric::Dot] {
        let (db, field) = imported(metric)?;
        assert_eq!(field.stats(&db.snapshot())?.points, 0);
        field.build(&db)?;
        let stats = field.stats(&db.snapshot())?;
        assert_eq!((stats.rows, stats.points, stats.garbage, stats.pending), (1_300, 1_300, 0, 0));
        assert!(stats.memory_bytes > 1_300 * 32);
        let recall = recall(&field, &db.snapshot(), None)?;
        assert!(recall >= 0.95, "{metric:?}: {recall}");
    }
    Ok(())
}

#[test]
fn what_was_changed_since_the_build_is_found_as_it_is_now() -> Result<()> {
    let (db, field) = imported(Metric::L2)?;
    field.build(&db)?;
    let before = db.snapshot();
    db.transact(|tx| {
        field.delete(tx, "7")?;
        field.set(tx, "8", &vector(7))?;
        field.set(tx, "new", &vector(9)).map(drop)
    })?;
    for built in [false, true] {
        if built {
            field.build(&db)?;
            let stats = field.stats(&db.snapshot())?;
            assert_eq!((stats.points, stats.garbage, stats.pending), (1_302, 2, 0));
        }
        let nearest = |view: &Snapshot, row, k| -> Result<Vec<String>> {
            let hits = field.search(view, &vector(row), k, &SearchOptions::default())?;
            Ok(hits.into_iter().map(|hit| hit.key).collect())
        };
        assert_eq!(nearest(&db.snapshot(), 7, 1)?, ["8"]);
        assert_eq!(nearest(&db.snapshot(), 9, 2)?, ["9", "new"]);
        assert_eq!(nearest(&before, 7, 1)?, ["7"]);
        assert_eq!(nearest(&before, 8, 1)?, ["8"]);
        assert!(!nearest(&before, 9, 2)?.contains(&"new".to_owned()));
    }
    Ok(())
}

#[test]
fn clusters_that_come_one_after_another_are_all_found() -> Result<()> {
    let db = Database::open("memory://", logwood::Options::new().background(false)).unwrap();
    let schema = VectorSchema { m: 8, ef_construction: 48, ..VectorSchema::new(DIMENSION, Metric::L2) };
    let field = db.transact(|tx| Vectors::create(tx, "field", schema))?;
    // 100 vectors of each cluster, the first ten clusters before there is a graph, the others after.
    for clusters in [0..10, 10..15, 15..20] {
        db.transact(|tx| {
            for row in clusters.start * 100..clusters.end * 100_u32 {
                field.set(tx, &row.to_string(), &vector(row % 100 * 20 + row / 100))?;
            }
            Ok(())
        })?;
        field.build(&db)?;
        let recall = recall(&field, &db.snapshot(), None)?;
        assert!(recall >= 0.95, "{recall} {:?}", field.stats(&db.snapshot())?);
    }
    let stats = field.stats(&db.snapshot())?;
    assert_eq!((stats.points, stats.pending), (2_000, 0));
    assert!(stats.unreached < 200, "{stats:?}");
    Ok(())
}

#[test]
fn a_filter_holds_with_a_graph_too() -> Result<()> {
    let (db, field) = imported(Metric::Cosine)?;
    field.build(&db)?;
    let third: RoaringBitmap = field.ids(&db.snapshot())?.iter().filter(|id| id % 3 == 0).collect();
    assert!(recall(&field, &db.snapshot(), Some(&third))? >= 0.95);
    let options = SearchOptions { filter: Some(&third), ..SearchOptions::default() };
    let hits = field.search(&db.snapshot(), &vector(1), 50, &options)?;
    assert!(hits.len() == 50 && hits.iter().all(|hit| third.contains(hit.id)));
    Ok(())
}

#[test]
fn a_thousand_equal_vectors_do_not_hide_one_another() -> Result<()> {
    let db = Database::open("memory://", logwood::Options::new().background(false)).unwrap();
    let schema = VectorSchema { m: 8, ef_construction: 16, ..VectorSchema::new(2, Metric::L2) };
    let field = db.transact(|tx| {
        let field = Vectors::create(tx, "field", schema)?;
        (0..1_100).try_for_each(|row| field.set(tx, &row.to_string(), &[1.0, 2.0]).map(drop))?;
        Ok(field)
    })?;
    field.build(&db)?;
    let hits = field.search(&db.snapshot(), &[1.0, 2.0], 60, &SearchOptions::default())?;
    assert_eq!(hits.len(), 60);
    assert!(hits.iter().all(|hit| hit.distance == 0.0));
    Ok(())
}

#[test]
fn searches_commits_and_steps_run_side_by_side() -> Result<()> {
    let (db, field) = imported(Metric::L2)?;
    std::thread::scope(|scope| {
        let building = scope.spawn(|| (0..3).try_for_each(|_| field.build(&db)));
        let writing = scope.spawn(|| {
            (0..60).try_for_each(|round: u32| {
                db.transact(|tx| field.set(tx, &(round * 7).to_string(), &vector(round + 5_000)).map(drop))
            })
        });
        for query in 0..60 {
            let view = db.snapshot();
            for hit in field.search(&view, &vector(query), K, &SearchOptions::default())? {
                assert!(field.get(&view, &hit.key)?.is_some(), "{hit:?} at {}", view.lsn());
            }
        }
        building.join().expect("no panic")?;
        writing.join().expect("no panic")
    })?;
    field.build(&db)?;
    let recall = recall(&field, &db.snapshot(), None)?;
    assert!(recall >= 0.95, "{recall}");
    Ok(())
}
