//! Bad manifests, and what is said to each.
