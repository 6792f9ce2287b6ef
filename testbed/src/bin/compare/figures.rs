//! What a run measured, and what a pair of runs a round says about two programs. Reads criterion's files, no more.

use std::{collections::BTreeMap, path::Path};

use serde_json::Value;
use testbed::{Error, Result};

/// Nanoseconds by the bench's name.
pub type Figures = BTreeMap<String, f64>;

/// How long one takes compared with the other, over a few rounds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ratio {
    /// The median of the base's times, in nanoseconds.
    pub base: f64,
    /// The median of the other's.
    pub other: f64,
    /// The median of the rounds' ratios, other over base.
    pub median: f64,
    /// The lowest of them.
    pub lowest: f64,
    /// The highest of them.
    pub highest: f64,
}

impl Ratio {
    /// From the times of each round, base and other; none for no rounds.
    pub fn of(rounds: &[(f64, f64)]) -> Option<Self> {
        let sorted = |value: fn(&(f64, f64)) -> f64| {
            let mut all: Vec<f64> = rounds.iter().map(value).collect();
            all.sort_by(f64::total_cmp);
            all
        };
        let (base, other) = (sorted(|round| round.0), sorted(|round| round.1));
        let ratios = sorted(|(base, other)| other / base);
        let middle = |all: &[f64]| all.get(all.len() / 2).copied();
        Some(Self {
            base: middle(&base)?,
            other: middle(&other)?,
            median: middle(&ratios)?,
            lowest: *ratios.first()?,
            highest: *ratios.last()?,
        })
    }

    /// What may be said of it: a difference that some round did not see is none.
    pub fn in_words(&self) -> &'static str {
        if self.lowest > 1.0 {
            "slower"
        } else if self.highest < 1.0 {
            "faster"
        } else {
            "no difference that this machine can show"
        }
    }
}

/// The medians of all benches whose results criterion wrote below `home`.
pub fn read(home: &Path) -> Result<Figures> {
    let mut found = Figures::new();
    let mut folders = vec![home.to_owned()];
    while let Some(folder) = folders.pop() {
        let failed = |error| Error::caused(format!("failed to read {}", folder.display()), error);
        for entry in std::fs::read_dir(&folder).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            // `base` has the same as `new` after a first run
            if path.is_dir() && !path.ends_with("base") {
                folders.push(path);
            }
        }
        if let (Some(name), Some(median)) =
            (text(&folder.join("benchmark.json"), "/title")?, number(&folder.join("estimates.json"))?)
        {
            found.insert(name, median);
        }
    }
    Ok(found)
}

fn json(path: &Path) -> Result<Option<Value>> {
    if !path.exists() {
        return Ok(None);
    }
    let failed = |error: std::io::Error| Error::caused(format!("failed to read {}", path.display()), error);
    let text = std::fs::read_to_string(path).map_err(failed)?;
    let value = serde_json::from_str(&text);
    value.map(Some).map_err(|error| Error::caused(format!("failed to read {}", path.display()), error))
}

fn text(path: &Path, pointer: &str) -> Result<Option<String>> {
    Ok(json(path)?.and_then(|value| Some(value.pointer(pointer)?.as_str()?.to_owned())))
}

fn number(path: &Path) -> Result<Option<f64>> {
    Ok(json(path)?.and_then(|value| value.pointer("/median/point_estimate")?.as_f64()))
}

/// Nanoseconds as people read them.
pub fn unit(nanoseconds: f64) -> String {
    match nanoseconds {
        ..1e3 => format!("{nanoseconds:.1} ns"),
        ..1e6 => format!("{:.2} µs", nanoseconds / 1e3),
        _ => format!("{:.2} ms", nanoseconds / 1e6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_is_one_only_if_every_round_saw_it() {
        let of = |rounds: &[(f64, f64)]| Ratio::of(rounds).unwrap();
        let slower = of(&[(100.0, 110.0), (50.0, 60.0), (200.0, 230.0)]);
        assert_eq!((slower.base, slower.other, slower.median), (100.0, 110.0, 1.15));
        assert_eq!(slower.in_words(), "slower");
        assert_eq!(of(&[(100.0, 90.0), (100.0, 80.0), (100.0, 99.0)]).in_words(), "faster");
        assert!(of(&[(100.0, 90.0), (100.0, 80.0), (100.0, 101.0)]).in_words().starts_with("no difference"));
        assert_eq!(Ratio::of(&[]), None);
    }

    #[test]
    fn medians_are_read_by_title_and_the_copy_of_a_first_run_is_not() {
        let home = tempfile::tempdir().unwrap();
        for (folder, median) in [("sign/a body/new", 12.5), ("sign/a body/base", 99.0)] {
            let folder = home.path().join(folder);
            std::fs::create_dir_all(&folder).unwrap();
            std::fs::write(folder.join("benchmark.json"), r#"{"title":"sign/a body"}"#).unwrap();
            let estimates = format!(r#"{{"mean":{{"point_estimate":1}},"median":{{"point_estimate":{median}}}}}"#);
            std::fs::write(folder.join("estimates.json"), estimates).unwrap();
        }
        assert_eq!(read(home.path()).unwrap(), [("sign/a body".to_owned(), 12.5)].into());
    }

    #[test]
    fn times_have_the_unit_in_which_they_are_short() {
        assert_eq!(["850.0 ns", "1.25 µs", "3.00 ms"], [850.0, 1250.0, 3e6].map(unit).each_ref().map(String::as_str));
    }
}
