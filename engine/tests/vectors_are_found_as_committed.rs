//! Vectors are stored, found and refused as the guide says; what is found is what the view holds.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use logwood::{
    Database, Error, Metric, Result, SearchOptions, Transaction, VectorFault, VectorSchema, Vectors, View,
};
use roaring::RoaringBitmap;

fn vectors(db: &Database, dimension: usize, metric: Metric) -> Result<Vectors> {
    db.transact(|tx| Vectors::create(tx, "field", VectorSchema::new(dimension, metric)))
}

fn keys(vectors: &Vectors, view: &impl View, query: &[f32], k: usize) -> Result<Vec<String>> {
    let hits = vectors.search(view, query, k, &SearchOptions::default())?;
    Ok(hits.into_iter().map(|hit| hit.key).collect())
}

fn set_line(vectors: &Vectors, tx: &mut Transaction, numbers: std::ops::Range<u16>) -> Result<()> {
    for number in numbers {
        vectors.set(tx, &format!("n{number}"), &[f32::from(number), 1.0])?;
    }
    Ok(())
}

#[test]
fn a_vector_reads_back_as_it_was_set_until_it_is_deleted() -> Result<()> {
    let db = Database::open("memory://", logwood::Options::new().background(false)).unwrap();
    let field = vectors(&db, 2, Metric::Cosine)?;
    db.transact(|tx| field.set(tx, "a", &[3.0, 4.0]))?;
    let before = db.snapshot();
    db.transact(|tx| field.set(tx, "a", &[-3.0, 0.5]))?;
    assert_eq!(field.get(&db.snapshot(), "a")?, Some(vec![-3.0, 0.5]));
    assert_eq!(field.count(&db.snapshot())?, 1);
    assert!(db.transact(|tx| field.delete(tx, "a"))?);
    assert!(!db.transact(|tx| field.delete(tx, "a"))?);
    assert!(!db.transact(|tx| field.delete(tx, "unknown"))?);
    assert_eq!(field.get(&db.snapshot(), "a")?, None);
    assert_eq!(field.count(&db.snapshot())?, 0);
    assert!(keys(&field, &db.snapshot(), &[1.0, 1.0], 3)?.is_empty());
    assert_eq!(field.get(&before, "a")?, Some(vec![3.0, 4.0]));
    assert_eq!(keys(&field, &before, &[1.0, 1.0], 3)?, ["a"]);
    Ok(())
}

#[test]
fn results_are_ordered_by_distance_then_by_id_and_say_how_near() -> Result<()> {
    for (metric, distances) in
        [(Metric::L2, [0.0, 5.0, 5.0]), (Metric::Dot, [-25.0, 0.0, 0.0]), (Metric::Cosine, [0.0, 1.0, 1.0])]
    {
        let db = Database::open("memory://", logwood::Options::new().background(false)).unwrap();
        let field = vectors(&db, 2, metric)?;
        let far: [f32; 2] = if metric == Metric::L2 { [0.0, 0.0] } else { [4.0, -3.0] };
        db.transact(|tx| {
            field.set(tx, "z", &far)?;
            field.set(tx, "a", &far)?;
            field.set(tx, "same", &[3.0, 4.0])
        })?;
        let hits = field.search(&db.snapshot(), &[3.0, 4.0], 10, &SearchOptions::default())?;
        assert_eq!(hits.iter().map(|hit| hit.key.as_str()).collect::<Vec<_>>(), ["same", "z", "a"]);
        for (hit, distance) in hits.iter().zip(distances) {
            assert!((hit.distance - distance).abs() < 1e-6, "{metric:?}: {hit:?}");
            assert!((hit.score - metric.score(distance)).abs() < 1e-6, "{metric:?}: {hit:?}");
        }
    }
    Ok(())
}

