// What bindgen believes of C's structures, as assertions for the compiler that compiles them.
//
// bindgen's clang knows no Xtensa and works for another 32-bit core (build.rs). Where the two
// disagree about a size or an offset, Rust would read and write the wrong bytes.

use std::fmt::Write as _;

/// C that does not compile where the layouts in `bindings` (made with layout tests) are not the
/// compiler's. `preprocessed` is the header that they were made from, with all that it includes.
///
/// Returns it with the number of assertions in it.
pub fn assertions(header: &str, bindings: &str, preprocessed: &str) -> (String, usize) {
    let tokens: Vec<&str> = preprocessed.split_whitespace().collect();
    let tagged = |keyword: &str, name: &str| {
        tokens.windows(3).any(|three| three[0] == keyword && three[1] == name && three[2] == "{")
    };
    let in_c = |name: &str| {
        // A structure inside another has its name behind the other's.
        let inner = name.match_indices('_').map(|(at, _)| &name[at + 1..]);
        for name in std::iter::once(name).chain(inner) {
            for keyword in ["struct", "union"] {
                if tagged(keyword, name) {
                    return format!("{keyword} {name}");
                }
            }
            if tokens.iter().any(|token| token.trim_end_matches(';') == name) {
                break;
            }
        }
        name.to_owned()
    };
    let mut text = format!("#include <stddef.h>\n#include \"{header}\"\n");
    let mut count = 0;
    // `["Size of T"][size_of::<T>() - 8usize];`, over one line or two.
    for fact in bindings.split("[\"").skip(1) {
        let Some((what, rest)) = fact.split_once("\"]") else { continue };
        let value = rest.split_once(';').and_then(|(fact, _)| fact.rsplit_once(" - "));
        let Some(value) = value.and_then(|(_, value)| value.trim().strip_suffix("usize]")) else {
            continue;
        };
        // What C has no name for.
        if what.contains("__bindgen") || what.contains("_bitfield") {
            continue;
        }
        let fact = if let Some(name) = what.strip_prefix("Size of ") {
            format!("sizeof({})", in_c(name))
        } else if let Some(name) = what.strip_prefix("Alignment of ") {
            format!("_Alignof({})", in_c(name))
        } else if let Some((name, field)) =
            what.strip_prefix("Offset of field: ").and_then(|field| field.split_once("::"))
        {
            // Rust's keywords have an underscore behind them.
            let field = field.strip_suffix('_').unwrap_or(field);
            format!("offsetof({}, {field})", in_c(name))
        } else {
            continue;
        };
        let _ = writeln!(text, "_Static_assert({fact} == {value}, \"{what}\");");
        count += 1;
    }
    (text, count)
}
