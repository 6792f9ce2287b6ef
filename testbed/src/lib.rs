//! The real parts that tests and the demo run against.
