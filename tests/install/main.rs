//! Installing: the charts by real helm into a real API server, the plain manifests by real kubectl, and the operator as
//! its Deployment says. One file a theme, one sentence a test.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, and so do its helpers")]

mod admission;
mod forms;
mod image;
mod life;
mod namespaces;
mod needed;
mod permissions;
mod refusals;
mod rendered;
mod rights;
mod site;
mod values;
