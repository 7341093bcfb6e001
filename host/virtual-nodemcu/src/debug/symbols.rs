//! Functions by address and by name, from an ELF.

use std::io;
use std::ops::Range;
use std::path::Path;

use object::{Architecture, Object as _, ObjectSection as _, ObjectSymbol as _, SymbolKind};

use crate::board::ROM;

/// A function, or whatever else an ELF names in code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Function {
    /// Where its code is.
    pub range: Range<u32>,
    /// Its name, demangled.
    pub name: String,
}

/// The functions of a program.
#[derive(Clone, Debug, Default)]
pub struct Symbols {
    /// By address; they do not overlap.
    functions: Vec<Function>,
}

impl Symbols {
    /// Reads the symbols of the ELF at `path`.
    ///
    /// # Errors
    /// It cannot be read, is no ELF for Xtensa, or names no functions.
    pub fn read(path: &Path) -> io::Result<Self> {
        let other = |why: String| io::Error::new(io::ErrorKind::InvalidData, why);
        let bytes = std::fs::read(path)?;
        let file = object::File::parse(&*bytes).map_err(|e| other(format!("no ELF: {e}")))?;
        if file.architecture() != Architecture::Xtensa {
            return Err(other(format!(
                "an ELF for {:?}, not for Xtensa: give the one that the image was made of",
                file.architecture()
            )));
        }
        let mut functions = Vec::new();
        for symbol in file.symbols() {
            let (Ok(start), Ok(size), Ok(name)) =
                (u32::try_from(symbol.address()), u32::try_from(symbol.size()), symbol.name())
            else {
                continue;
            };
            let section = symbol.section_index().and_then(|i| file.section_by_index(i).ok());
            let end = match &section {
                // A label of assembly has no size: it goes on to the next one.
                Some(section) => {
                    let end = section.address().saturating_add(section.size());
                    if size > 0 { start.checked_add(size) } else { u32::try_from(end).ok() }
                }
                // The linker script's names of ROM functions.
                None if ROM.contains(&start) => start.checked_add(4),
                None => None,
            };
            let code = match &section {
                Some(section) => section.kind() == object::SectionKind::Text,
                None => true,
            };
            let named =
                matches!(symbol.kind(), SymbolKind::Text | SymbolKind::Label | SymbolKind::Unknown)
                    && !name.is_empty()
                    && !name.starts_with(".L");
            let Some(end) = end else { continue };
            if code && named && end > start {
                let name = format!("{:#}", rustc_demangle::demangle(name));
                functions.push(Function { range: start..end, name });
            }
        }
        if functions.is_empty() {
            return Err(other("no symbols of functions in it: was it stripped?".to_owned()));
        }
        Ok(Self::new(functions))
    }

    /// From a list in any order. Where two begin at one address the longer one counts; where
    /// one reaches into the next it is cut.
    #[must_use]
    pub fn new(mut functions: Vec<Function>) -> Self {
        functions.sort_by(|a, b| {
            (a.range.start, b.range.end, &a.name).cmp(&(b.range.start, a.range.end, &b.name))
        });
        functions.dedup_by_key(|function| function.range.start);
        let starts: Vec<u32> = functions.iter().map(|f| f.range.start).skip(1).collect();
        for (function, next) in functions.iter_mut().zip(starts) {
            function.range.end = function.range.end.min(next);
        }
        Self { functions }
    }

    /// The function that has code at `address`.
    #[must_use]
    pub fn at(&self, address: u32) -> Option<&Function> {
        let after = self.functions.partition_point(|f| f.range.start <= address);
        self.functions[..after].last().filter(|f| f.range.contains(&address))
    }

    /// The function at `address` and how far into it that is.
    #[must_use]
    pub fn place(&self, address: u32) -> Option<String> {
        let function = self.at(address)?;
        Some(match address - function.range.start {
            0 => function.name.clone(),
            offset => format!("{}+{offset:#x}", function.name),
        })
    }

    /// Functions whose name is `text`; if there are none, those whose name contains it.
    #[must_use]
    pub fn find(&self, text: &str) -> Vec<&Function> {
        let exact: Vec<_> = self.functions.iter().filter(|f| f.name == text).collect();
        if exact.is_empty() {
            self.functions.iter().filter(|f| f.name.contains(text)).collect()
        } else {
            exact
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn function(start: u32, end: u32, name: &str) -> Function {
        Function { range: start..end, name: name.to_owned() }
    }

    #[test]
    fn by_address_and_by_name() {
        let symbols = Symbols::new(vec![
            function(0x30, 0x40, "last"),
            function(0x10, 0x28, "a::long"),
            function(0x10, 0x14, "alias"),
            function(0x20, 0x2A, "b::longer"),
        ]);
        let name = |address| symbols.at(address).map(|f| f.name.as_str());
        assert_eq!(name(0x0F), None);
        assert_eq!(name(0x10), Some("a::long"), "the longer of two");
        assert_eq!(name(0x1F), Some("a::long"));
        assert_eq!(name(0x20), Some("b::longer"), "the first is cut");
        assert_eq!(name(0x2A), None, "a gap");
        assert_eq!(name(0x3F), Some("last"));
        assert_eq!(name(u32::MAX), None);
        let names = |text| symbols.find(text).iter().map(|f| f.name.clone()).collect::<Vec<_>>();
        assert_eq!(names("long"), ["a::long", "b::longer"]);
        assert_eq!(names("a::long"), ["a::long"]);
        assert!(names("none").is_empty());
    }

    #[test]
    fn what_is_no_elf_of_the_chip_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        assert!(Symbols::read(&path).is_err(), "not there");
        std::fs::write(&path, b"\x7fELF and then nothing").unwrap();
        assert!(Symbols::read(&path).unwrap_err().to_string().contains("no ELF"));
        let host = std::env::current_exe().unwrap();
        let why = Symbols::read(&host).unwrap_err().to_string();
        assert!(why.contains("not for Xtensa"), "{why}");
    }
}
