//! Dockerfile, workflow, `make setup` and `make container` cannot drift apart.

use std::fs;
use std::path::Path;
use std::process::Command;

use process::files;

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

fn read(name: &str) -> String {
    fs::read_to_string(root().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// What everything needs, and what `make test` needs besides.
const LISTS: [&str; 2] = ["tools/debian-packages.txt", "tools/page-packages.txt"];

/// The packages of both lists.
fn packages() -> Vec<String> {
    let lists = LISTS.map(read).concat();
    lists.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect()
}

/// The instructions of the Dockerfile: name and, in one line, what follows.
fn instructions() -> Vec<(String, String)> {
    let text = read("Dockerfile");
    let lines: Vec<&str> =
        text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).collect();
    lines
        .join("\n")
        .replace("\\\n", " ")
        .lines()
        .map(|line| {
            let (name, rest) = line.split_once(' ').unwrap_or_else(|| panic!("{line:?}"));
            (name.to_owned(), rest.split_whitespace().collect::<Vec<_>>().join(" "))
        })
        .collect()
}

#[test]
fn the_lists_have_package_names_only() {
    let packages = packages();
    assert!(packages.len() > 10);
    for package in &packages {
        let allowed = |byte: u8| {
            byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'+' | b'-' | b'.')
        };
        assert!(!package.is_empty() && package.bytes().all(allowed), "{package:?}");
    }
    let mut sorted = packages.clone();
    sorted.sort();
    sorted.dedup();
    assert_eq!(sorted.len(), packages.len(), "a package is named twice");
}

#[test]
fn the_dockerfile_installs_exactly_the_lists() {
    let instructions = instructions();
    let known = ["FROM", "COPY", "RUN", "ARG", "USER", "WORKDIR", "CMD"];
    for (name, rest) in &instructions {
        assert!(known.contains(&&**name), "{name} {rest}");
    }
    assert_eq!(instructions[0], ("FROM".to_owned(), "debian:bookworm".to_owned()));
    let copied = format!("{} /tmp/packages/", LISTS.join(" "));
    assert!(instructions.contains(&("COPY".to_owned(), copied)), "{instructions:?}");
    let installs: Vec<&String> = instructions
        .iter()
        .filter(|(name, rest)| name == "RUN" && rest.contains("apt-get"))
        .map(|(_, rest)| rest)
        .collect();
    let [install] = installs[..] else { panic!("{installs:?}") };
    // What feeds apt-get, run on the list as it is here.
    let (_, pipeline) = install.split_once("&& sed ").unwrap();
    let (filter, apt) = pipeline.split_once(" /tmp/packages/*.txt | ").unwrap();
    assert!(
        apt.starts_with(
            "DEBIAN_FRONTEND=noninteractive xargs apt-get install -y --no-install-recommends &&"
        ),
        "a package is named in the Dockerfile: {apt}"
    );
    let output = Command::new("sh")
        .arg("-c")
        .arg(format!("sed {filter} {} | xargs printf '%s\\n'", LISTS.join(" ")))
        .current_dir(root())
        .output()
        .unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), packages().join("\n") + "\n");
    // `make` takes the same: who is not root in the container finds nothing missing.
    assert!(read("tools/setup").contains(&format!("$(sed {filter} {})", LISTS[0])));
    assert!(read("tools/install").contains(&format!("$(sed {filter} \"$1\")")));
    assert!(read("Makefile").contains(&format!("\n\t@tools/install {}\n", LISTS[1])));
    // The build context lets the lists through.
    for list in LISTS {
        assert!(read(".dockerignore").lines().any(|line| line == format!("!{list}")), "{list}");
    }
}

#[test]
fn the_container_is_not_root_s() {
    let instructions = instructions();
    let last = instructions.iter().rfind(|(name, _)| name == "USER").unwrap();
    assert_eq!(last.1, "builder");
    let user = instructions.iter().position(|(name, _)| name == "USER").unwrap();
    assert!(instructions[user..].iter().all(|(name, _)| name != "RUN"), "{instructions:?}");
}

