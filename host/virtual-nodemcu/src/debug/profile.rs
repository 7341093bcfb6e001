//! Instructions counted by function.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::rc::Rc;

use super::symbols::Symbols;

/// Where the chip executes from: ROM, IRAM and the flash window.
const BASE: u32 = 0x4000_0000;
const SIZE: usize = 0x30_0000;

/// What was executed, by address.
pub struct Profile {
    symbols: Rc<Symbols>,
    counts: Vec<u64>,
    /// Outside of [`BASE`] and [`SIZE`].
    elsewhere: u64,
    rom: HashMap<u32, u64>,
}

impl Profile {
    /// Nothing counted yet.
    #[must_use]
    pub fn new(symbols: Rc<Symbols>) -> Self {
        Self { symbols, counts: vec![0; SIZE], elsewhere: 0, rom: HashMap::new() }
    }

    /// An instruction is executed.
    pub fn instruction(&mut self, pc: u32) {
        match self.counts.get_mut(pc.wrapping_sub(BASE) as usize) {
            Some(count) => *count += 1,
            None => self.elsewhere += 1,
        }
    }

    /// The host does a ROM function, which costs no instruction.
    pub fn rom(&mut self, pc: u32) {
        *self.rom.entry(pc).or_default() += 1;
    }

    /// Instructions by function, most first; equal ones by name.
    #[must_use]
    pub fn functions(&self) -> Vec<(String, u64)> {
        let mut by_name: HashMap<String, u64> = HashMap::new();
        let mut at = 0;
        while at < SIZE {
            if self.counts[at] == 0 {
                at += 1;
                continue;
            }
            let address = BASE + at as u32;
            let (name, end) = match self.symbols.at(address) {
                Some(f) => (f.name.clone(), (f.range.end - BASE) as usize),
                None => (format!("(no symbol, from {:#010x})", address & !0xFFF), at + 1),
            };
            let end = end.clamp(at + 1, SIZE);
            *by_name.entry(name).or_default() += self.counts[at..end].iter().sum::<u64>();
            at = end;
        }
        if self.elsewhere > 0 {
            by_name.insert("(outside ROM, IRAM and flash)".to_owned(), self.elsewhere);
        }
        let mut functions: Vec<_> = by_name.into_iter().collect();
        functions.sort_by(|a, b| (b.1, &a.0).cmp(&(a.1, &b.0)));
        functions
    }

    /// The table. `idle` are cycles asleep; `most` limits the lines of functions.
    #[must_use]
    pub fn report(&self, idle: u64, most: usize) -> String {
        let functions = self.functions();
        let all: u64 = functions.iter().map(|(_, count)| count).sum();
        let mut text =
            format!("{all} instructions in {} functions, {idle} cycles asleep\n", functions.len());
        text.push_str("percent  instructions  function\n");
        for (name, count) in functions.iter().take(most) {
            let percent = *count as f64 * 100.0 / all as f64;
            let _ = writeln!(text, "{percent:>6.2}% {count:>13}  {name}");
        }
        if functions.len() > most {
            let rest: u64 = functions[most..].iter().map(|(_, count)| count).sum();
            let percent = rest as f64 * 100.0 / all as f64;
            let _ = writeln!(text, "{percent:>6.2}% {rest:>13}  ({} more)", functions.len() - most);
        }
        let mut rom: Vec<_> = self.rom.iter().collect();
        rom.sort_by_key(|(pc, count)| (u64::MAX - **count, **pc));
        if !rom.is_empty() {
            text.push_str("calls of ROM functions, which take no instructions here\n");
        }
        for (pc, count) in rom.into_iter().take(most) {
            let name = self.symbols.at(*pc).map_or("", |f| f.name.as_str());
            let _ = writeln!(text, "        {count:>13}  {pc:#010x} {name}");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::debug::symbols::Function;

    #[test]
    fn counts_by_function() {
        let function =
            |start, end, name: &str| Function { range: start..end, name: name.to_owned() };
        let symbols = Symbols::new(vec![
            function(0x4010_0000, 0x4010_0010, "small"),
            function(0x4020_0000, 0x4030_0000, "to::the::end"),
            function(0x4000_4A00, 0x4000_4A04, "SPIEraseSector"),
        ]);
        let mut profile = Profile::new(Rc::new(symbols));
        for (pc, times) in [
            (0x4010_0000, 2),
            (0x4010_000F, 1),
            (0x4010_0010, 5),
            (0x402F_FFFE, 91),
            (0x4030_0000, 1),
        ] {
            for _ in 0..times {
                profile.instruction(pc);
            }
        }
        profile.rom(0x4000_4A00);
        let functions = profile.functions();
        let expected = [
            ("to::the::end", 91),
            ("(no symbol, from 0x40100000)", 5),
            ("small", 3),
            ("(outside ROM, IRAM and flash)", 1),
        ];
        assert_eq!(functions, expected.map(|(name, count)| (name.to_owned(), count)));
        let report = profile.report(7, 2);
        assert_eq!(
            report,
            "100 instructions in 4 functions, 7 cycles asleep\n\
             percent  instructions  function\n\
             \u{20}91.00%            91  to::the::end\n\
             \u{20} 5.00%             5  (no symbol, from 0x40100000)\n\
             \u{20} 4.00%             4  (2 more)\n\
             calls of ROM functions, which take no instructions here\n\
             \u{20}                   1  0x40004a00 SPIEraseSector\n"
        );
        assert!(Profile::new(Rc::default()).report(0, 5).starts_with("0 instructions"));
    }
}
