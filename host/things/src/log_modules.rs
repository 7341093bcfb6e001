//! The modules of the device's log.

/// Their names, as they stand in a line of the log.
pub const LOG_MODULES: [&str; 13] = [
    "app", "chip", "clock", "led", "link", "mqtt", "net", "paho", "radio", "random", "status",
    "update", "wifi",
];

/// Whether a level can be set for this module; `*` is all that are not named.
#[must_use]
pub fn is_known(module: &str) -> bool {
    module == "*" || LOG_MODULES.contains(&module)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::{Path, PathBuf};

    fn sources(folder: &Path, extension: &str, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                sources(&path, extension, found);
            } else if path.extension().is_some_and(|ending| ending == extension) {
                found.push(path);
            }
        }
    }

    /// The name in quotes behind each `marker` of a text, if that comes next.
    fn quoted<'t>(text: &'t str, marker: &'t str) -> impl Iterator<Item = &'t str> {
        text.split(marker).skip(1).filter_map(|rest| {
            let rest = rest.split_once('"')?.1;
            rest.split_once('"').map(|(name, _)| name)
        })
    }

    /// The list is what the firmware's sources say: Rust's crates, the tasks of application and runtime by
    /// `rtos::log`'s rule, explicit targets, and what C hands to `fw_log`.
    #[test]
    fn the_list_is_the_firmwares() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let mut found = BTreeSet::new();
        for (folder, name) in [
            ("app/src", "app"),
            ("crates/runtime/src", "runtime"),
            ("crates/net/src", "net"),
            ("crates/mqtt/src", "mqtt"),
            ("crates/tls/src", "tls"),
            ("crates/rtos/src", "rtos"),
            ("bsp/esp8266/src", "chip"),
            ("bsp/launch/src", "launch"),
            ("bsp/lx106/src", "lx106"),
            ("bsp/qemu/src", "board_qemu"),
        ] {
            let mut files = Vec::new();
            sources(&root.join(folder), "rs", &mut files);
            for file in files {
                let text = fs::read_to_string(&file).unwrap();
                // Without the examples in the documentation.
                let text: Vec<_> =
                    text.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
                let text = text.join("\n");
                let stem = file.file_stem().unwrap().to_str().unwrap();
                let task = ["app/src", "crates/runtime/src"].contains(&folder) && stem != "lib";
                for level in ["error", "warn", "info", "debug", "trace"] {
                    for call in text.split(&format!("log::{level}!(")).skip(1) {
                        match call.trim_start().strip_prefix("target: \"") {
                            Some(rest) => found.insert(rest.split('"').next().unwrap().to_owned()),
                            None => found.insert(if task { stem } else { name }.to_owned()),
                        };
                    }
                }
            }
        }
        for folder in ["vendor", "bsp"] {
            let mut files = Vec::new();
            sources(&root.join(folder), "c", &mut files);
            for file in files.iter().filter(|file| !file.starts_with(root.join("vendor/crates"))) {
                let text = fs::read_to_string(file).unwrap();
                found.extend(quoted(&text, "fw_log(FW_LOG_").map(str::to_owned));
                found.extend(quoted(&text, "fw_log(level").map(str::to_owned));
            }
        }
        assert_eq!(found.iter().map(String::as_str).collect::<Vec<_>>(), LOG_MODULES);
    }
}
