//! Every event that an endpoint was told of, request by request: what was told again, and what must never be told.
//!
//! Where [`crate::Mirror`] knows the outcome, this knows the way. Invariant: only requests whose signature fits count; one
//! that does not is an error.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::{
    error::{Error, Result},
    mirror::normalised,
    receiver::{Request, verify},
};

/// How long an answer may be known to the operator alone: what was answered within this time before a crash may be told
/// again.
pub const ANSWER_AGE: Duration = Duration::from_secs(2);

/// The span in which a process died: from before the signal until it was known to be gone.
#[derive(Clone, Copy, Debug)]
pub struct Kill {
    /// Before the signal.
    pub begun: Instant,
    /// When it was gone.
    pub over: Instant,
}

/// One request as a telling of an event.
#[derive(Clone, Debug)]
pub struct Telling {
    /// The object's uid.
    pub uid: String,
    /// Its name.
    pub name: String,
    /// The event's id.
    pub id: String,
    /// The event's sequence.
    pub sequence: u64,
    /// `new`, `updated` or `removed`.
    pub change: String,
    /// The object as told, without the server's bookkeeping; null for `removed`.
    pub object: Value,
    /// When it came.
    pub arrived: Instant,
    /// When its outcome was given.
    pub finished: Option<Instant>,
    /// What was answered.
    pub status: Option<u16>,
}

/// All tellings, in the order in which they came.
#[derive(Clone, Debug, Default)]
pub struct Tally(pub Vec<Telling>);

impl Telling {
    fn of(request: &Request, key: &[u8]) -> Result<Self> {
        let body = verify(request, key)?;
        let change = &body["change"];
        let text = |value: &Value, what: &str| {
            let text = value.as_str().filter(|text| !text.is_empty()).map(str::to_owned);
            text.ok_or_else(|| Error::new(format!("failed to read a delivery: it has no {what}: {body}")))
        };
        let sequence = change["sequence"].as_u64();
        Ok(Self {
            uid: text(&change["resource"]["uid"], "change.resource.uid")?,
            name: text(&change["resource"]["name"], "change.resource.name")?,
            id: text(&change["id"], "change.id")?,
            sequence: sequence.ok_or_else(|| Error::new("failed to read a delivery: it has no change.sequence"))?,
            change: text(&change["change_type"], "change.change_type")?,
            object: change.get("object").map(normalised).unwrap_or_default(),
            arrived: request.arrived,
            finished: request.finished,
            status: request.status,
        })
    }

    fn taken(&self) -> bool {
        self.status.is_some_and(|status| (200..300).contains(&status))
    }

    /// Whether an operator that died then could not have known for good that this was answered.
    fn unsettled_at(&self, kill: &Kill, age: Duration) -> bool {
        self.arrived <= kill.over && self.finished.is_none_or(|finished| finished + age >= kill.begun)
    }
}

impl Tally {
    /// Of these requests, which are all of one endpoint.
    pub fn of(requests: &[Request], key: &[u8]) -> Result<Self> {
        let mut tellings =
            requests.iter().map(|request| Telling::of(request, key)).collect::<Result<Vec<_>, Error>>()?;
        tellings.sort_by_key(|telling| telling.arrived);
        Ok(Self(tellings))
    }

    /// How many events there were.
    pub fn events(&self) -> usize {
        self.by(|telling| &telling.id).len()
    }

    /// How many requests told of an event that had been told before.
    pub fn repeats(&self) -> usize {
        self.0.len() - self.events()
    }

    /// What must never happen, one line each: an id that means two things, an object whose later event does not have the
    /// higher sequence.
    pub fn contradictions(&self) -> Vec<String> {
        let mut found = Vec::new();
        for (id, tellings) in self.by(|telling| &telling.id) {
            let first = tellings[0];
            let same = |it: &&Telling| {
                (&it.uid, it.sequence, &it.change, &it.object)
                    == (&first.uid, first.sequence, &first.change, &first.object)
            };
            if let Some(other) = tellings.iter().find(|it| !same(it)) {
                found.push(format!("the event {id} is two things: {first:?} and {other:?}"));
            }
        }
        for tellings in self.by(|telling| &telling.uid).into_values() {
            let mut highest = tellings[0];
            for telling in &tellings[1..] {
                if telling.sequence > highest.sequence {
                    highest = telling;
                } else if telling.id != highest.id {
                    found.push(format!("told after a later event: {telling:?}, after {highest:?}"));
                }
            }
        }
        found
    }

    /// States that were told as two events in a row, one line each: only a ledger that is lost, or whoever asks for
    /// everything again, may cause that. That an object is gone may be told twice if a kill came between: it may have
    /// been back meanwhile, declared, and never told.
    pub fn told_twice(&self, kills: &[Kill]) -> Vec<String> {
        let mut found = Vec::new();
        for tellings in self.by(|telling| &telling.uid).into_values() {
            let twice = tellings.windows(2).filter(|two| {
                let between = |kill: &Kill| two[0].arrived <= kill.over && two[1].arrived >= kill.begun;
                let was_back = two[0].object.is_null() && kills.iter().any(between);
                two[0].id != two[1].id && two[0].object == two[1].object && !was_back
            });
            found.extend(twice.map(|two| format!("one state told as two events: {:?} and {:?}", two[0], two[1])));
        }
        found
    }

