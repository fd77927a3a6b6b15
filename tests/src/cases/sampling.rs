//! Samples against `/proc`, and the routes they come by against each other.

use crate::case::Case;
use crate::need::Need;
use crate::sampling::{
    descriptors_equal_the_oracle, kept_counts_equal_listings, many_descriptors_are_counted,
    samples_by_both_routes_are_equal, sockets_of_another_network_namespace,
};

/// The cases.
pub fn cases() -> Vec<Case> {
    vec![
        Case::new("sampling::descriptors_equal_the_oracle", [Need::Root], descriptors_equal_the_oracle),
        Case::new("sampling::many_descriptors_are_counted", [Need::Root], many_descriptors_are_counted),
        Case::new("sampling::kept_counts_equal_listings", [Need::Root], kept_counts_equal_listings),
        Case::new(
            "sampling::sockets_of_another_network_namespace",
            [Need::Root],
            sockets_of_another_network_namespace,
        ),
        Case::new(
            "sampling::samples_by_both_routes_are_equal",
            [Need::Root],
            samples_by_both_routes_are_equal,
        ),
    ]
}
