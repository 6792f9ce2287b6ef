//! The pages, each played as one story.

use std::collections::BTreeSet;
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::blocks::{self, Block, Shown, What};
use crate::exceptions::{EXCEPTIONS, Exception, is_excepted};
use crate::stage::{Stage, WITHIN, root};

const README: &str = "README.md";
/// The other pages with blocks that are run, each with what its reader has done besides.
const PAGES: [(&str, &str); 7] = [
    ("docs/configuration.md", ""),
    ("docs/gitops.md", "kubectl create secret generic -n shop changehook-signing --from-literal=secret=a"),
    ("docs/install.md", ""),
    ("docs/operations.md", ""),
    ("docs/plugin.md", ""),
    ("examples/mcp/README.md", ""),
    ("examples/receivers/README.md", ""),
];

#[tokio::test]
async fn the_readme_is_one_story_from_an_empty_cluster_on() {
    let mut stage = Stage::set_in_an_empty_cluster().await;
    stage.plays(README).await;
    // what it tells to build, which cannot be done here, is what comes up
    let of = "deployment changehook --namespace changehook-system --output jsonpath={..image}";
    let image = stage.succeeds(&format!("kubectl get {of}")).await;
    assert!(
        blocks_of(README).iter().any(|block| block.first_line() == format!("docker build --tag {image} .")),
        "{image}"
    );
    // the last thing it tells to do is to make an object of which the reader's own endpoint hears
    let heard = stage.receiver.wait_for("/webhook", 1, WITHIN).await.unwrap();
    let body: Value = serde_json::from_slice(&heard[0].body).unwrap();
    assert_eq!((&body["change"]["change_type"], &body["change"]["resource"]["name"]), (&json!("new"), &json!("hello")));
}

#[tokio::test]
async fn every_other_page_is_a_story_for_who_has_done_the_readmes_set_up() {
    for (page, before) in PAGES {
        let mut stage = Stage::set().await;
        stage.succeeds("kubectl apply -f examples/quickstart.yaml").await;
        stage.succeeds("kubectl wait --for=condition=Ready --timeout=50s whsub/my-integration").await;
        stage.succeeds(before).await;
        stage.plays(page).await;
    }
}

/// README.md, and all pages in docs/ and examples/.
fn pages() -> BTreeSet<String> {
    let mut found = BTreeSet::from([README.to_owned()]);
    let mut folders = vec![PathBuf::from("docs"), PathBuf::from("examples")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(root().join(&folder)).unwrap() {
            let path = folder.join(entry.unwrap().file_name());
            if root().join(&path).is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "md") {
                found.insert(path.to_str().unwrap().to_owned());
            }
        }
    }
    found
}

fn blocks_of(page: &str) -> Vec<Block> {
    blocks::of(&std::fs::read_to_string(root().join(page)).unwrap())
}

#[test]
fn every_page_with_blocks_is_played_and_every_exception_is_a_block() {
    for exception in EXCEPTIONS {
        let Exception { page, first_line, reason } = exception;
        let found = blocks_of(page).iter().filter(|block| block.first_line() == *first_line).count();
        assert_eq!(found, 1, "{page}: {first_line} ({reason:?})");
    }
    let to_play: BTreeSet<_> =
        pages().into_iter().filter(|page| blocks_of(page).iter().any(|block| !is_excepted(page, block))).collect();
    let played: BTreeSet<_> = PAGES.map(|(page, _)| page).into_iter().chain([README]).map(str::to_owned).collect();
    assert_eq!(played, to_play);
}

/// The README's first block shows a cluster that nobody has, in columns that everybody has.
#[test]
fn what_is_shown_and_not_run_has_the_columns_of_what_is_run() {
    let tables = |block: &Block| match &block.what {
        What::Session(all) => all
            .iter()
            .filter(|shown| shown.command.starts_with("kubectl get whsub") && !shown.command.contains("--output"))
            .cloned()
            .collect(),
        What::Manifest(_)
        | What::Fragment(_)
        | What::Values(_)
        | What::Script(_)
        | What::Instead
        | What::EmptyCluster => Vec::new(),
    };
    let tables: Vec<Shown> = blocks_of(README).iter().flat_map(tables).collect();
    let columns = |shown: &Shown| shown.output[0].split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(tables.len() >= 4 && tables.iter().all(|shown| columns(shown) == columns(&tables[0])), "{tables:?}");
}
