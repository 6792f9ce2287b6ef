//! The blocks that no test runs, each with the reason. A closed list: an entry whose block is gone fails the test.

use crate::blocks::Block;

/// Why a block is not run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// It builds or tests this project, which is what is going on.
    BuildsTheProject,
    /// It builds an image for a cluster's nodes; there are no containers here.
    NeedsContainers,
    /// It is a server in the foreground; tests/receivers runs the same program.
    RunsUntilStopped,
    /// It shows what somebody else's cluster looked like one day; no command of the reader brings it about.
    Illustration,
}

/// A block, by its page and its first line.
pub struct Exception {
    pub page: &'static str,
    pub first_line: &'static str,
    pub reason: Reason,
}

const fn exception(page: &'static str, first_line: &'static str, reason: Reason) -> Exception {
    Exception { page, first_line, reason }
}

/// Whether a block is on the list.
pub fn is_excepted(page: &str, block: &Block) -> bool {
    EXCEPTIONS.iter().any(|exception| exception.page == page && exception.first_line == block.first_line())
}

pub const EXCEPTIONS: &[Exception] = &[
    exception("README.md", "kubectl get whsub", Reason::Illustration),
    exception(
        "README.md",
        "cargo demo                # control plane, receiver and operator, told as a story in the terminal",
        Reason::BuildsTheProject,
    ),
    exception("README.md", "cargo install --path . --bin kubectl-changehook", Reason::BuildsTheProject),
    exception("README.md", "docker build --tag changehook/changehook:0.1.0 .", Reason::NeedsContainers),
    exception("docs/install.md", "docker build --tag REGISTRY/changehook:0.1.0 .", Reason::NeedsContainers),
    exception(
        "examples/receivers/README.md",
        "WEBHOOK_SECRET=your-secret-key node examples/receivers/node/server.js",
        Reason::RunsUntilStopped,
    ),
];
