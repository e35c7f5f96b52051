//! A plan is only a shortcut: whatever indexes there are, a query has the same results in the same order.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use logwood::{Collection, Database, Order, Query, RoaringBitmap, Schema};
use proptest::prelude::*;
use serde_json::{Value, json};

/// Values that lie close to one another across types, widths, and the length at which keys are cut.
fn scalar() -> impl Strategy<Value = Value> {
    prop_oneof![
        8 => (0_i64..5).prop_map(Value::from),
        4 => prop::sample::select(vec!["", "a", "ab", "abc", "b", "a\0", "a\0b", "é"]).prop_map(Value::from),
        2 => prop::sample::select(vec![0.0, -0.0, 1.0, 1.5, 2.0, 9007199254740992.0, 1e300, -1e300]).prop_map(Value::from),
        2 => prop::sample::select(vec![i64::MIN, -1, 9007199254740992, 9007199254740993, i64::MAX]).prop_map(Value::from),
        1 => Just(Value::from(u64::MAX)),
        2 => any::<bool>().prop_map(Value::from),
        2 => Just(Value::Null),
        1 => (1022_usize..1027, prop::sample::select(vec!["", "a", "é", "z"]))
            .prop_map(|(len, end)| Value::from("x".repeat(len) + end)),
    ]
}

fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        6 => scalar(),
        2 => prop::collection::vec(scalar(), 0..4).prop_map(Value::Array),
        1 => scalar().prop_map(|inner| json!({"c": inner})),
        1 => prop::collection::vec(scalar().prop_map(|inner| json!({"c": inner})), 0..3).prop_map(Value::Array),
        1 => prop::collection::vec(scalar(), 0..2).prop_map(|inner| json!([inner])),
    ]
}

/// `plain`: no arrays or objects, so that indexes give orders and two-sided ranges.
fn document(plain: bool) -> impl Strategy<Value = Value> {
    let field = if plain { scalar().boxed() } else { value().boxed() };
    prop::collection::btree_map(prop::sample::select(vec!["a", "b", "c"]), field, 0..4)
        .prop_map(|fields| json!(fields))
}

fn path() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["a", "a", "a", "b", "b", "c", "a.c", "b.0"]).prop_map(str::to_owned)
}

fn operators() -> impl Strategy<Value = Value> {
    let list = || prop::collection::vec(scalar(), 0..4);
    prop_oneof![
        3 => value().prop_map(|v| json!({"$eq": v})),
        1 => value().prop_map(|v| json!({"$ne": v})),
        2 => scalar().prop_map(|v| json!({"$gt": v})),
        2 => scalar().prop_map(|v| json!({"$gte": v})),
        2 => scalar().prop_map(|v| json!({"$lt": v})),
        2 => scalar().prop_map(|v| json!({"$lte": v})),
        3 => (scalar(), scalar()).prop_map(|(v, w)| json!({"$gte": v, "$lt": w})),
        2 => list().prop_map(|v| json!({"$in": v})),
        1 => list().prop_map(|v| json!({"$nin": v})),
        1 => list().prop_map(|v| json!({"$all": v})),
        1 => scalar().prop_map(|v| json!({"$contains": v})),
        1 => prop::sample::select(vec!["", "a", "ab", "x"]).prop_map(|v| json!({"$prefix": v})),
        1 => (1020_usize..1027).prop_map(|len| json!({"$prefix": "x".repeat(len)})),
        1 => any::<bool>().prop_map(|v| json!({"$exists": v})),
        1 => (0..3).prop_map(|v| json!({"$size": v})),
        1 => scalar().prop_map(|v| json!({"$not": {"$gt": v}})),
    ]
}

fn filter() -> impl Strategy<Value = Value> {
    let condition = (path(), operators()).prop_map(|(path, operators)| json!({path: operators}));
    let by_id = (0..20_u32).prop_map(|id| json!({"_id": format!("d{id}")}));
    let leaf = prop_oneof![8 => condition, 1 => by_id, 1 => Just(json!({}))];
    leaf.prop_recursive(2, 8, 3, |inner| {
        let list = prop::collection::vec(inner.clone(), 1..4);
        prop_oneof![
            4 => list.clone().prop_map(|filters| json!({"$and": filters})),
            2 => list.prop_map(|filters| json!({"$or": filters})),
            1 => inner.prop_map(|filter| json!({"$not": filter})),
        ]
    })
}

