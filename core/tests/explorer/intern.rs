//! Values stored once and named by a number, so that a state of the whole world is a handful of numbers.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::fmt::{Debug, Write};
use std::hash::{BuildHasher, Hash};

use foldhash::quality::FixedState;

pub type Table<K, V> = HashMap<K, V, FixedState>;
pub type Set<K> = HashSet<K, FixedState>;

/// Two values are the same if their 64-bit digests are: with n values, one pair in n² / 2⁶⁵ is taken for one wrongly.
pub struct Pool<T> {
    values: Vec<T>,
    numbers: Table<u64, u32>,
}

impl<T> Default for Pool<T> {
    fn default() -> Self {
        Self { values: Vec::new(), numbers: Table::default() }
    }
}

impl<T> Pool<T> {
    pub fn number(&mut self, digest: u64, value: T) -> u32 {
        let Self { values, numbers } = self;
        *numbers.entry(digest).or_insert_with(|| {
            values.push(value);
            u32::try_from(values.len() - 1).expect("memory ends long before four billion values")
        })
    }

    /// The number of a value that is here already.
    pub fn known(&self, digest: u64) -> Option<u32> {
        self.numbers.get(&digest).copied()
    }

    pub fn get(&self, number: u32) -> &T {
        &self.values[number as usize]
    }

    pub fn len(&self) -> usize {
        self.values.len()
    }
}

impl<T: Hash> Pool<T> {
    pub fn add(&mut self, value: T) -> u32 {
        self.number(digest(&value), value)
    }
}

pub fn digest(value: &(impl Hash + ?Sized)) -> u64 {
    FixedState::default().hash_one(value)
}

/// The digest of all that a value shows of itself: derived `Debug` leaves nothing out. Where a hash map inside shows the
/// same content in another order, two equal values count as two, which costs time and hides nothing.
pub fn digest_of_text(value: &impl Debug) -> u64 {
    thread_local! {
        static TEXT: RefCell<String> = const { RefCell::new(String::new()) };
    }
    TEXT.with_borrow_mut(|text| {
        text.clear();
        write!(text, "{value:?}").expect("a string takes everything");
        digest(text.as_bytes())
    })
}
