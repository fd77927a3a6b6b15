//! From sampled allocations to an estimate of all of them.

/// Objects and bytes of which `count` and `bytes` were sampled, with one sample in `rate_bytes` allocated on average
/// (`scaleHeapSample` in `runtime/pprof/protomem.go`, to the last bit: the numbers are compared with Go's).
///
/// A sample of average size S is taken with probability 1 - exp(-S / rate).
pub fn heap_sample(count: i64, bytes: i64, rate_bytes: i64) -> (i64, i64) {
    if count == 0 || bytes == 0 {
        return (0, 0);
    }
    // With a rate of 1 all were sampled; with less, nothing is known about how they were.
    if rate_bytes <= 1 {
        return (count, bytes);
    }
    #[expect(clippy::cast_precision_loss, reason = "as Go does")]
    let (count, bytes, rate_bytes) = (count as f64, bytes as f64, rate_bytes as f64);
    let scale = 1.0 / (1.0 - (-(bytes / count) / rate_bytes).exp());
    #[expect(clippy::cast_possible_truncation, reason = "rounds towards zero, as Go does")]
    let scaled = ((count * scale) as i64, (bytes * scale) as i64);
    scaled
}

#[cfg(test)]
mod tests {
    use super::heap_sample;

    #[test]
    fn samples_scale_as_in_go() {
        // Printed by `runtime/pprof`'s own function.
        for (count, bytes, rate, expected) in [
            (0, 0, 524_288, (0, 0)),
            (3, 0, 524_288, (0, 0)),
            (1, 524_288, 524_288, (1, 829_411)),
            (1, 16, 524_288, (32_768, 524_296)),
            (100, 102_400, 524_288, (51_250, 52_480_016)),
            (1, 1_048_576, 524_288, (1, 1_212_696)),
            (12_345, 592_560, 524_288, (134_846_492, 6_472_631_644)),
            (7, 700, 1, (7, 700)),
            (7, 700, 0, (7, 700)),
            (7, 700, -1, (7, 700)),
        ] {
            assert_eq!(heap_sample(count, bytes, rate), expected, "{count} of {bytes} at {rate}");
        }
    }
}
