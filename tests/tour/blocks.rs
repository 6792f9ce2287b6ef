//! The blocks of a page that tell people to do something: what they are, and how they are read. Touches nothing.
//!
//! - `yaml` with an `apiVersion` is a manifest: it is applied.
//! - `yaml` that begins with `spec:` is a fragment of a subscription: it is merged into `my-integration`, which the page's
//!   reader has.
//! - `yaml values` are values of the chart: the release is upgraded with them.
//! - `console`, `sh` and `bash` are commands. A block in which a line begins with `$ ` shows commands and, below each, what
//!   it prints; any other is a script as a whole.
//!
//! A line `<!-- instead -->` says that what comes is another way to what came before, so the subscriptions are undone; a line
//! `<!-- from an empty cluster -->`, that it begins there.
//!
//! All other languages are for reading.

/// A block that is run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// The line of the page on which it begins.
    pub line: usize,
    pub what: What,
}

/// What is done with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    Manifest(String),
    Fragment(String),
    Values(String),
    Script(String),
    Session(Vec<Shown>),
    Instead,
    EmptyCluster,
}

/// A command, and what it is said to print.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shown {
    pub command: String,
    pub output: Vec<String>,
}

impl Block {
    /// Its first line, by which the list of exceptions names it.
    pub fn first_line(&self) -> &str {
        let text = match &self.what {
            What::Manifest(text) | What::Fragment(text) | What::Values(text) | What::Script(text) => text,
            What::Session(all) => all.first().map_or("", |shown| &shown.command),
            What::Instead | What::EmptyCluster => "",
        };
        text.lines().next().unwrap_or_default()
    }
}

/// Where a block begins.
struct Fence<'a> {
    line: usize,
    indent: usize,
    language: &'a str,
}