fn query() -> impl Strategy<Value = Query> {
    let order = prop::sample::select(vec![Order::Ascending, Order::Descending]);
    let sort = prop::collection::vec((path(), order), 0..3);
    let among = prop::option::weighted(0.2, prop::collection::btree_set(0..30_u32, 0..20));
    (filter(), sort, 0..3_usize, prop::option::of(0..8_usize), among).prop_map(
        |(filter, sort, skip, limit, among)| {
            let mut query = Query::parse(&filter).unwrap().skip(skip);
            for (path, order) in sort {
                query = query.sort(&path, order).unwrap();
            }
            if let Some(limit) = limit {
                query = query.limit(limit);
            }
            if let Some(among) = among {
                query = query.among(among.into_iter().collect::<RoaringBitmap>());
            }
            query
        },
    )
}

fn indexes() -> Vec<Schema> {
    let declared = [
        Schema::new().index("a", ["a"]),
        Schema::new().index("ab", ["a", "b"]).index("b", ["b"]),
        Schema::new().index("ac", ["a.c"]).index("b0", ["b.0", "a"]).index("c", ["c", "_id"]),
        Schema::new().index("ba", ["b", "a", "c"]),
    ];
    declared.into_iter().collect()
}

fn ids(db: &Database, collection: &Collection, query: &Query) -> Vec<String> {
    let snapshot = db.snapshot();
    let found = collection.find(&snapshot, query).unwrap();
    found.map(|document| document.unwrap().id().to_owned()).collect()
}

