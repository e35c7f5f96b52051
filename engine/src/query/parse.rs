//! Filters from JSON.

use serde_json::{Map, Value};

use super::ID_FIELD;
use super::filter::{Comparison, Node, Test};
use crate::error::{Error, Result};
use crate::value::compare::compare;
use crate::value::operand::Operand;
use crate::value::path::Path;

/// How deep filters nest at most.
pub const FILTER_DEPTH_MAX: usize = 64;
/// Most conditions, and operands of `$in`, `$nin` and `$all`, in one filter.
pub const FILTER_OPERANDS_MAX: usize = 65_536;

const ON_PATHS: &str = "$eq $ne $gt $gte $lt $lte $in $nin $exists $not $all $size $contains $prefix";
const BETWEEN_FILTERS: &str = "$and $or $not";

pub(super) fn parse(json: &Value) -> Result<Node> {
    Parser { at: "$".to_owned(), depth: 0, operands: 0 }.filter(json)
}

/// Where in the filter parsing is.
struct Parser {
    at: String,
    depth: usize,
    operands: usize,
}

impl Parser {
    fn fault<T>(&self, reason: impl Into<String>) -> Result<T> {
        Err(Error::Query { at: self.at.clone(), reason: reason.into() })
    }

    /// Runs `parse` at the key or position `step`.
    fn within<T>(&mut self, step: &str, parse: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        let len = self.at.len();
        // An error message does not repeat a key of a megabyte.
        self.at.extend(step.chars().take(256));
        let parsed = parse(self);
        self.at.truncate(len);
        parsed
    }

    /// Runs `parse` one level deeper.
    fn deeper(&mut self, parse: impl FnOnce(&mut Self) -> Result<Node>) -> Result<Node> {
        if self.depth == FILTER_DEPTH_MAX {
            return self.fault(format!("filters nest at most {FILTER_DEPTH_MAX} levels"));
        }
        self.depth += 1;
        let parsed = parse(self);
        self.depth -= 1;
        parsed
    }

    fn count(&mut self, operands: usize) -> Result<()> {
        self.operands += operands;
        if self.operands > FILTER_OPERANDS_MAX {
            return self.fault(format!("a filter has at most {FILTER_OPERANDS_MAX} conditions and operands"));
        }
        Ok(())
    }

    fn filter(&mut self, json: &Value) -> Result<Node> {
        let Value::Object(fields) = json else {
            return self.fault("a filter is a JSON object");
        };
        let mut nodes = Vec::with_capacity(fields.len());
        self.deeper(|parser| {
            for (key, value) in fields {
                nodes.push(parser.within(&format!(".{key}"), |parser| parser.entry(key, value))?);
            }
            Ok(one_or_and(nodes))
        })
    }

    fn entry(&mut self, key: &str, value: &Value) -> Result<Node> {
        self.count(1)?;
        match key {
            "$and" => Ok(Node::And(self.filters(value)?)),
            "$or" => Ok(Node::Or(self.filters(value)?)),
            "$not" => Ok(Node::Not(Box::new(self.filter(value)?))),
            _ if key.starts_with('$') => self
                .fault(format!("unknown operator; accepted here: {BETWEEN_FILTERS}, or the path of a field")),
            _ => {
                let path = Path::parse(key).or_else(|reason| self.fault(reason))?;
                if key.strip_prefix(ID_FIELD).is_some_and(|rest| rest.starts_with('.')) {
                    return self.fault("`_id` is a string and has no fields");
                }
                self.conditions(&path, value)
            }
        }
    }

    fn filters(&mut self, json: &Value) -> Result<Vec<Node>> {
        let Value::Array(filters) = json else {
            return self.fault("the operand is an array of filters");
        };
        let parse = |(index, filter)| self.within(&format!("[{index}]"), |parser| parser.filter(filter));
        filters.iter().enumerate().map(parse).collect()
    }

    /// What is asked of one path: operators, or a value to be equal to.
    fn conditions(&mut self, path: &Path, json: &Value) -> Result<Node> {
        match json {
            Value::Object(operators) if operators.keys().any(|key| key.starts_with('$')) => {
                self.operators(path, operators)
            }
            value => Ok(Node::Field(path.clone(), Test::Eq(self.operand(value)?))),
        }
    }

    fn operators(&mut self, path: &Path, operators: &Map<String, Value>) -> Result<Node> {
        let mut nodes = Vec::with_capacity(operators.len());
        for (operator, operand) in operators {
            nodes.push(
                self.within(&format!(".{operator}"), |parser| parser.operator(path, operator, operand))?,
            );
        }
        Ok(one_or_and(nodes))
    }