#[test]
fn the_workflow_runs_the_local_command_in_the_container() {
    let workflow = read(".github/workflows/ci.yml");
    assert!(workflow.contains("run: tools/container make test\n"), "{workflow}");
    // Nothing is installed besides: no packages, no toolchain of the runner's.
    for word in ["apt", "rustup", "setup-", "container:"] {
        let used =
            workflow.lines().any(|line| !line.trim().starts_with('#') && line.contains(word));
        assert!(!used || word == "container:", "{word} in the workflow");
    }
    for file in ["Cargo.lock", "vendor/Cargo.lock", "Dockerfile"].into_iter().chain(LISTS) {
        assert!(workflow.contains(&format!("'{file}'")), "the cache does not depend on {file}");
        assert!(root().join(file).is_file(), "{file}");
    }
    assert!(workflow.contains("actions/upload-artifact"));
    // A tag can be moved to other code; a commit cannot.
    for action in workflow.lines().filter_map(|line| line.split_once("uses: ")) {
        let (_, commit) = action.1.split_once('@').unwrap();
        let (commit, version) = commit.split_once(" # v").unwrap_or_else(|| panic!("{action:?}"));
        assert!(commit.len() == 40 && commit.bytes().all(|byte| byte.is_ascii_hexdigit()));
        assert!(!version.is_empty());
    }
    let elf = "target/xtensa-esp8266-none-elf/release/firmware-*";
    assert!(workflow.contains(elf), "the image is not kept");
    assert!(workflow.contains("make --silent size > size.txt") && workflow.contains(" size.txt\n"));
    let makefile = read("Makefile");
    assert!(makefile.contains("CHIP = target/xtensa-esp8266-none-elf/release\n"));
    assert!(makefile.contains("\nELF = $(if $(own),$(CHIP_ELF),$(CHIP)/firmware-$(BOARD))\n"));
    // Cargo's downloads lie under target/, so the one cache has them.
    assert!(read("tools/container").contains("CARGO_HOME=/work/target/container-cargo"));
    assert!(makefile.contains("\n\t@tools/container"), "make container");
    assert!(read(".ci/run").contains("exec make test\n"));
}

/// Root's working copy in the container of another user: that one may write where the build and
/// the local PKI do, and git takes the repository for its own.
#[test]
fn a_working_copy_of_root_s_serves_too() {
    let copy = tempfile::tempdir().unwrap();
    let (tools, engine) = (copy.path().join("tools"), copy.path().join("engine"));
    fs::create_dir(&tools).unwrap();
    let container = fs::read_to_string(root().join("tools/container")).unwrap();
    files::write_program(&tools.join("container"), &container).unwrap();
    fs::create_dir(&engine).unwrap();
    let program = |name: &str, text: &str| {
        let file = engine.join(name);
        files::write_program(&file, &format!("#!/bin/sh\n{text}\n")).unwrap();
    };
    // Says what it would run, and whose the folders would be.
    program("docker", "echo \"docker $*\"");
    program("chown", "echo \"chown $*\"");
    program("id", "echo 0");
    let run = |ci: Option<&str>| {
        let mut command = Command::new(tools.join("container"));
        command.args(["make", "lint"]).env_remove("CONTAINER_ENGINE").env_remove("CI");
        command.env("PATH", format!("{}:/usr/bin:/bin", engine.display()));
        let output = command.envs(ci.map(|ci| ("CI", ci))).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let text = run(None);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], "chown -R 1000:1000 target certs/local");
    for words in [
        "docker run ",
        " --env GIT_CONFIG_KEY_0=safe.directory --env GIT_CONFIG_VALUE_0=/work ",
        " esp8266-aws-iot-build make lint",
    ] {
        assert!(lines[1].contains(words), "no {words:?} in {text}");
    }
    // By it the Makefile knows that the lock file is to be taken as it is.
    assert!(!text.contains("CI "), "{text}");
    assert!(run(Some("true")).contains(" --env CI "));
    assert!(read("Makefile").contains("\nLOCKED = $(if $(CI),--locked)\n"));
    assert!(copy.path().join("certs/local").is_dir());
}