#[test]
fn bad_vectors_are_refused_by_name_and_leave_nothing() -> Result<()> {
    let db = Database::open("memory://", logwood::Options::new().background(false)).unwrap();
    let field = vectors(&db, 2, Metric::Cosine)?;
    let bad: [(&[f32], VectorFault); 5] = [
        (&[1.0], VectorFault::Dimension { expected: 2, found: 1 }),
        (&[1.0, f32::NAN], VectorFault::NotFinite { component: 1 }),
        (&[f32::NEG_INFINITY, 0.0], VectorFault::NotFinite { component: 0 }),
        (&[0.0, 0.0], VectorFault::ZeroNorm),
        (&[f32::MAX, f32::MAX], VectorFault::TooLong),
    ];
    for (vector, fault) in bad {
        let refused = |error: Error| matches!(error, Error::Vector { field, reason } if field == "field" && reason == fault);
        assert!(db.transact(|tx| field.set(tx, "a", vector)).is_err_and(refused));
        let searched = field.search(&db.snapshot(), vector, 1, &SearchOptions::default());
        assert!(searched.is_err_and(refused));
    }
    assert_eq!(field.count(&db.snapshot())?, 0);
    Ok(())
}

#[test]
fn limits_hold_at_their_edges() -> Result<()> {
    let db = Database::open("memory://", logwood::Options::new().background(false)).unwrap();
    let create = |name: &str, schema| db.transact(|tx| Vectors::create(tx, name, schema));
    let widest = VectorSchema::new(VectorSchema::DIMENSION_MAX, Metric::L2);
    let field = create("widest", widest)?;
    db.transact(|tx| field.set(tx, "a", &vec![1.0; VectorSchema::DIMENSION_MAX]))?;
    let search = |k, ef| {
        let options = SearchOptions { ef, ..SearchOptions::default() };
        field.search_like(&db.snapshot(), "a", k, &options)
    };
    assert!(search(SearchOptions::K_MAX, Some(SearchOptions::EF_MAX))?.is_empty());
    assert!(matches!(search(SearchOptions::K_MAX + 1, None), Err(Error::TooMany { .. })));
    assert!(matches!(search(1, Some(SearchOptions::EF_MAX + 1)), Err(Error::TooMany { .. })));
    let small = VectorSchema::new(2, Metric::L2);
    for bad in [
        VectorSchema { dimension: 0, ..small },
        VectorSchema { dimension: VectorSchema::DIMENSION_MAX + 1, ..small },
        VectorSchema { m: 7, ..small },
        VectorSchema { m: 65, ..small },
        VectorSchema { ef_construction: 7, ..small },
        VectorSchema { ef_construction: 2_001, ..small },
    ] {
        assert!(matches!(create("bad", bad), Err(Error::Option { .. })), "{bad:?}");
    }
    create("good", VectorSchema { m: 64, ef_construction: 2_000, ..small })?;
    create("good too", VectorSchema { m: 8, ef_construction: 8, dimension: 1, ..small })?;
    Ok(())
}

#[test]
fn a_transaction_finds_its_own_writes() -> Result<()> {
    let db = Database::open("memory://", logwood::Options::new().background(false)).unwrap();
    let field = vectors(&db, 2, Metric::L2)?;
    db.transact(|tx| set_line(&field, tx, 0..10))?;
    db.transact(|tx| {
        field.set(tx, "mine", &[3.4, 1.0])?;
        field.delete(tx, "n3")?;
        assert_eq!(keys(&field, tx, &[3.0, 1.0], 3)?, ["mine", "n2", "n4"]);
        assert_eq!(field.count(tx)?, 10);
        Ok(())
    })?;
    assert_eq!(keys(&field, &db.snapshot(), &[3.0, 1.0], 1)?, ["mine"]);
    Ok(())
}

#[test]
fn a_rolled_back_vector_is_never_found() -> Result<()> {
    let db = Database::open("memory://", logwood::Options::new().background(false)).unwrap();
    let field = vectors(&db, 2, Metric::L2)?;
    let rolled_back = db.transact(|tx| {
        set_line(&field, tx, 0..10)?;
        Err::<(), _>(Error::Abort("changed my mind".to_owned()))
    });
    assert!(rolled_back.is_err());
    assert!(keys(&field, &db.snapshot(), &[3.0, 1.0], 5)?.is_empty());
    assert_eq!(field.count(&db.snapshot())?, 0);
    Ok(())
}

