//! Open descriptors by type.

use crate::vocabulary::descriptor::DescriptorType;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// How many open descriptors there are of each type.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DescriptorTypes {
    /// Count by type.
    pub counts: BTreeMap<DescriptorType, u64>,
}

impl DescriptorTypes {
    /// All of them.
    pub fn total(&self) -> u64 {
        self.counts.values().sum()
    }

    /// Those that are no sockets.
    pub fn without_sockets(&self) -> u64 {
        self.total() - self.counts.get(&DescriptorType::Socket).copied().unwrap_or(0)
    }
}
