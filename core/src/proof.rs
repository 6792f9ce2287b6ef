//! What the explorer and the simulator need inside the protocol: rules that a test can break, and marks that count which
//! branches a run has been through.
//!
//! Only with the feature `proof`, which this crate's own tests turn on; without it `broken` is `false` at compile time and
//! `passed` does nothing, so the program that ships has neither. State is per thread, so tests do not disturb each other.

mod marks;
mod rules;

pub use marks::Mark;
pub use rules::Rule;

#[cfg(feature = "proof")]
mod on {
    use std::cell::{Cell, RefCell};

    use super::{Mark, Rule};

    const MARKS: usize = 256;

    thread_local! {
        static BROKEN: Cell<Option<Rule>> = const { Cell::new(None) };
        static PASSED: RefCell<[u64; MARKS]> = const { RefCell::new([0; MARKS]) };
    }

    /// Breaks a rule on this thread, or none.
    pub fn break_rule(rule: Option<Rule>) {
        BROKEN.set(rule);
    }

    /// How often this thread has passed each mark, by its number; counts anew from here.
    pub fn take_marks() -> Vec<u64> {
        PASSED.with_borrow_mut(|passed| {
            let taken = passed.to_vec();
            passed.fill(0);
            taken
        })
    }

    /// Whether a test has broken this rule.
    pub fn broken(rule: Rule) -> bool {
        BROKEN.get() == Some(rule)
    }

    pub(crate) fn passed(mark: Mark) {
        PASSED.with_borrow_mut(|passed| passed[mark as usize] += 1);
    }
}

#[cfg(feature = "proof")]
pub(crate) use on::passed;
#[cfg(feature = "proof")]
pub use on::{break_rule, broken, take_marks};

/// Whether a test has broken this rule.
#[cfg(not(feature = "proof"))]
#[inline]
pub(crate) const fn broken(_: Rule) -> bool {
    false
}

/// The protocol came by here.
#[cfg(not(feature = "proof"))]
#[inline]
pub(crate) const fn passed(_: Mark) {}
