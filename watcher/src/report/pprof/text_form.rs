//! The text form of a profile (`debug=1`), as people save it with curl.
//!
//! `goroutine profile: total 12`, then for each stack its count, its addresses behind an `@` and a line for each
//! frame; of a heap objects and bytes in use, and in brackets those allocated (`runtime/pprof/pprof.go`,
//! `printCountProfile`, `writeHeapInternal`, `printStackRecord`). What the runtime does at the innermost end is left
//! out of the frames there.

use super::{Builder, DecodeError, Function, Profile};
use crate::vocabulary::process::printable;
use std::time::SystemTime;

/// More stacks or frames than this are refused.
const MAX_LINES: usize = 4 << 20;
/// A longer line is no frame.
const MAX_LINE_BYTES: usize = 64 << 10;

/// Which profile a text is.
enum Kind {
    /// One count for each stack.
    Goroutines,
    /// In use and allocated; samples are one in so many bytes.
    Heap { rate_bytes: i64 },
}

/// Whether this begins as a text form does.
pub fn is_text(bytes: &[u8]) -> bool {
    kind(first_line(bytes)).is_some()
}

/// Reads the text form of goroutines or of a heap. The moment is not in it.
///
/// # Errors
/// Where it is neither, or larger than allowed.
pub fn parse(bytes: &[u8]) -> Result<Profile, DecodeError> {
    let malformed = |what| DecodeError::Malformed { what };
    let kind = kind(first_line(bytes)).ok_or(malformed("it begins like no profile's text"))?;
    let mut builder = match kind {
        Kind::Goroutines => Builder::goroutines(SystemTime::UNIX_EPOCH),
        Kind::Heap { rate_bytes } => Builder::heap(SystemTime::UNIX_EPOCH, rate_bytes),
    };
    let mut stack = Stack::default();
    for (number, line) in bytes.split(|byte| *byte == b'\n').enumerate().skip(1) {
        if number > MAX_LINES {
            return Err(DecodeError::TooLarge { what: "lines", limit: MAX_LINES });
        }
        if line.len() > MAX_LINE_BYTES {
            return Err(DecodeError::TooLarge { what: "bytes in one line", limit: MAX_LINE_BYTES });
        }
        let line = String::from_utf8_lossy(line);
        if let Some(frame) = line.strip_prefix("#\t") {
            stack.push(frame);
        } else if line.starts_with('#') || line.trim().is_empty() {
            // Labels, numbers of the memory as a whole, and what parts stacks.
        } else {
            stack.end(&mut builder);
            stack.values = values(&kind, &line).ok_or(malformed("a line is neither a stack nor a frame"))?;
        }
    }
    stack.end(&mut builder);
    let mut profile = builder.build();
    profile.taken = None;
    profile.lacks_leaves = true;
    Ok(profile)
}

fn first_line(bytes: &[u8]) -> &[u8] {
    bytes.split(|byte| *byte == b'\n').next().unwrap_or_default()
}

fn kind(line: &[u8]) -> Option<Kind> {
    let line = std::str::from_utf8(line.get(..line.len().min(200))?).ok()?;
    if let Some(total) = line.strip_prefix("goroutine profile: total ") {
        return total.trim_end().parse::<u64>().is_ok().then_some(Kind::Goroutines);
    }
    let (_, rate) = line.strip_prefix("heap profile: ")?.split_once("@ heap/")?;
    // Twice the rate stands there, for tools of C++ that take it so.
    Some(Kind::Heap { rate_bytes: rate.trim_end().parse::<i64>().ok()? / 2 })
}

/// `12 @ 0x1 0x2`, or `1: 16 [2: 32] @ 0x1`: values as the protobuf has them.
fn values(kind: &Kind, line: &str) -> Option<Vec<i64>> {
    let (numbers, _) = line.split_once('@')?;
    let mut numbers =
        numbers.split([':', '[', ']', ' ']).filter(|word| !word.is_empty()).map(str::parse::<i64>);
    let mut next = || numbers.next()?.ok().filter(|number| *number >= 0);
    match kind {
        Kind::Goroutines => Some(vec![next()?]),
        Kind::Heap { rate_bytes } => {
            let in_use = scaled(next()?, next()?, *rate_bytes);
            let allocated = scaled(next()?, next()?, *rate_bytes);
            Some(vec![allocated.0, allocated.1, in_use.0, in_use.1])
        }
    }
}