    fn operator(&mut self, path: &Path, operator: &str, json: &Value) -> Result<Node> {
        self.count(1)?;
        let test =
            match operator {
                "$eq" | "$ne" => Test::Eq(self.operand(json)?),
                "$in" | "$nin" => Test::In(self.sorted_operands(json)?),
                "$gt" => self.comparison(Comparison::Gt, json)?,
                "$gte" => self.comparison(Comparison::Gte, json)?,
                "$lt" => self.comparison(Comparison::Lt, json)?,
                "$lte" => self.comparison(Comparison::Lte, json)?,
                "$exists" => Test::Exists(
                    json.as_bool().map_or_else(|| self.fault("the operand is true or false"), Ok)?,
                ),
                "$not" => return self.negation(path, json),
                // Mongo's rule: all of nothing accepts nothing.
                "$all" => match self.operands(json)? {
                    operands if operands.is_empty() => Test::In(operands),
                    operands => Test::All(operands),
                },
                "$size" => Test::Size(
                    json.as_u64()
                        .map_or_else(|| self.fault("the operand is a number of elements: 0, 1, 2, …"), Ok)?,
                ),
                "$contains" => Test::Contains(self.operand(json)?),
                "$prefix" => Test::Prefix(
                    json.as_str().map_or_else(|| self.fault("the operand is a string"), Ok)?.to_owned(),
                ),
                _ if operator.starts_with('$') => {
                    return self.fault(format!("unknown operator; accepted here: {ON_PATHS}"));
                }
                _ => return self.fault(
                    "operators and names of fields do not mix; to compare with an object, use {\"$eq\": {…}}",
                ),
            };
        let node = Node::Field(path.clone(), test);
        Ok(if matches!(operator, "$ne" | "$nin") { Node::Not(Box::new(node)) } else { node })
    }

    fn negation(&mut self, path: &Path, json: &Value) -> Result<Node> {
        match json {
            Value::Object(operators) if !operators.is_empty() => {
                let node = self.deeper(|parser| parser.operators(path, operators))?;
                Ok(Node::Not(Box::new(node)))
            }
            _ => self.fault(format!("the operand is an object of operators: {ON_PATHS}")),
        }
    }

    fn comparison(&mut self, comparison: Comparison, json: &Value) -> Result<Test> {
        Ok(match json {
            // Only null is of null's class: it is equal or nothing.
            Value::Null if matches!(comparison, Comparison::Gte | Comparison::Lte) => {
                Test::Eq(Operand::null())
            }
            Value::Null => Test::In(Vec::new()),
            Value::Array(_) | Value::Object(_) => {
                return self.fault("the operand is null, a boolean, a number or a string");
            }
            scalar => Test::Compare(comparison, self.operand(scalar)?),
        })
    }

    fn operands(&mut self, json: &Value) -> Result<Vec<Operand>> {
        let Value::Array(values) = json else {
            return self.fault("the operand is an array of values");
        };
        self.count(values.len())?;
        let parse = |(index, value)| self.within(&format!("[{index}]"), |parser| parser.operand(value));
        values.iter().enumerate().map(parse).collect()
    }

    fn sorted_operands(&mut self, json: &Value) -> Result<Vec<Operand>> {
        let mut operands = self.operands(json)?;
        // Operands are valid, so comparing them does not fail.
        let order =
            |a: &Operand, b: &Operand| compare(&a.value(), &b.value()).unwrap_or(std::cmp::Ordering::Equal);
        operands.sort_by(order);
        operands.dedup_by(|a, b| order(a, b).is_eq());
        Ok(operands)
    }

    fn operand(&self, json: &Value) -> Result<Operand> {
        Operand::new(json).or_else(|reason| self.fault(reason))
    }
}

fn one_or_and(mut nodes: Vec<Node>) -> Node {
    match nodes.pop() {
        Some(node) if nodes.is_empty() => node,
        last => {
            nodes.extend(last);
            Node::And(nodes)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn fault(json: &Value) -> (String, String) {
        match parse(json) {
            Err(Error::Query { at, reason }) => (at, reason),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn errors_name_the_place_and_what_is_accepted() {
        for (json, at, reason) in [
            (json!({"$and": [{"price": {"$gtt": 1}}]}), "$.$and[0].price.$gtt", "$eq $ne $gt"),
            (json!({"$nor": []}), "$.$nor", "$and $or $not"),
            (json!({"$or": {}}), "$.$or", "array of filters"),
            (json!([]), "$", "JSON object"),
            (json!({"a": {"$in": 1}}), "$.a.$in", "array of values"),
            (json!({"a": {"$gt": []}}), "$.a.$gt", "a number"),
            (json!({"a": {"$exists": 1}}), "$.a.$exists", "true or false"),
            (json!({"a": {"$size": -1}}), "$.a.$size", "number of elements"),
            (json!({"a": {"$prefix": 1}}), "$.a.$prefix", "string"),
            (json!({"a": {"$not": 1}}), "$.a.$not", "operators"),
            (json!({"a": {"$gt": 1, "b": 2}}), "$.a.b", "do not mix"),
            (json!({"a..b": 1}), "$.a..b", "none of them empty"),
            (json!({"_id.x": 1}), "$._id.x", "string"),
        ] {
            let (found_at, found_reason) = fault(&json);
            assert_eq!(found_at, at);
            assert!(found_reason.contains(reason), "{found_reason}");
        }
    }

    #[test]
    fn nesting_and_size_end_at_their_limits() {
        let nested = |levels| (0..levels).fold(json!({"a": 1}), |inner, _| json!({"$and": [inner]}));
        assert!(parse(&nested(FILTER_DEPTH_MAX - 1)).is_ok());
        assert!(parse(&nested(FILTER_DEPTH_MAX)).is_err());
        let list = |len: usize| json!({"a": {"$in": vec![1; len]}});
        assert!(parse(&list(FILTER_OPERANDS_MAX - 2)).is_ok());
        assert!(parse(&list(FILTER_OPERANDS_MAX - 1)).is_err());
    }
}