fn compare(documents: &[Value], queries: &[Query]) {
    let db = Database::open("memory://", logwood::Options::new()).unwrap();
    let collections = db
        .transact(|tx| {
            let mut collections = vec![Collection::create(tx, "plain", Schema::new())?];
            for (position, schema) in indexes().into_iter().enumerate() {
                collections.push(Collection::create(tx, &format!("indexed {position}"), schema)?);
            }
            for (number, document) in documents.iter().enumerate() {
                for collection in &collections {
                    collection.insert(tx, &format!("d{number}"), document)?;
                }
            }
            Ok(collections)
        })
        .unwrap();
    for query in queries {
        let expected = ids(&db, &collections[0], query);
        for collection in &collections[1..] {
            let plan = collection.explain(&db.snapshot(), query).unwrap();
            assert_eq!(ids(&db, collection, query), expected, "{}: {plan}", collection.name());
        }
    }
    for collection in &collections {
        assert_eq!(collection.verify(&db.snapshot()).unwrap(), documents.len() as u64);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn of_documents_without_arrays(
        documents in prop::collection::vec(document(true), 0..20),
        queries in prop::collection::vec(query(), 20),
    ) {
        compare(&documents, &queries);
    }

    #[test]
    fn of_documents_of_all_kinds(
        documents in prop::collection::vec(document(false), 0..20),
        queries in prop::collection::vec(query(), 20),
    ) {
        compare(&documents, &queries);
    }
}

/// Each pair of a document and a filter here is one that a simpler index would lose or misplace.
#[test]
fn of_documents_that_indexes_tend_to_lose() {
    let long = |len: usize, end: &str| "x".repeat(len) + end;
    let strings: Vec<String> = (1021..=1025)
        .flat_map(|len| ["", "a", "z", "é", "\u{10ffff}", "\0"].map(|end| long(len, end)))
        .chain([long(1023, "ab"), long(1023, "é\0"), long(1024, "\0z")])
        .collect();
    let mut documents: Vec<Value> = [
        json!([1, 9]),
        json!([]),
        json!([1, 2]),
        json!([[1], [2]]),
        json!([[]]),
        json!([{"c": 1}, {"c": 9}]),
        json!({"c": [1, 9]}),
        json!({}),
        json!([null]),
        json!(null),
        json!(-0.0),
        json!(0),
    ]
    .into_iter()
    .map(|a| json!({"a": a, "b": a}))
    .collect();
    documents.push(json!({}));
    let mut filters = vec![
        json!({"a": {"$gt": 5, "$lt": 3}}),
        json!({"a.c": {"$gt": 5, "$lt": 3}}),
        json!({"a": {"$lte": 1, "$gte": 9}, "b": {"$lt": 3, "$gt": 3}}),
        json!({"a": {"$in": [[], {}, 0, null]}}),
        json!({"a": {"$all": [[1], [2]]}}),
        json!({"a": {"$contains": [1]}}),
    ];
    filters.extend(documents.iter().map(|document| json!({"a": document.get("a")})));
    let singles = strings.iter().map(|string| json!({"a": string, "b": 1}));
    for string in &strings {
        for operator in ["$eq", "$gt", "$gte", "$lt", "$lte", "$prefix", "$contains"] {
            filters.push(json!({"a": {operator: string}}));
        }
        filters.push(json!({"a": {"$gte": string, "$lte": string}}));
        filters.push(json!({"a": {"$in": [string, "", null]}}));
    }
    let sorted = |filter: &Value| Query::parse(filter).unwrap().sort("a", Order::Descending).unwrap();
    let queries: Vec<Query> =
        filters.iter().flat_map(|filter| [Query::parse(filter).unwrap(), sorted(filter)]).collect();
    compare(&singles.clone().collect::<Vec<_>>(), &queries);
    compare(&documents, &queries);
    compare(&singles.chain(documents.iter().cloned()).collect::<Vec<_>>(), &queries);
}

/// What an index is for: the plans that must not get lost.
#[test]
fn plans_use_the_index_that_is_there() {
    use logwood::FieldType;
    let db = Database::open("memory://", logwood::Options::new()).unwrap();
    let schema = Schema::new()
        .field("tags", FieldType::Array)
        .unique("name", ["name"])
        .index("section_size", ["section", "size"])
        .index("tags", ["tags"])
        .index("words", ["words"]);
    let collection = db.transact(|tx| Collection::create(tx, "packages", schema.clone())).unwrap();
    let explain = |filter: Value, sort: &[(&str, Order)]| {
        let sorted = sort
            .iter()
            .try_fold(Query::parse(&filter).unwrap(), |query, (path, order)| query.sort(path, *order));
        collection.explain(&db.snapshot(), &sorted.unwrap()).unwrap().to_string()
    };
    let size_down = [("size", Order::Descending)];
    for (filter, sort, plan) in [
        (json!({}), &[][..], "reads all documents"),
        (json!({"_id": "vim", "section": "web"}), &[], "looks up documents by id where _id in 1 values"),
        (json!({"section": "web", "name": "vim"}), &[], "reads index name where name = \"vim\""),
        (json!({"section": "web"}), &size_down, "reads index section_size where section = \"web\""),
        (
            json!({"section": {"$in": ["web", "net"]}}),
            &size_down,
            "reads index section_size where section in 2 values; sorts in memory",
        ),
        (
            json!({"section": "web", "size": {"$gt": 5, "$lte": 9}}),
            &[],
            "reads index section_size where section = \"web\" and size > 5 and size <= 9",
        ),
        (
            json!({"section": {"$prefix": "w"}}),
            &[],
            "reads index section_size where section begins with \"w\"",
        ),
        (json!({"size": {"$gt": 5}}), &[], "reads all documents"),
        (json!({"tags": {"$all": ["x", "y"]}}), &[], "reads index tags where tags = \"x\""),
        (json!({"tags": {"$contains": "x"}}), &[], "reads index tags where tags = \"x\""),
        (json!({"words": {"$contains": "x"}}), &[], "reads all documents"),
        (json!({"words": {"$contains": 1}}), &[], "reads index words where words = 1"),
        (
            json!({"$or": [{"name": "vim"}, {"section": "web"}]}),
            &[],
            "reads index name, section_size where name = \"vim\" and section = \"web\"",
        ),
        (json!({"$or": [{"name": "vim"}, {"size": 1}]}), &[], "reads all documents"),
        (json!({}), &[("name", Order::Ascending)], "reads index name"),
        (json!({"name": {"$ne": "vim"}}), &[("name", Order::Descending)], "reads index name"),
    ] {
        assert_eq!(explain(filter, sort), plan);
    }
}
