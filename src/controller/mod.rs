//! controller

pub mod validate;
