//! A label selector as kubectl writes it, as the one of a subscription.
//!
//! Touches nothing. Invariant: what is not understood is an error, never left out; whether labels are well formed is
//! checked with the whole spec.

use serde_json::{Map, Value, json};

/// `a=b,c!=d,e in (x,y),f notin (z),g,!h` as `matchLabels` and `matchExpressions`.
pub fn parse(text: &str) -> Result<Value, String> {
    let (mut labels, mut expressions) = (Map::new(), Vec::new());
    for part in parts(text)? {
        let expression = |key: &str, operator: &str, values: &[&str]| {
            let mut expression = json!({"key": key.trim(), "operator": operator});
            if !values.is_empty() {
                expression["values"] = json!(values);
            }
            expression
        };
        if let Some((key, values)) = set(part, " notin ", " notin(")? {
            expressions.push(expression(key, "NotIn", &values));
        } else if let Some((key, values)) = set(part, " in ", " in(")? {
            expressions.push(expression(key, "In", &values));
        } else if let Some((key, value)) = part.split_once("!=") {
            expressions.push(expression(key, "NotIn", &[value.trim()]));
        } else if let Some((key, value)) = part.split_once("==").or_else(|| part.split_once('=')) {
            if labels.insert(key.trim().to_owned(), json!(value.trim())).is_some() {
                return Err(format!("--selector asks for two values of {}; nothing has both", key.trim()));
            }
        } else if let Some(key) = part.strip_prefix('!') {
            expressions.push(expression(key, "DoesNotExist", &[]));
        } else {
            expressions.push(expression(part, "Exists", &[]));
        }
    }
    let mut selector = Map::new();
    if !labels.is_empty() {
        selector.insert("matchLabels".to_owned(), Value::Object(labels));
    }
    if !expressions.is_empty() {
        selector.insert("matchExpressions".to_owned(), Value::Array(expressions));
    }
    Ok(Value::Object(selector))
}

/// Splits at the commas outside of parentheses.
fn parts(text: &str) -> Result<Vec<&str>, String> {
    let mut open = false;
    let mut balanced = true;
    let parts: Vec<&str> = text
        .split(|letter| {
            match letter {
                '(' => {
                    balanced &= !open;
                    open = true;
                }
                ')' => {
                    balanced &= open;
                    open = false;
                }
                _ => {}
            }
            letter == ',' && !open
        })
        .map(str::trim)
        .collect();
    if !balanced || open {
        return Err("--selector: a parenthesis is missing; write it like app=shop,tier in (web,api)".to_owned());
    }
    if parts.contains(&"") {
        return Err("--selector: there is nothing before or after a comma; write it like app=shop,tier=web".to_owned());
    }
    Ok(parts)
}

/// `key in (a,b)`: the key and the values.
fn set<'a>(part: &'a str, word: &str, tight: &str) -> Result<Option<(&'a str, Vec<&'a str>)>, String> {
    let Some((key, rest)) = part.split_once(word).or_else(|| part.split_once(tight)) else { return Ok(None) };
    let rest = rest.trim();
    let inner = rest.strip_prefix('(').unwrap_or(rest).strip_suffix(')');
    match inner {
        Some(values) if !values.trim().is_empty() => Ok(Some((key, values.split(',').map(str::trim).collect()))),
        Some(_) | None => Err(format!("--selector: {part}: values go in parentheses, like tier in (web,api)")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_that_kubectl_understands_is_understood() {
        let read = parse("a=b, c==d,e!=f,g in (x, y),h notin (z),i,!j,k in(v)").unwrap();
        assert_eq!(
            read,
            json!({"matchLabels": {"a": "b", "c": "d"}, "matchExpressions": [
                {"key": "e", "operator": "NotIn", "values": ["f"]},
                {"key": "g", "operator": "In", "values": ["x", "y"]},
                {"key": "h", "operator": "NotIn", "values": ["z"]},
                {"key": "i", "operator": "Exists"},
                {"key": "j", "operator": "DoesNotExist"},
                {"key": "k", "operator": "In", "values": ["v"]},
            ]})
        );
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for (text, message) in [
            ("", "nothing before or after a comma"),
            ("a=b,", "nothing before or after a comma"),
            ("a in (b", "a parenthesis is missing"),
            ("a in b", "values go in parentheses"),
            ("a in ()", "values go in parentheses"),
            ("a=b,a=c", "two values of a"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(message), "{text}: {error}");
        }
    }
}
