//! How the story looks: plain lines, with colour on a terminal only. Never fails: whoever reads may have gone
//! (`cargo demo | head`), and the check at the end counts all the same.

use std::{
    env,
    io::{IsTerminal as _, Write as _},
};

use testbed::mirror::Told;

const PLAIN: &str = "0";
const BOLD: &str = "1";
const DIM: &str = "2";
const GREEN: &str = "32";
const RED: &str = "31";
const CYAN: &str = "36";

/// Where the story is told.
pub struct Screen {
    colour: bool,
    chapter: u32,
}

impl Screen {
    pub fn new() -> Self {
        let is = |name: &str, value: &str| env::var_os(name).is_some_and(|set| set == value);
        let unset = env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Self { colour: std::io::stdout().is_terminal() && unset && !is("TERM", "dumb"), chapter: 0 }
    }

    /// A new part of the story.
    pub fn chapter(&mut self, title: &str) {
        self.chapter += 1;
        line("");
        line(&self.paint(BOLD, &format!("{}. {title}", self.chapter)));
    }

    /// A sentence of the story.
    pub fn say(&self, text: &str) {
        line(&self.paint(PLAIN, &format!("   {text}")));
    }

    /// A command, just before it is run.
    pub fn command(&self, text: &str) {
        line(&self.paint(CYAN, &format!("   $ {text}")));
    }

    /// What a command said.
    pub fn output(&self, text: &str) {
        for printed in text.lines() {
            line(&self.paint(DIM, &format!("     {printed}")));
        }
    }

    /// A delivery whose signature was verified.
    pub fn delivery(&self, told: &Told) {
        let Told { change, name, sequence, news } = told;
        let known = if *news { "" } else { "; its sequence is known, so it is ignored" };
        let mark = self.paint(GREEN, "◀ POST");
        line(&format!("   {mark} {change:<8} {name:<22} sequence {sequence}, signature verified{known}"));
    }

    /// Something came out as it should.
    pub fn good(&self, text: &str) {
        line(&format!("   {} {text}", self.paint(GREEN, "✔")));
    }

    /// Something did not.
    pub fn bad(&self, text: &str) {
        line(&format!("   {} {text}", self.paint(RED, "✘")));
    }

    fn paint(&self, colour: &str, text: &str) -> String {
        if self.colour { format!("\u{1b}[{colour}m{text}\u{1b}[0m") } else { text.to_owned() }
    }
}

fn line(text: &str) {
    let _ = writeln!(std::io::stdout().lock(), "{text}");
}
