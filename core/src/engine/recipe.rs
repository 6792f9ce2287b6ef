//! What a fingerprint is made of, and what becomes of entries that were made another way.
//!
//! Touches nothing. Invariants: an entry's fingerprint is read the way it was made, which its sequence tells; an entry is
//! rewritten silently only if it is clean and nothing but the recipe has changed, else it is told.

use super::Subscription;
use super::desk::Desk;
use super::shared::Shared;
use super::slot::{Shown, Slot};
use crate::Now;
use crate::event::{SCHEME, fingerprint};
use crate::ledger::{Acked, Fact, RECIPES, Recipe};
use crate::object::{Fingerprint, ObjectKey, Row};
use crate::proof::{Mark, Rule, broken, passed};

impl Desk {
    /// The recipe of the plan in force.
    fn recipe(&self) -> Recipe {
        Recipe { scheme: SCHEME, constant: !self.plan.changes.updated }
    }

    /// What this subscription watches for in a row.
    pub fn fingerprint(&self, row: &Row) -> Fingerprint {
        self.fingerprint_by(self.recipe(), row).unwrap_or(CONSTANT)
    }

    /// `None` for a recipe that is not known any more.
    fn fingerprint_by(&self, recipe: Recipe, row: &Row) -> Option<Fingerprint> {
        match recipe {
            Recipe { constant: true, .. } => Some(CONSTANT),
            // Zero is kept for what is gone, one for the constant.
            Recipe { constant: false, scheme: SCHEME } => {
                Some(Fingerprint(fingerprint(&self.plan.id.uid, row.digest).0.max(2)))
            }
            Recipe { constant: false, scheme: _ } => None,
        }
    }

    /// How the fingerprint of an entry with this sequence was made, if that is still known.
    fn recipe_of(&self, seq: u64) -> Option<Recipe> {
        self.recipes.iter().rev().find(|(since, _)| *since <= seq).map(|(_, recipe)| *recipe)
    }
}

/// Every state is the same.
const CONSTANT: Fingerprint = Fingerprint(1);

impl Subscription {
    /// If the plan's recipe is another one than before, it is recorded, and what is shown is looked at anew.
    pub(super) fn follow_recipe(&mut self, shared: &mut Shared, now: Now) {
        let Self { slots, desk } = self;
        let recipe = desk.recipe();
        if broken(Rule::RecipesAreFollowed) && !desk.recipes.is_empty() {
            return;
        }
        if desk.recipes.last().is_some_and(|(_, last)| *last == recipe) {
            return;
        }
        passed(Mark::RecipeChanged);
        let seq = shared.record(now, desk, Fact::Recipe { recipe });
        desk.recipes.push((seq, recipe));
        let surplus = desk.recipes.len().saturating_sub(RECIPES);
        desk.recipes.drain(..surplus);
        for slot in slots.values_mut() {
            if let Shown::Selected { row, fp, .. } = &mut slot.shown {
                *fp = desk.fingerprint(row);
            }
        }
    }
}

/// Rewrites the slot's entry if it was made by another recipe and the row is what was acknowledged.
pub(super) fn rewrite(desk: &Desk, shared: &mut Shared, now: Now, key: &ObjectKey, slot: &mut Slot) {
    let (Some(acked), Shown::Selected { row, rv, fp }) = (slot.acked, &slot.shown) else { return };
    let current = desk.recipes.last().is_none_or(|(since, _)| *since <= acked.seq);
    // One that is older than the last resync is told again anyway; a stale row proves nothing.
    if current || slot.sending.is_some() || acked.seq < desk.resync || *rv < acked.rv {
        return;
    }
    let before = desk.recipe_of(acked.seq);
    let same_version = *rv == acked.rv && *rv > 0;
    let same = same_version || before.and_then(|recipe| desk.fingerprint_by(recipe, row)) == Some(acked.fp);
    if before == Some(desk.recipe()) || !same {
        if !same {
            passed(Mark::NotRewritten);
        }
        return;
    }
    passed(Mark::Rewritten);
    let (rv, fp) = (*rv, *fp);
    let fact = Fact::Adopt { object: key.clone(), named: slot.named.clone(), rv, fp };
    let seq = shared.record(now, desk, fact);
    slot.acked = Some(Acked { seq, rv, fp });
}
