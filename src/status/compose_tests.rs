//! The design's table of states, row by row.