/// Estimates objects and bytes from what was sampled (`scaleHeapSample`, `runtime/pprof/protomem.go`): the text has
/// them as sampled, the protobuf as estimated.
fn scaled(objects: i64, bytes: i64, rate_bytes: i64) -> (i64, i64) {
    if objects == 0 || bytes == 0 {
        return (0, 0);
    }
    if rate_bytes <= 1 {
        return (objects, bytes);
    }
    #[expect(clippy::cast_precision_loss, reason = "an estimate, and computed so by Go")]
    let (count, sum, rate) = (objects as f64, bytes as f64, rate_bytes as f64);
    let scale = 1.0 / (1.0 - (-(sum / count) / rate).exp());
    #[expect(clippy::cast_possible_truncation, reason = "saturates")]
    let estimate = ((count * scale) as i64, (sum * scale) as i64);
    estimate
}

#[derive(Default)]
struct Stack {
    values: Vec<i64>,
    /// Those without a symbol have an address alone.
    frames: Vec<(u64, Option<(Function, u32)>)>,
}

impl Stack {
    /// `0x46d03e\tmain.serve+0x5e\t\t/src/main.go:12`, or `0x46d03e`.
    fn push(&mut self, frame: &str) {
        let mut columns = frame.split('\t').filter(|column| !column.is_empty());
        let address = columns.next().and_then(|hex| u64::from_str_radix(hex.strip_prefix("0x")?, 16).ok());
        let Some(address) = address else { return };
        let (Some(function), Some(place)) = (columns.next(), columns.next()) else {
            self.frames.push((address, None));
            return;
        };
        let name = function.rsplit_once("+0x").map_or(function, |(name, _)| name);
        let (file, line) = place.trim_end().rsplit_once(':').unwrap_or((place, "0"));
        let function =
            Function { name: printable(name.as_bytes()), file: printable(file.as_bytes()), start_line: None };
        self.frames.push((address, Some((function, line.parse().unwrap_or(0)))));
    }

    fn end(&mut self, builder: &mut Builder) {
        let values = std::mem::take(&mut self.values);
        let frames = std::mem::take(&mut self.frames);
        if values.is_empty() {
            return;
        }
        let stack = frames.into_iter().map(|(address, line)| builder.location(address, line)).collect();
        builder.sample(stack, values, Vec::new());
    }
}

#[cfg(test)]
mod tests {
    use super::{is_text, parse};
    use crate::report::folded::folded;
    use expect_test::expect;
    use proptest::prelude::*;

    const GOROUTINES: &str = "goroutine profile: total 8\n\
        7 @ 0x43e0ce 0x40b3ad 0x6f1a3c 0x471a21\n\
        # labels: {\"shop\":\"a\"}\n\
        #\t0x6f1a3b\tmain.(*queue).wait+0x5b\t/src/queue.go:31\n\
        \n\
        1 @ 0x4\n\
        #\t0x46d03e\tmain.main+0x5e\t\t/src/main.go:12\n\n";
    const HEAP: &str = "heap profile: 2: 2097152 [3: 3145728] @ heap/1048576\n\
        2: 2097152 [3: 3145728] @ 0x1 0x2\n\
        #\t0x1\tmain.fill+0x1\t/src/fill.go:9\n\
        #\t0x2\tmain.main+0x2\t/src/main.go:10\n\
        \n# runtime.MemStats\n# Alloc = 12\n";

    #[test]
    fn goroutines_and_heaps_are_read() {
        expect![[r"
            main.(*queue).wait 7
            main.main 1
        "]]
        .assert_eq(&folded(&parse(GOROUTINES.as_bytes()).unwrap(), 0));
        let heap = parse(HEAP.as_bytes()).unwrap();
        assert_eq!(heap.period, 524_288);
        expect![[r"
            main.main;main.fill 2425393
        "]]
        .assert_eq(&folded(&heap, 3));
    }

    #[test]
    fn other_texts_are_refused() {
        for text in ["", "goroutine profile: total", "heap profile: 1: 2 [3: 4] @ heap/x", "<html>"] {
            assert!(!is_text(text.as_bytes()) && parse(text.as_bytes()).is_err(), "{text}");
        }
        assert!(parse(b"goroutine profile: total 3\nnonsense\n").is_err());
    }

    proptest! {
        #[test]
        fn never_panics(rest in "(\\PC|\n|\t|#|@|0x){0,200}", heap in any::<bool>()) {
            let first = if heap { "heap profile: 1: 2 [3: 4] @ heap/2\n" } else { "goroutine profile: total 1\n" };
            let _ = parse(format!("{first}{rest}").as_bytes());
        }
    }
}
