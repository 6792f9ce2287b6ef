//! Breadth-first search: every world that can be reached, each once, the nearest first.

use std::fmt;
use std::time::Instant;

use crate::intern::{Set, digest};
use crate::moves::Step;
use crate::world::{Model, World};

/// What a search came to.
pub struct Report {
    pub name: &'static str,
    pub states: usize,
    /// No state that can be reached was left out.
    pub complete: bool,
    /// The longest path.
    pub depth: usize,
    pub seconds: f64,
    pub size: String,
    pub found: Option<Found>,
}

/// A counterexample, the shortest there is.
pub struct Found {
    pub wrong: String,
    pub path: Vec<String>,
}

/// Looks at up to `limit` states.
pub fn explore(model: &mut Model, root: World, limit: usize) -> Report {
    let begun = Instant::now();
    let mut search = Search { model, seen: Set::default(), parents: Vec::new() };
    let (depth, end) = search.run(root, limit);
    let (states, size) = (search.parents.len(), search.model.size());
    let (complete, found) = match end {
        End::Complete => (true, None),
        End::Limit => (false, None),
        End::Wrong(state, wrong, last) => (false, Some(Found { wrong, path: search.path(root, state, last) })),
    };
    let seconds = begun.elapsed().as_secs_f64();
    Report { name: search.model.setup.name, states, complete, depth, seconds, size, found }
}

struct Search<'a> {
    model: &'a mut Model,
    seen: Set<u64>,
    /// Of each state: the state it was first reached from, and which of that one's moves led to it.
    parents: Vec<(u32, u8)>,
}

enum End {
    Complete,
    Limit,
    /// In this state, or by this move out of it, something is wrong.
    Wrong(u32, String, Option<u8>),
}

impl Search<'_> {
    fn run(&mut self, root: World, limit: usize) -> (usize, End) {
        let mut layer = vec![(root, 0)];
        self.seen.insert(digest(&root));
        self.parents.push((0, 0));
        let (mut depth, mut steps) = (0, Vec::<Step>::new());
        while !layer.is_empty() {
            let mut next = Vec::new();
            for (world, state) in layer {
                if let Err(wrong) = self.model.check(&world) {
                    return (depth, End::Wrong(state, wrong, None));
                }
                self.model.moves(&world, &mut steps);
                for (n, (_, after)) in steps.drain(..).enumerate() {
                    let n = u8::try_from(n).expect("a world has far fewer than 256 moves");
                    let after = match after {
                        Ok(after) => after,
                        Err(wrong) => return (depth, End::Wrong(state, wrong, Some(n))),
                    };
                    if self.seen.insert(digest(&after)) {
                        next.push((after, u32::try_from(self.parents.len()).expect("limited")));
                        self.parents.push((state, n));
                    }
                }
                if self.parents.len() >= limit {
                    return (depth, End::Limit);
                }
            }
            depth += usize::from(!next.is_empty());
            layer = next;
        }
        (depth, End::Complete)
    }

    /// The story of a state, and of the move that is wrong in it.
    fn path(&mut self, root: World, mut state: u32, last: Option<u8>) -> Vec<String> {
        let mut numbers: Vec<u8> = last.into_iter().collect();
        while state != 0 {
            let (parent, n) = self.parents[state as usize];
            numbers.push(n);
            state = parent;
        }
        let (mut world, mut path) = (Some(root), Vec::new());
        for n in numbers.into_iter().rev() {
            let Some(at) = world else { break };
            let mut steps = Vec::new();
            self.model.moves(&at, &mut steps);
            let (step, after) = steps.swap_remove(n as usize);
            path.push(self.model.tell(step));
            world = after.ok();
        }
        path
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, states, complete, depth, seconds, size, found } = self;
        let how = if *complete { "complete" } else { "not complete" };
        let rate = *states as f64 / seconds.max(0.001);
        write!(f, "{name}: {states} states, {how}, up to {depth} steps, {seconds:.0} s, {rate:.0} states/s ({size})")?;
        if let Some(Found { wrong, path }) = found {
            write!(f, "\n  WRONG after {} steps: {wrong}", path.len())?;
            for (n, line) in (1..).zip(path) {
                write!(f, "\n  {n:>3} {line}")?;
            }
        }
        Ok(())
    }
}