#[test]
fn a_filter_of_ids_limits_what_is_found() -> Result<()> {
    let db = Database::open("memory://", logwood::Options::new().background(false)).unwrap();
    let field = vectors(&db, 2, Metric::L2)?;
    db.transact(|tx| set_line(&field, tx, 0..100))?;
    let mut allowed = RoaringBitmap::from_iter([u32::MAX]);
    for number in [2.0, 90.0, 55.0] {
        let hits = field.search(&db.snapshot(), &[number, 1.0], 1, &SearchOptions::default())?;
        allowed.insert(hits[0].id);
    }
    let found = |filter: &RoaringBitmap, view: &dyn Fn(&SearchOptions<'_>) -> Result<Vec<String>>| {
        view(&SearchOptions { filter: Some(filter), ..SearchOptions::default() })
    };
    let in_snapshot = |options: &SearchOptions<'_>| {
        let hits = field.search(&db.snapshot(), &[50.0, 1.0], 10, options)?;
        Ok(hits.into_iter().map(|hit| hit.key).collect())
    };
    let in_transaction = |options: &SearchOptions<'_>| {
        let hits = field.search(&db.begin(), &[50.0, 1.0], 10, options)?;
        Ok(hits.into_iter().map(|hit| hit.key).collect())
    };
    assert_eq!(found(&allowed, &in_snapshot)?, ["n55", "n90", "n2"]);
    assert_eq!(found(&allowed, &in_transaction)?, ["n55", "n90", "n2"]);
    assert!(found(&RoaringBitmap::new(), &in_snapshot)?.is_empty());
    let all = field.ids(&db.snapshot())?;
    assert_eq!((all.len(), found(&all, &in_snapshot)?.len()), (100, 10));
    Ok(())
}

#[test]
fn more_like_this_leaves_this_out() -> Result<()> {
    let db = Database::open("memory://", logwood::Options::new().background(false)).unwrap();
    let field = vectors(&db, 2, Metric::L2)?;
    db.transact(|tx| set_line(&field, tx, 0..10))?;
    let like = |key: &str, k| field.search_like(&db.snapshot(), key, k, &SearchOptions::default());
    assert_eq!(like("n0", 2)?.into_iter().map(|hit| hit.key).collect::<Vec<_>>(), ["n1", "n2"]);
    assert!(like("n0", 0)?.is_empty());
    assert!(matches!(like("nobody", 2), Err(Error::NotFound { kind: "vector", .. })));
    Ok(())
}

#[test]
fn a_dropped_field_is_gone_for_its_handles_and_comes_back_empty() -> Result<()> {
    let db = Database::open("memory://", logwood::Options::new().background(false)).unwrap();
    let schema = VectorSchema::new(2, Metric::L2);
    let field = vectors(&db, 2, Metric::L2)?;
    db.transact(|tx| set_line(&field, tx, 0..10))?;
    assert_eq!(Vectors::list(&db.snapshot())?, ["field"]);
    assert!(matches!(vectors(&db, 2, Metric::L2), Err(Error::Exists { .. })));
    let other = db.transact(|tx| Vectors::ensure(tx, "field", VectorSchema { m: 8, ..schema }));
    assert!(matches!(other, Err(Error::Declaration { .. })));
    let before = db.snapshot();
    db.transact(|tx| Vectors::drop(tx, "field"))?;
    assert!(Vectors::list(&db.snapshot())?.is_empty());
    assert!(matches!(db.transact(|tx| Vectors::drop(tx, "field")), Err(Error::NotFound { .. })));
    assert!(matches!(keys(&field, &db.snapshot(), &[1.0, 1.0], 1), Err(Error::NotFound { .. })));
    let again = db.transact(|tx| Vectors::ensure(tx, "field", schema))?;
    assert_eq!((again.count(&db.snapshot())?, again.name(), again.schema()), (0, "field", schema));
    assert!(keys(&again, &db.snapshot(), &[1.0, 1.0], 1)?.is_empty());
    assert!(matches!(field.get(&db.snapshot(), "n1"), Err(Error::Declaration { .. })));
    assert_eq!(keys(&field, &before, &[1.0, 1.0], 1)?, ["n1"]);
    Ok(())
}