/// The blocks of a page, in order.
pub fn of(page: &str) -> Vec<Block> {
    let mut found = Vec::new();
    let mut open: Option<(Fence<'_>, Vec<&str>)> = None;
    for (at, line) in page.lines().enumerate() {
        let text = line.trim_start();
        open = match (open, text.strip_prefix("```")) {
            (None, Some(language)) => {
                Some((Fence { line: at + 1, indent: line.len() - text.len(), language }, Vec::new()))
            }
            (Some((fence, lines)), Some(_)) => {
                found.extend(what(fence.language, &lines).map(|what| Block { line: fence.line, what }));
                None
            }
            (Some((fence, mut lines)), None) => {
                // a block in a list is as deep as its fence
                lines.push(line.get(fence.indent..).unwrap_or_default());
                Some((fence, lines))
            }
            (None, None) => {
                let what = match line {
                    "<!-- instead -->" => Some(What::Instead),
                    "<!-- from an empty cluster -->" => Some(What::EmptyCluster),
                    _ => None,
                };
                found.extend(what.map(|what| Block { line: at + 1, what }));
                None
            }
        };
    }
    assert!(open.is_none(), "a block does not end");
    found
}

fn what(language: &str, lines: &[&str]) -> Option<What> {
    let text = || lines.iter().fold(String::new(), |all, line| all + line + "\n");
    match language {
        "yaml" if lines.iter().any(|line| line.starts_with("apiVersion:")) => Some(What::Manifest(text())),
        "yaml" => {
            assert!(lines.contains(&"spec:"), "neither a manifest nor a fragment: {lines:?}");
            Some(What::Fragment(text()))
        }
        "yaml values" => Some(What::Values(text())),
        "console" | "sh" | "bash" if lines.iter().any(|line| line.starts_with("$ ")) => {
            Some(What::Session(session(lines)))
        }
        "console" | "sh" | "bash" => Some(What::Script(text())),
        _ => None,
    }
}

fn session(lines: &[&str]) -> Vec<Shown> {
    let mut all: Vec<Shown> = Vec::new();
    let mut continued = false;
    for line in lines {
        match (line.strip_prefix("$ "), all.last_mut()) {
            (Some(command), _) => all.push(Shown { command: command.to_owned(), output: Vec::new() }),
            (None, Some(shown)) if continued => shown.command = format!("{}\n{line}", shown.command),
            (None, Some(shown)) => shown.output.push((*line).to_owned()),
            (None, None) => panic!("a session begins with what nobody asked for: {line}"),
        }
        continued = line.ends_with('\\');
    }
    all
}

/// Whether a command's output is as it is shown: each line that is shown is there, in order, whatever is between them.
///
/// Words are compared, not the space between them. `…` stands for any rest of a word, or of a line; an age for any age, and
/// a number of ten digits or more for any other.
pub fn is_as_shown(shown: &[String], output: &str) -> Result<(), String> {
    let mut lines = output.lines();
    for wanted in shown {
        if !lines.any(|line| line_fits(wanted, line)) {
            return Err(format!("no line like {wanted:?}, in this place, in:\n{output}"));
        }
    }
    Ok(())
}

fn line_fits(shown: &str, line: &str) -> bool {
    let mut words = line.split_whitespace();
    for wanted in shown.split_whitespace() {
        if wanted == "…" {
            return true;
        }
        if !words.next().is_some_and(|word| word_fits(wanted, word)) {
            return false;
        }
    }
    words.next().is_none()
}

fn word_fits(shown: &str, word: &str) -> bool {
    let age = |text: &str| {
        text.starts_with(|c: char| c.is_ascii_digit())
            && text.ends_with(['s', 'm', 'h', 'd', 'y'])
            && text.chars().all(|c| c.is_ascii_digit() || "smhdy".contains(c))
    };
    if shown == word || (age(shown) && age(word)) {
        return true;
    }
    if let Some((before, after)) = shown.split_once('…') {
        return word.len() >= before.len() + after.len() && word.starts_with(before) && word.ends_with(after);
    }
    let long =
        |text: &str| text.rsplit('=').next().is_some_and(|n| n.len() >= 10 && n.bytes().all(|b| b.is_ascii_digit()));
    let name = |text: &str| text.rsplit_once('=').map_or(String::new(), |(name, _)| name.to_owned());
    long(shown) && long(word) && name(shown) == name(word)
}

mod tests {
    use super::*;

    #[test]
    fn blocks_are_read_by_their_language_and_what_is_in_them() {
        let page = "text\n```yaml\napiVersion: v1\n```\n\n```yaml\nspec:\n  suspend: true\n```\n```json\n{}\n```\n```console\n\
                    kubectl get pods # all\n```\n  ```sh\n  $ echo \\\n    a\n  a\n  $ true\n  ```\n<!-- instead -->\n";
        let shown = |command: &str, output: &[&str]| Shown {
            command: command.to_owned(),
            output: output.iter().map(|line| (*line).to_owned()).collect(),
        };
        let expected = [
            (2, What::Manifest("apiVersion: v1\n".to_owned())),
            (6, What::Fragment("spec:\n  suspend: true\n".to_owned())),
            (13, What::Script("kubectl get pods # all\n".to_owned())),
            (16, What::Session(vec![shown("echo \\\n  a", &["a"]), shown("true", &[])])),
            (22, What::Instead),
        ];
        assert_eq!(of(page), expected.map(|(line, what)| Block { line, what }));
    }

    #[test]
    fn output_is_compared_word_by_word_but_for_ages_long_numbers_and_ellipses() {
        let fits = |shown: &str, output: &str| {
            is_as_shown(&shown.lines().map(str::to_owned).collect::<Vec<_>>(), output).is_ok()
        };
        assert!(fits("NAME  AGE\na     12d", "NAME   AGE\nb 1s\na   3m12s\n"));
        assert!(fits("verified sequence=3731590134923271", "verified sequence=1000000000000000"));
        assert!(fits("chg_… and so …", "chg_0f and so on, for ever"));
        for (shown, output) in [
            ("a True", "a False"),
            ("a", "a b"),
            ("a b", "a"),
            ("b\na", "a\nb"),
            ("3", "4"),
            ("12d", "twelve"),
            ("sequence=3731590134923271", "sequence=7"),
            ("sequence=3731590134923271", "other=1000000000000000"),
            ("aa…aa", "aaa"),
        ] {
            assert!(!fits(shown, output), "{shown} {output}");
        }
    }
}
