//! Stories of what comes back: an object before its end was told, a name with another owner, a change type that was not told.

use crate::patterns::{answer, commit, hear, trouble};
use crate::random::Random;
use crate::schedule::{Answer, Edit, Fate, Step};
use crate::stories::{badly, object, windows};

/// Whatever is under way is answered well, and durable.
fn deliver(steps: &mut Vec<Step>) {
    for _ in 0..3 {
        steps.extend([commit(), answer(Answer::Fine), answer(Answer::Fine)]);
    }
    steps.extend([Step::Wait { ms: 1_600, lazy: false }, commit()]);
}

/// An object leaves the selection and is back before the endpoint has answered to that; meanwhile the selection is edited.
pub fn back_before_its_end(random: &mut Random, steps: &mut Vec<Step>) {
    let (kind, name) = object(random);
    let edit = |choice| Step::Edit { subscription: 1, edit: Edit::Select { interest: kind, choice } };
    steps.push(edit(0));
    deliver(steps);
    steps.extend([Step::Touch { kind, name, content: 0 }, hear(kind)]);
    deliver(steps);
    let toggle = Step::Label { kind, name, label: 0 };
    steps.extend([toggle, hear(kind), commit(), toggle, hear(kind)]);
    if random.one_in(4) {
        trouble(random, steps);
    }
    steps.extend([edit(1 + random.byte() % 2), answer(if random.one_in(4) { badly(random) } else { Answer::Fine })]);
    deliver(steps);
}

/// The end of an object is refused, the next of its name is told and may be known, and then leaves the selection.
pub fn heirs(random: &mut Random, steps: &mut Vec<Step>) {
    let (kind, name) = object(random);
    steps.push(Step::Edit { subscription: 1, edit: Edit::Select { interest: kind, choice: 0 } });
    deliver(steps);
    steps.extend([Step::Touch { kind, name, content: 0 }, hear(kind)]);
    deliver(steps);
    steps.extend([Step::Delete { kind, name, again: true }, hear(kind), commit()]);
    for _ in 0..4 {
        steps.push(answer(Answer::Unprocessable));
    }
    steps.push(commit());
    for _ in 0..4 {
        steps.push(answer(if random.one_in(3) { badly(random) } else { Answer::Unheard }));
    }
    steps.extend([Step::Label { kind, name, label: 0 }, hear(kind)]);
    if random.one_in(3) {
        trouble(random, steps);
    }
    steps.push(Step::Edit { subscription: 1, edit: Edit::Secret });
    deliver(steps);
    steps.extend([Step::Label { kind, name, label: 0 }, hear(kind)]);
}

/// What is told is edited, while things change.
pub fn told_otherwise(random: &mut Random, steps: &mut Vec<Step>) {
    let (kind, name) = object(random);
    for content in [0, 1, 0] {
        let end = if random.one_in(3) { badly(random) } else { Answer::Fine };
        windows(random, steps, Step::Touch { kind, name, content }, kind, end, 9);
        let edit = Edit::Changes { bits: random.byte() % 8 };
        steps.push(Step::Edit { subscription: random.byte() % 2, edit });
        if random.one_in(2) {
            steps.extend([Step::Touch { kind, name, content: content + 1 }, hear(kind), commit()]);
        }
    }
    steps.push(Step::Edit { subscription: random.byte() % 2, edit: Edit::Changes { bits: 7 } });
}

/// An object is told and deleted; whoever takes over is shown a list from before it was, and then a newer one.
pub fn before_it_was(random: &mut Random, steps: &mut Vec<Step>) {
    let (kind, name) = object(random);
    steps.extend([Step::Touch { kind, name, content: 0 }, hear(kind)]);
    deliver(steps);
    steps.push(Step::Delete { kind, name, again: random.one_in(3) });
    let (fate, bits) = (Fate::Fails, random.byte());
    steps.extend([Step::TakeOver { paused: false, fate, bits }, Step::StaleList { kind, behind: 2 }]);
    let others = random.byte() % 3;
    steps.extend([Step::Hear { old: false, kind, events: 1 + others }, commit(), answer(Answer::Fine)]);
    steps.extend([Step::Relist { kind, lossy: true }, hear(kind), hear(kind)]);
    deliver(steps);
}
