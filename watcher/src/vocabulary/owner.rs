//! The vocabulary for whose code a function is, told by its name.
//!
//! Plain values; nothing here reads the system.

/// Whose code it is. The order is that of preference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Owner {
    /// The program's own: package `main`, and the main module.
    Own,
    /// Another module's: the first element of its path has a dot.
    Dependency,
    /// Go's library.
    Standard,
    /// The runtime itself, what cgo generates, or unknown.
    Runtime,
}

/// Whose code a function is, by its name.
pub fn owner(function: &str, main_module: Option<&str>) -> Owner {
    let package = package(function);
    // What cgo generates around a call of C; the line to edit is where it is called.
    if function[package.len()..].starts_with("._Cfunc_") {
        return Owner::Runtime;
    }
    // The linker writes the dots of a path's last element as %2e.
    let package = package.replace("%2e", ".");
    let within = |module: &str| {
        package.strip_prefix(module).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    // What cgo generates for a call into C lies in the caller's package and is nobody's to edit.
    let generated = function.rsplit('.').next().is_some_and(|name| name.starts_with("_Cfunc_"));
    match package.split('/').next() {
        _ if generated => Owner::Runtime,
        None | Some("") => Owner::Runtime,
        Some("main") => Owner::Own,
        // Before anything else: a module's path may look like one of Go's library.
        _ if main_module.is_some_and(within) && !package.contains("/vendor/") => Owner::Own,
        Some("runtime" | "_cgo_export") => Owner::Runtime,
        Some("internal") if package.starts_with("internal/runtime/") => Owner::Runtime,
        Some(first) if first.contains('.') || package.contains("/vendor/") => Owner::Dependency,
        Some(_) => Owner::Standard,
    }
}

/// Path of the package of a function: what precedes the first dot behind the last slash. The arguments of a generic
/// function hold paths of their own.
pub fn package(function: &str) -> &str {
    let name = function.split('[').next().unwrap_or_default();
    let last = name.rfind('/').map_or(0, |slash| slash + 1);
    let end = name[last..].find('.').map_or(name.len(), |dot| last + dot);
    &name[..end]
}

/// The frame that a person would edit, of frames innermost first: the first of the program's own, else of a
/// dependency, else of Go's library; the runtime's only where there is nothing else. `function` names a frame.
///
/// A stack may be followed by those of the creators of its goroutine, nearest first.
pub fn line<'a, F>(
    frames: impl IntoIterator<Item = &'a F>,
    function: impl Fn(&F) -> &str,
    main_module: Option<&str>,
) -> Option<&'a F> {
    // The first of several equal ones.
    frames.into_iter().min_by_key(|frame| owner(function(frame), main_module))
}

#[cfg(test)]
mod tests {
    use super::{Owner, owner};

    #[test]
    fn owners_are_told_by_the_package() {
        let module = Some("example.com/shop.v2");
        for (function, expected) in [
            ("main.main", Owner::Own),
            ("main._Cfunc_fill", Owner::Runtime),
            ("main.(*server).handle.func1", Owner::Own),
            ("example.com/shop%2ev2.Open", Owner::Own),
            ("example.com/shop.v2/internal/cart.(*Cart).Add[...]", Owner::Own),
            ("example.com/shop%2ev2x.Open", Owner::Dependency),
            ("github.com/cihub/seelog.(*asyncLogger).pushMessage", Owner::Dependency),
            ("gopkg.in/yaml%2ev3.Unmarshal", Owner::Dependency),
            ("net/http.(*Transport).dialConn", Owner::Standard),
            ("vendor/golang.org/x/net/http2.f", Owner::Standard),
            ("slices.SortFunc[go.shape.[]example.com/shop.v2.Item]", Owner::Standard),
            ("sync.(*WaitGroup).Wait", Owner::Standard),
            ("main._Cfunc_compress", Owner::Runtime),
            ("runtime.gopark", Owner::Runtime),
            ("runtime/internal/atomic.Load", Owner::Runtime),
            ("internal/runtime/maps.newarray", Owner::Runtime),
            ("internal/poll.(*FD).Read", Owner::Standard),
            ("", Owner::Runtime),
        ] {
            assert_eq!(owner(function, module), expected, "{function}");
        }
        assert_eq!(owner("shop/cart.Add", Some("shop")), Owner::Own);
        assert_eq!(owner("shop/cart.Add", None), Owner::Standard);
        assert_eq!(owner("time.Sleep", Some("time")), Owner::Own);
    }
}
