//! The registry that /metrics shows.
//!
//! Touches nothing. Invariant: every metric name starts with `changehook_`; labels are closed sets, never an object's
//! name or an error's text. Rooms register beside their own code.

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

/// The content type of [`text`].
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// A registry that knows the build.
pub fn registry() -> Registry {
    // No prefix: every room registers whole names, so that a search for a name finds where it comes from.
    let mut registry = Registry::default();
    registry.register(
        "changehook_build",
        "The build that runs",
        Info::new(vec![("version", env!("CARGO_PKG_VERSION"))]),
    );
    registry
}

/// The registry in OpenMetrics text form.
pub fn text(registry: &Registry) -> Result<String, std::fmt::Error> {
    let mut text = String::new();
    encode(&mut text, registry)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_names_the_build_and_ends_as_open_metrics_asks() {
        let text = text(&registry()).unwrap();
        let info = format!("changehook_build_info{{version=\"{}\"}} 1\n", env!("CARGO_PKG_VERSION"));
        assert!(text.contains(&info), "{text}");
        assert!(text.ends_with("# EOF\n"), "{text}");
    }
}
