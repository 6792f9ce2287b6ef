//! The pages, each played as one story.

use std::collections::BTreeSet;
use std::path::PathBuf;

use testbed::{ControlPlane, Operator, OperatorOptions};
use tokio::sync::OnceCell;

use crate::blocks::{self, Block, Shown, What};
use crate::exceptions::{EXCEPTIONS, Exception, is_excepted};
use crate::stage::{Stage, root};

const README: &str = "README.md";
/// The other pages with blocks that are run, each with what its reader has done besides.
const PAGES: [(&str, &str); 5] = [
    ("docs/configuration.md", ""),
    (
        "docs/gitops.md",
        "kubectl create namespace shop; kubectl create secret generic -n shop changehook-signing --from-literal=secret=a",
    ),
    ("docs/install.md", ""),
    ("examples/mcp/README.md", ""),
    ("examples/receivers/README.md", ""),
];

/// The control plane that all pages but the README share, with the CRDs.
pub async fn plane() -> &'static ControlPlane {
    static READY: OnceCell<()> = OnceCell::const_new();
    let plane = ControlPlane::shared().await;
    READY.get_or_init(|| async { plane.apply_crds(&root().join("crds")).await.unwrap() }).await;
    plane
}

/// The operator there.
pub async fn operator() -> &'static Operator {
    static OPERATOR: OnceCell<Operator> = OnceCell::const_new();
    let start = || async {
        let mut options = OperatorOptions::new(env!("CARGO_BIN_EXE_changehook"), plane().await);
        // a machine that stands still takes no test its operator
        for (name, seconds) in [("lease-duration-seconds", "90"), ("lease-renew-deadline-seconds", "60")] {
            options.settings.insert(name, seconds.to_owned());
        }
        Operator::start(options).await.unwrap()
    };
    OPERATOR.get_or_init(start).await
}

#[tokio::test]
async fn the_readme_is_one_story_from_an_empty_cluster_on() {
    Stage::set_in_an_empty_cluster().await.plays(README).await;
}

#[tokio::test]
async fn every_other_page_is_a_story_for_who_has_done_the_readmes_set_up() {
    operator().await;
    for (page, before) in PAGES {
        let mut stage = Stage::set(plane().await).await;
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
        What::Session(all) => {
            all.iter().filter(|shown| shown.command.starts_with("kubectl get whsub")).cloned().collect()
        }
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
