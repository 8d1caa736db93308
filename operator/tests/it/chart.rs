//! The Helm chart as helm renders it, and as a real kube-apiserver takes it.

mod installed;
mod rendered;