    /// Requests that told of an event again although the endpoint had taken it and no kill came between that could have
    /// made the operator forget it, one line each. `age` is [`ANSWER_AGE`] and what the machine needs.
    pub fn unexplained_repeats(&self, kills: &[Kill], age: Duration) -> Vec<String> {
        let mut found = Vec::new();
        for (id, tellings) in self.by(|telling| &telling.id) {
            for pair in tellings.windows(2) {
                let (before, again) = (pair[0], pair[1]);
                let explains = |kill: &&Kill| before.unsettled_at(kill, age) && again.arrived >= kill.begun;
                if before.taken() && !kills.iter().any(|kill| explains(&kill)) {
                    let after = again.arrived.saturating_duration_since(before.finished.unwrap_or(before.arrived));
                    found.push(format!("{id} was told again {after:?} after it was taken: {again:?}"));
                }
            }
        }
        found
    }

    /// P4's bound for one kill: requests in flight, and those answered within `age` before it.
    pub fn unsettled(&self, kill: &Kill, age: Duration) -> usize {
        self.0.iter().filter(|telling| telling.unsettled_at(kill, age)).count()
    }

    /// How many events there were of each kind, as `new a`.
    pub fn told(&self) -> BTreeMap<String, usize> {
        let mut told = BTreeMap::new();
        for tellings in self.by(|telling| &telling.id).into_values() {
            *told.entry(format!("{} {}", tellings[0].change, tellings[0].name)).or_insert(0) += 1;
        }
        told
    }

    fn by<'a>(&'a self, key: impl Fn(&'a Telling) -> &'a String) -> BTreeMap<&'a String, Vec<&'a Telling>> {
        let mut groups: BTreeMap<&String, Vec<&Telling>> = BTreeMap::new();
        for telling in &self.0 {
            groups.entry(key(telling)).or_default().push(telling);
        }
        groups
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// `id`, sequence and `n` of the object (none: removed), from when to when in ms; taken unless it has no end.
    fn telling(start: Instant, id: &str, sequence: u64, n: Option<u64>, from: u64, to: Option<u64>) -> Telling {
        Telling {
            uid: "uid".to_owned(),
            name: "a".to_owned(),
            id: id.to_owned(),
            sequence,
            change: if n.is_some() { "updated" } else { "removed" }.to_owned(),
            object: n.map(|n| json!({"n": n})).unwrap_or_default(),
            arrived: start + Duration::from_millis(from),
            finished: to.map(|to| start + Duration::from_millis(to)),
            status: to.map(|_| 200),
        }
    }

    #[test]
    fn repeats_are_explained_by_kills_that_came_soon_enough_and_by_nothing_else() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let kill = |ms| Kill { begun: at(ms), over: at(ms + 5) };
        let tally =
            Tally(vec![telling(start, "x", 1, Some(1), 0, Some(10)), telling(start, "x", 1, Some(1), 5000, None)]);
        assert_eq!((tally.events(), tally.repeats()), (1, 1));
        assert!(tally.contradictions().is_empty());
        for (kills, explained) in [
            (vec![], false),
            (vec![kill(1500)], true),
            (vec![kill(2500)], false),
            (vec![kill(5500)], false),
            (vec![kill(2500), kill(5)], true),
        ] {
            let found = tally.unexplained_repeats(&kills, ANSWER_AGE);
            assert_eq!(found.is_empty(), explained, "{kills:?}: {found:?}");
        }
        assert_eq!((tally.unsettled(&kill(1500), ANSWER_AGE), tally.unsettled(&kill(2500), ANSWER_AGE)), (1, 0));
        // what was not taken has to be told again
        let mut retried = tally;
        retried.0[0].status = Some(500);
        assert!(retried.unexplained_repeats(&[], ANSWER_AGE).is_empty());
    }

    #[test]
    fn what_must_never_be_told_is_found() {
        let start = Instant::now();
        let one = |id: &str, sequence, n| telling(start, id, sequence, n, sequence, Some(sequence));
        let found = |tellings: &[Telling]| Tally(tellings.to_vec()).contradictions();
        let fine =
            [one("a", 1, Some(1)), one("a", 1, Some(1)), one("b", 2, Some(2)), one("c", 3, None), one("d", 4, Some(2))];
        assert!(found(&fine).is_empty());
        assert!(found(&[one("a", 1, Some(1)), one("a", 1, Some(2))])[0].contains("two things"));
        assert!(found(&[one("a", 2, Some(1)), one("b", 1, Some(2))])[0].contains("after a later event"));
        assert!(found(&[one("a", 1, Some(1)), one("b", 1, Some(2))])[0].contains("after a later event"));
        assert!(
            found(&[one("a", 1, Some(1)), one("b", 2, Some(2)), one("a", 1, Some(1))])[0].contains("after a later")
        );
        assert!(Tally(fine.to_vec()).told_twice(&[]).is_empty());
        let kill = Kill { begun: start + Duration::from_millis(1), over: start + Duration::from_millis(2) };
        for n in [Some(1), None] {
            let twice = [one("a", 1, n), one("b", 2, n)];
            assert!(found(&twice).is_empty());
            assert!(Tally(twice.to_vec()).told_twice(&[])[0].contains("as two events"));
            assert_eq!(Tally(twice.to_vec()).told_twice(&[kill]).is_empty(), n.is_none());
        }
    }
}
