//! Plays a schedule to its end. Whatever goes wrong is a panic in here, and a message outside.

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;

use changehook_core::plan::Change;

use crate::counts::Counts;
use crate::schedule::{Finish, Schedule};
use crate::world::World;

/// How closely a run is looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Watch {
    /// Every decision is compared with the reference model's.
    pub refereed: bool,
    /// The run is told as it goes.
    pub told: bool,
}

pub fn play(schedule: &Schedule, watch: Watch) -> Counts {
    let mut world = World::new(schedule.setup.clone(), watch.refereed, watch.told);
    for step in &schedule.steps {
        world.play(*step);
    }
    world.finish(schedule.finish);
    world.counts.sent = world.sent;
    world.counts
}

impl World {
    fn finish(&mut self, finish: Finish) {
        match finish {
            Finish::Repaired => {
                self.settle_with_a_new_configuration();
                self.check_everything();
            }
            Finish::ByItself => {
                self.settle();
                self.check_everything();
            }
            Finish::ByName => {
                self.settle();
                self.check_everything();
                self.check_names();
            }
            Finish::Touched => {
                self.subscribe_to_everything();
                self.settle_with_a_new_configuration();
                self.touch_everything();
                self.settle();
                self.check_selected_are_held();
            }
            Finish::Restarted => {
                self.settle_with_a_new_configuration();
                let sent = self.sent;
                self.forsaken = true;
                self.start();
                self.settle();
                assert_eq!(self.sent, sent, "a restart with nothing changed sent something");
                self.check_everything();
            }
            Finish::WithoutEnds => {
                self.settle_with_a_new_configuration();
                self.check_selected_are_held();
                assert!(!self.said(Change::Removed), "Removed was told");
            }
            Finish::OnlyEnds => {
                self.settle_with_a_new_configuration();
                assert!(!self.said(Change::New) && !self.said(Change::Updated), "more than ends was told");
            }
        }
    }

    fn said(&self, change: Change) -> bool {
        self.endpoints.iter().any(|endpoint| endpoint.said[change as usize])
    }
}

thread_local! {
    static QUIET: Cell<bool> = const { Cell::new(false) };
    static MESSAGE: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Plays a schedule; what went wrong, if something did, is the answer instead of a panic.
pub fn try_play(schedule: &Schedule, watch: Watch) -> Result<Counts, String> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let loud = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if QUIET.get() {
                MESSAGE.set(info.to_string());
            } else {
                loud(info);
            }
        }));
    });
    QUIET.set(true);
    let played = catch_unwind(AssertUnwindSafe(|| play(schedule, watch)));
    QUIET.set(false);
    played.map_err(|_| MESSAGE.take())
}