/// Set-up with stand-ins for what changes the machine, where these packages are missing and can be
/// installed or not, and there is a broker before (not a package's, if its own is missing) or not. What
/// systemctl was told, and what set-up said.
fn set_up(missing: &str, installs: bool, broker: bool) -> (String, String) {
    let copy = tempfile::tempdir().unwrap();
    let (here, programs) = (copy.path(), copy.path().join("programs"));
    for folder in ["tools", "vendor/crates", "programs", "lib/rustlib/src/rust/library"] {
        fs::create_dir_all(here.join(folder)).unwrap();
    }
    for file in ["tools/debian-packages.txt", "Cargo.lock", "vendor/Cargo.lock"] {
        fs::copy(root().join(file), here.join(file)).unwrap();
    }
    files::write_program(&here.join("tools/setup"), &read("tools/setup")).unwrap();
    // Crates are here, and a compiler.
    fs::write(here.join("vendor/crates/config.toml"), "").unwrap();
    fs::write(here.join("lib/rustlib/src/rust/library/Cargo.lock"), "").unwrap();
    let rustc = "case $1 in --print) echo \"${0%/*}/..\" ;; *) echo 'rustc 1.96.0' ;; esac";
    let dpkg_query = format!(
        "case ' {missing} ' in *\" $4 \"*) exit 1 ;; esac\n\
         [ \"$2\" = '${{Version}}' ] && echo 1.96.0 || echo 'install ok installed'"
    );
    let apt_get = format!("[ \"$1\" = update ] || {installs}");
    let told = here.join("told");
    let systemctl = format!("[ $1 != cat ] || exec {broker}\necho \"$*\" >>'{}'", told.display());
    for (name, text) in [
        ("rustc", rustc),
        ("cargo", "exit 1"),
        ("id", "echo 0"),
        ("dpkg", "exit 0"),
        ("dpkg-query", &*dpkg_query),
        ("apt-get", &*apt_get),
        ("systemctl", &*systemctl),
    ] {
        files::write_program(&programs.join(name), &format!("#!/bin/sh\n{text}\n")).unwrap();
    }
    let output = Command::new(here.join("tools/setup"))
        .args([programs.join("cargo"), programs.join("rustc")])
        .env("PATH", format!("{}:/usr/bin:/bin", programs.display()))
        .env_remove("RUST_TOOLCHAIN")
        .output()
        .unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.success(), installs, "{said}");
    (fs::read_to_string(told).unwrap_or_default(), said)
}

/// A broker that runs already is the person's, whatever else is installed.
#[test]
fn set_up_switches_off_no_broker_but_its_own() {
    const OFF: &str = "disable --now mosquitto";
    for missing in ["mosquitto-clients", "patch openssl", "mosquitto", ""] {
        let (told, said) = set_up(missing, true, true);
        assert!(told.is_empty(), "{missing}: {told}");
        assert_eq!(said.contains("installing"), !missing.is_empty(), "{said}");
    }
    // Nor does one go on running when the rest of the list could not be installed.
    for (missing, installs) in [("mosquitto", true), ("patch mosquitto git", false)] {
        let (told, said) = set_up(missing, installs, false);
        assert!(told.lines().any(|line| line == OFF), "{told}");
        assert!(said.contains("`systemctl enable --now mosquitto` starts it again"), "{said}");
    }
}

/// What `make container` says where there is no engine, or one that does not answer.
#[test]
fn without_an_engine_the_message_says_what_to_do() {
    let tools = tempfile::tempdir().unwrap();
    for program in ["dirname", "id", "sh", "mkdir"] {
        let found = ["/usr/bin", "/bin"].map(|folder| Path::new(folder).join(program));
        let found = found.iter().find(|path| path.exists()).unwrap();
        std::os::unix::fs::symlink(found, tools.path().join(program)).unwrap();
    }
    let run = |engine: &str| {
        let output = Command::new(root().join("tools/container"))
            .env_clear()
            .env("PATH", tools.path())
            .env("CONTAINER_ENGINE", engine)
            .output()
            .unwrap();
        assert!(!output.status.success());
        String::from_utf8(output.stderr).unwrap()
    };
    let text = run("");
    assert!(text.contains("neither docker nor podman is installed"), "{text}");
    assert!(text.contains("make test"), "{text}");
    assert!(run("podman").contains("podman is not installed or does not answer"));
    files::write_program(&tools.path().join("docker"), "#!/bin/sh\nexit 1\n").unwrap();
    let text = run("");
    assert!(text.contains("docker is installed but does not answer"), "{text}");
}
