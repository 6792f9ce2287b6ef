//! Schedules that failed once, in their shortest form. Each is a sentence about what was wrong.

use changehook_core::plan::OnLoss;

use crate::play::{Watch, play};
use crate::schedule::{Answer, Damage, Edit, Fate, Finish, Schedule, Setup, Step};

const HEAR: Step = Step::Hear { old: false, kind: 0, events: 3 };
const COMMIT: Step = Step::Commit { old: false, fate: Fate::Lands };
const LATER: Step = Step::Wait { ms: 1_600, lazy: false };
const CRASH: Step = Step::TakeOver { paused: false, fate: Fate::Lands, bits: 0xff };
const UNREADABLE: Step = Step::BrokenList { kind: 0, name: 0, nameless: false };

fn touch(name: u8) -> Step {
    Step::Touch { kind: 0, name, content: 0 }
}

fn answer(answer: Answer) -> Step {
    Step::Answer { old: false, pick: 0, answer }
}

fn edit(edit: Edit) -> Step {
    Step::Edit { subscription: 0, edit }
}

fn select(choice: u8) -> Step {
    edit(Edit::Select { interest: 0, choice })
}

fn play_out(steps: &[&[Step]], finish: Finish, setup: impl FnOnce(&mut Setup)) {
    let mut schedule =
        Schedule { setup: Setup { subscriptions: 1, ..Setup::default() }, steps: steps.concat(), finish };
    setup(&mut schedule.setup);
    play(&schedule, Watch::default());
}

#[test]
fn a_permit_goes_back_to_its_own_host_although_the_host_was_edited_before_the_request_left() {
    let steps = [touch(0), HEAR, edit(Edit::Host { choice: 1 }), COMMIT, edit(Edit::Withdraw), edit(Edit::Withdraw)];
    play_out(&[&steps, &[answer(Answer::Fine)]], Finish::Repaired, |_| ());
}

#[test]
fn an_edit_does_not_adopt_what_no_list_of_this_leader_could_read() {
    let owed = [edit(Edit::Suspend), touch(0), HEAR, edit(Edit::Hold)];
    play_out(&[&owed, &[CRASH, UNREADABLE, HEAR, select(0)]], Finish::Repaired, |_| ());
}

#[test]
fn an_edit_does_not_adopt_what_is_back_while_the_endpoint_is_told_of_its_end() {
    let label = Step::Label { kind: 0, name: 0, label: 0 };
    let known = [select(0), LATER, COMMIT, touch(0), HEAR, COMMIT, answer(Answer::Fine), LATER, COMMIT];
    let back = [label, HEAR, COMMIT, label, HEAR, edit(Edit::Suspend), select(2), answer(Answer::Fine)];
    play_out(&[&known, &back], Finish::Repaired, |_| ());
}

#[test]
fn an_end_is_told_before_the_name_is_an_earlier_objects_again() {
    let known = [touch(0), HEAR, COMMIT, Step::Delete { kind: 0, name: 0, again: true }, HEAR];
    let refused = [answer(Answer::Unheard), COMMIT, LATER, COMMIT, LATER, COMMIT, answer(Answer::Oversize), COMMIT];
    let back = [Step::SetBack { changes: 2, bits: 0 }, HEAR, COMMIT];
    play_out(&[&known, &refused, &back], Finish::Repaired, |_| ());
}

#[test]
fn the_end_of_what_another_source_had_shown_is_told_before_its_name_is_told_again() {
    let known = [touch(0), HEAR, COMMIT, answer(Answer::Fine), LATER, COMMIT];
    let replaced = [Step::Delete { kind: 0, name: 0, again: true }, Step::Move { kind: 0, busy: false, behind: 0 }];
    let one_by_one = [Step::Hear { old: false, kind: 0, events: 1 }, COMMIT, answer(Answer::Fine)];
    play_out(&[&known, &replaced, &one_by_one], Finish::ByName, |setup| setup.late = false);
}

#[test]
fn what_is_deselected_while_a_watch_moves_is_told_as_removed() {
    let known = [select(0), LATER, COMMIT, touch(0), HEAR, COMMIT, answer(Answer::Fine), LATER, COMMIT];
    let moved = [Step::Label { kind: 0, name: 0, label: 0 }, Step::Move { kind: 0, busy: true, behind: 0 }];
    play_out(&[&known, &moved], Finish::ByItself, |_| ());
}

#[test]
fn a_kind_that_leaves_the_plan_unlisted_does_not_keep_a_loss_from_being_made_up_for() {
    let lost = [Step::Damage { how: Damage::HeadDeleted, pick: 0, bits: 0 }, HEAR, edit(Edit::Kinds { choice: 1 })];
    play_out(&[&[CRASH], &lost], Finish::ByItself, |setup| setup.losses = Some(OnLoss::Adopt));
}

#[test]
fn a_source_that_is_behind_brings_nothing_back() {
    let known = [touch(0), HEAR, COMMIT, answer(Answer::Fine), LATER, COMMIT];
    let gone = [Step::Delete { kind: 0, name: 0, again: true }, HEAR, COMMIT, answer(Answer::Fine), COMMIT];
    let moved = [answer(Answer::Fine), Step::Move { kind: 0, busy: true, behind: 2 }, COMMIT, answer(Answer::Fine)];
    play_out(&[&known, &gone, &moved], Finish::ByName, |setup| setup.late = false);
}

#[test]
fn a_kind_that_goes_while_a_later_version_of_what_was_declared_is_under_way_is_told_as_gone() {
    const HEAR: Step = Step::Hear { old: false, kind: 1, events: 3 };
    let touch = |name, content| Step::Touch { kind: 1, name, content };
    let steps = [touch(0, 0), HEAR, touch(0, 1), CRASH, touch(1, 0), HEAR];
    let goes = [Step::Move { kind: 1, busy: true, behind: 2 }, Step::Serve { kind: 1 }];
    play_out(&[&steps, &goes], Finish::Restarted, |setup| {
        (setup.names, setup.populated) = ([4, 1], false);
    });
}
