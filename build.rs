//! Cross-compiles all C of the firmware, one archive a library, and makes the raw bindings.
//!
//! The pristine sources come from crates that `vendor/Cargo.lock` pins by checksum; what is
//! ours (configuration headers, glue, the kernel port) lies in `vendor/` and `bsp/lx106/`.
//! Every list below is explicit. A library whose inputs have not changed since its archive
//! was made is not compiled again.

use std::collections::hash_map::DefaultHasher;
use std::env;
use std::fs;
use std::hash::{Hash, Hasher};
use std::iter;
use std::path::{Path, PathBuf};
use std::process::{Command, exit};

#[path = "vendor/layout.rs"]
mod layout;

/// One C library: where its files lie, which are compiled, and how.
struct Library {
    /// Name of the archive.
    name: &'static str,
    /// Folder of the pristine sources.
    upstream: PathBuf,
    /// Pristine files, relative to `upstream`.
    upstream_sources: &'static [&'static str],
    /// Flags of single files among `upstream_sources`, behind those of all.
    special: &'static [(&'static str, &'static [&'static str])],
    /// A pristine file from elsewhere.
    extra: Vec<PathBuf>,
    /// Our own files, relative to the repository: these compile with `-Wall -Wextra -Werror`.
    own_sources: &'static [&'static str],
    /// Include path beyond the common one, searched before it.
    includes: Vec<PathBuf>,
    /// A header of ours that every file of the library reads first.
    prelude: Option<&'static str>,
    /// Macros for this library alone.
    defines: &'static [(&'static str, Option<&'static str>)],
}

fn main() {
    if env::var("CARGO_CFG_TARGET_ARCH").as_deref() != Ok("xtensa") {
        fail(
            "vendor-sys is for the chip only. Build host crates by name, for example \
             `cargo test --target x86_64-unknown-linux-gnu -p identity`, or use `make test`.",
        );
    }
    let toolchain = Toolchain::find();
    let trees = Trees::find();
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));

    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=vendor/layout.rs");
    for folder in OWN_INPUTS {
        println!("cargo::rerun-if-changed={folder}");
    }
    for variable in ["XTENSA_GCC", "PICOLIBC_SPECS", "LIBCLANG_PATH", "FW_BUILD_EPOCH"] {
        println!("cargo::rerun-if-env-changed={variable}");
    }

    for library in libraries(&trees) {
        compile(&library, &trees, &toolchain, &out);
        println!("cargo::rustc-link-lib=static:-bundle={}", library.name);
    }
    println!("cargo::rustc-link-search=native={}", out.display());

    bindings(&trees, &toolchain, &out);

    // For the boards' build scripts (DEP_ESP8266_*), which compile their own drivers.
    let includes: Vec<String> =
        includes(&trees).iter().map(|path| path.display().to_string()).collect();
    println!("cargo::metadata=INCLUDES={}", includes.join(":"));
    println!("cargo::metadata=GCC={}", toolchain.gcc.display());
    println!("cargo::metadata=FLAGS={}", toolchain.flags().join(" "));
}

/// Stops the build with one line that says what to do.
fn fail(message: &str) -> ! {
    println!("cargo::error={message}");
    exit(1);
}

/// The cross compiler and its C library, named explicitly: `cc` would silently take the
/// host's gcc for a target that it does not know.
struct Toolchain {
    gcc: PathBuf,
    specs: PathBuf,
    version: String,
}

impl Toolchain {
    fn find() -> Self {
        let gcc = env::var("XTENSA_GCC").unwrap_or("xtensa-lx106-elf-gcc".into());
        let Some(gcc) = on_path(&gcc) else {
            fail(&format!(
                "{gcc} not found: run `make setup` (Debian's gcc-xtensa-lx106), or name the \
                 compiler in XTENSA_GCC"
            ));
        };
        let specs = env::var_os("PICOLIBC_SPECS").map(PathBuf::from).unwrap_or_else(|| {
            gcc.parent()
                .unwrap_or(Path::new("/usr/bin"))
                .join("../lib/xtensa-lx106-elf/picolibc.specs")
        });
        let Ok(specs) = specs.canonicalize() else {
            fail(&format!(
                "{} not found: run `make setup` (Debian's picolibc-xtensa-lx106-elf), or name \
                 the spec file in PICOLIBC_SPECS",
                specs.display()
            ));
        };
        let version = Command::new(&gcc).arg("-v").output().map(|output| output.stderr);
        let version = String::from_utf8_lossy(&version.unwrap_or_default()).into_owned();
        Self { gcc, specs, version }
    }

    fn flags(&self) -> Vec<String> {
        let mut flags: Vec<String> = FLAGS.iter().map(ToString::to_string).collect();
        flags.push(format!("--specs={}", self.specs.display()));
        flags
    }

    fn build(&self, trees: &Trees, library: &Library) -> cc::Build {
        let mut build = cc::Build::new();
        build.compiler(&self.gcc).archiver(self.tool("gcc-ar")).ranlib(self.tool("gcc-ranlib"));
        build.no_default_flags(true).inherit_rustflags(false).cargo_metadata(false).warnings(false);
        build.flags(self.flags());
        // A library's own headers first: paho's shims stand in for headers of a POSIX system.
        for include in library.includes.iter().chain(&includes(trees)) {
            build.include(include);
        }
        if let Some(header) = library.prelude {
            build.flag("-include").flag(header);
        }
        for (name, value) in library.defines {
            build.define(name, *value);
        }
        build
    }

    /// The binutils program of the same prefix.
    fn tool(&self, name: &str) -> PathBuf {
        let gcc = self.gcc.to_string_lossy();
        PathBuf::from(format!("{}{name}", gcc.strip_suffix("gcc").unwrap_or("xtensa-lx106-elf-")))
    }
}

fn on_path(program: &str) -> Option<PathBuf> {
    if program.contains('/') {
        return Path::new(program).exists().then(|| program.into());
    }
    let path = env::var_os("PATH")?;
    env::split_paths(&path).map(|folder| folder.join(program)).find(|file| file.is_file())
}

/// Where cargo keeps the crates that carry C.
struct Trees {
    kernel: PathBuf,
    lwip: PathBuf,
    mbedtls: PathBuf,
    paho: PathBuf,
    shim: PathBuf,
    /// Names and versions, part of what an archive was made from.
    versions: String,
}

impl Trees {
    fn find() -> Self {
        let metadata = cargo_metadata::MetadataCommand::new()
            .manifest_path("vendor/Cargo.toml")
            // The parent's target triple is not one that a plain cargo may use.
            .env_remove("CARGO_BUILD_TARGET")
            .other_options([
                "--locked".into(),
                "--filter-platform".into(),
                env::var("HOST").unwrap_or_default(),
            ])
            .exec()
            .unwrap_or_else(|error| {
                fail(
                    &format!(
                        "the C sources cannot be located: {error}. Run `make setup` while online."
                    )
                    .replace('\n', " "),
                )
            });
        let mut versions = String::new();
        let mut tree = |name: &str, folder: &str| {
            let Some(package) =
                metadata.packages.iter().find(|package| package.name.as_str() == name)
            else {
                fail(&format!("vendor/Cargo.toml does not name {name}"));
            };
            versions += &format!("{name} {} ", package.version);
            let root = package.manifest_path.parent().expect("a manifest lies in a folder");
            root.join(folder).into_std_path_buf()
        };
        let kernel = tree("freertos-next", "FreeRTOS-Kernel");
        let lwip = tree("lwip", ".");
        let mbedtls = tree("mbedtls-rs-sys", "mbedtls");
        let paho = tree("paho-mqtt-sys", "paho.mqtt.c/src");
        let shim = env::var_os("DEP_FREERTOS_SHIM").expect("freertos-rust names its shim").into();
        Self { kernel, lwip, mbedtls, paho, shim, versions }
    }
}

/// Compiles one library unless its archive was made from the same inputs.
fn compile(library: &Library, trees: &Trees, toolchain: &Toolchain, out: &Path) {
    let mut hasher = DefaultHasher::new();
    toolchain.version.hash(&mut hasher);
    toolchain.flags().hash(&mut hasher);
    (WHOLE_PROGRAM, own_flags(library)).hash(&mut hasher);
    trees.versions.hash(&mut hasher);
    library.upstream.hash(&mut hasher);
    (library.upstream_sources, library.special, library.own_sources, library.defines)
        .hash(&mut hasher);
    for folder in own_inputs_of(library.name) {
        hash_tree(Path::new(folder), &mut hasher);
    }
    let stamp = out.join(format!("{}.stamp", library.name));
    let fingerprint = format!("{:016x}", hasher.finish());
    let archive = out.join(format!("lib{}.a", library.name));
    if archive.exists() && fs::read_to_string(&stamp).is_ok_and(|old| old == fingerprint) {
        return;
    }
    let _ = fs::remove_file(&archive);

    let compiled = |build: &mut cc::Build, sources: &mut dyn Iterator<Item = PathBuf>| {
        let mut any = false;
        for source in sources {
            any = true;
            build.file(source);
        }
        if !any {
            return Vec::new();
        }
        build.try_compile_intermediates().unwrap_or_else(|error| {
            fail(&format!("{} does not compile: {error}", library.name).replace('\n', " "))
        })
    };
    let third_party = || {
        let mut build = toolchain.build(trees, library);
        build.flags(WHOLE_PROGRAM).flag("-w");
        build
    };
    let special = |source: &&str| library.special.iter().find(|(file, _)| file == source);
    let mut objects = compiled(
        &mut third_party(),
        &mut library
            .upstream_sources
            .iter()
            .filter(|source| special(source).is_none())
            .map(|source| library.upstream.join(source))
            .chain(library.extra.iter().cloned()),
    );
    for (source, flags) in library.special {
        objects.extend(compiled(
            third_party().flags(*flags),
            &mut iter::once(library.upstream.join(source)),
        ));
    }
    objects.extend(compiled(
        toolchain.build(trees, library).flags(own_flags(library)),
        &mut library.own_sources.iter().map(PathBuf::from),
    ));
    let mut link = toolchain.build(trees, library);
    link.objects(objects).out_dir(out).compile(library.name);
    fs::write(stamp, fingerprint).expect("OUT_DIR is writable");
}

fn hash_tree(path: &Path, hasher: &mut DefaultHasher) {
    if path.is_dir() {
        let mut entries: Vec<_> =
            fs::read_dir(path).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
        entries.sort();
        entries.iter().for_each(|entry| hash_tree(entry, hasher));
    } else if let Ok(bytes) = fs::read(path) {
        path.hash(hasher);
        bytes.hash(hasher);
    }
}

/// The libraries, lowest first.
fn libraries(trees: &Trees) -> Vec<Library> {
    vec![
        // FreeRTOS V11.2.0 with our LX106 port, and freertos-rust's shim over it.
        Library {
            name: "kernel",
            upstream: trees.kernel.clone(),
            upstream_sources: &[
                "event_groups.c",
                "list.c",
                "portable/MemMang/heap_5.c",
                "queue.c",
                "stream_buffer.c",
                "tasks.c",
                "timers.c",
            ],
            special: &[],
            extra: vec![trees.shim.join("shim.c")],
            own_sources: &[
                "bsp/lx106/c/aes.S",
                "bsp/lx106/c/atomic.c",
                "bsp/lx106/c/console.c",
                "bsp/lx106/c/crash.c",
                "bsp/lx106/c/ghash.S",
                "bsp/lx106/c/heap.c",
                "bsp/lx106/c/log.c",
                "bsp/lx106/c/mem.S",
                "bsp/lx106/c/muldi3.S",
                "bsp/lx106/c/p256.S",
                "bsp/lx106/c/port.c",
                "bsp/lx106/c/portasm.S",
                "bsp/lx106/c/rsa.S",
                "bsp/lx106/c/sha256.S",
                "bsp/lx106/c/subword.S",
                "bsp/lx106/c/unique.c",
                "bsp/lx106/c/vectors.S",
                "bsp/lx106/c/watchdog.c",
            ],
            includes: vec![],
            prelude: None,
            defines: &[],
        },
        // lwIP 2.2.1: IPv4, TCP, UDP, DHCP, DNS, sockets.
        Library {
            name: "lwip",
            upstream: trees.lwip.clone(),
            upstream_sources: &[
                "contrib/ports/freertos/sys_arch.c",
                "src/api/api_lib.c",
                "src/api/api_msg.c",
                "src/api/err.c",
                "src/api/if_api.c",
                "src/api/netbuf.c",
                "src/api/netdb.c",
                "src/api/netifapi.c",
                "src/api/sockets.c",
                "src/api/tcpip.c",
                "src/core/def.c",
                "src/core/dns.c",
                "src/core/inet_chksum.c",
                "src/core/init.c",
                "src/core/ip.c",
                "src/core/ipv4/acd.c",
                "src/core/ipv4/dhcp.c",
                "src/core/ipv4/etharp.c",
                "src/core/ipv4/icmp.c",
                "src/core/ipv4/ip4.c",
                "src/core/ipv4/ip4_addr.c",
                "src/core/mem.c",
                "src/core/memp.c",
                "src/core/netif.c",
                "src/core/pbuf.c",
                "src/core/sys.c",
                "src/core/tcp.c",
                "src/core/tcp_in.c",
                "src/core/tcp_out.c",
                "src/core/timeouts.c",
                "src/core/udp.c",
                "src/netif/ethernet.c",
            ],
            special: &[],
            extra: vec![],
            own_sources: &["vendor/lwip/net_filter.c", "vendor/lwip/net_hooks.c"],
            includes: vec![],
            prelude: None,
            defines: &[],
        },
        // Mbed TLS 3.6.5: a TLS 1.2 client.
        Library {
            name: "mbedtls",
            upstream: trees.mbedtls.join("library"),
            upstream_sources: &[
                "aes.c",
                "asn1parse.c",
                "asn1write.c",
                "bignum.c",
                "bignum_core.c",
                "block_cipher.c",
                "cipher.c",
                "cipher_wrap.c",
                "constant_time.c",
                "ctr_drbg.c",
                "ecdh.c",
                "ecdsa.c",
                "entropy.c",
                "gcm.c",
                "md.c",
                "oid.c",
                "pk.c",
                "pk_ecc.c",
                "pk_wrap.c",
                "pkparse.c",
                "platform_util.c",
                "sha256.c",
                "sha512.c",
                "ssl_ciphersuites.c",
                "ssl_client.c",
                "ssl_msg.c",
                "ssl_tls.c",
                "ssl_tls12_client.c",
                "x509.c",
                "x509_crt.c",
            ],
            special: &[
                // Ours stands in front of mbedTLS's: see tls_client.c.
                ("ssl_tls.c", &["-Dmbedtls_x509_crt_parse_der_nocopy=tls_parse_peer_certificate"]),
            ],
            extra: vec![],
            own_sources: &[
                "vendor/mbedtls/ciphers_alt.c",
                "vendor/mbedtls/ecp_alt.c",
                "vendor/mbedtls/rsa_alt.c",
                "vendor/mbedtls/tls_client.c",
                "vendor/mbedtls/tls_platform.c",
                "vendor/mbedtls/verified.c",
            ],
            includes: vec![trees.mbedtls.join("library")],
            prelude: None,
            defines: if env::var_os("CARGO_FEATURE_SELF_TEST").is_some() {
                &[("MBEDTLS_CONFIG_FILE", Some("<fw_mbedtls_config.h>")), ("FW_SELF_TEST", None)]
            } else {
                &[("MBEDTLS_CONFIG_FILE", Some("<fw_mbedtls_config.h>"))]
            },
        },
        // paho.mqtt.c 1.3.16: the synchronous client, with its TLS seam over tls_client.
        Library {
            name: "paho",
            upstream: trees.paho.clone(),
            upstream_sources: &[
                "Clients.c",
                "LinkedList.c",
                "MQTTClient.c",
                "MQTTPacket.c",
                "MQTTPacketOut.c",
                "MQTTProperties.c",
                "MQTTProtocolClient.c",
                "MQTTProtocolOut.c",
                "MQTTReasonCodes.c",
                "Socket.c",
                "utf-8.c",
            ],
            special: &[],
            extra: vec![],
            own_sources: &[
                "vendor/paho/Log.c",
                "vendor/paho/MQTTTime.c",
                "vendor/paho/Proxy.c",
                "vendor/paho/SSLSocket.c",
                "vendor/paho/SocketBuffer.c",
                "vendor/paho/Thread.c",
                "vendor/paho/WebSocket.c",
                "vendor/paho/paho_net.c",
                "vendor/paho/sort.c",
            ],
            includes: vec![PathBuf::from("vendor/paho/include")],
            prelude: Some("quiet_log.h"),
            defines: &[
                ("OPENSSL", None),
                ("HIGH_PERFORMANCE", None),
                ("NO_PERSISTENCE", None),
                ("PAHO_IGNORE_WITH_SIGNAL", None),
            ],
        },
    ]
}

/// What every C file is compiled with, besides its optimisation.
const FLAGS: &[&str] = &[
    "-std=gnu11",
    "-mlongcalls",
    "-mtext-section-literals",
    "-mno-target-align",
    "-ffunction-sections",
    "-fdata-sections",
    "-fno-common",
    "-g1",
];

/// How libraries are compiled: they leave their code to the linker, which sees all of them at once
/// (tools/xtensa-link). None of them touches a device, so volatile needs no MEMW.
const WHOLE_PROGRAM: &[&str] = &["-Os", "-flto", "-mno-serialize-volatile"];

/// How our own files of a library are compiled. Those beside the kernel are the CPU's port: some
/// lie in IRAM, some touch devices, and they stay by themselves.
fn own_flags(library: &Library) -> Vec<&'static str> {
    let port = library.name == "kernel";
    let mut flags = if port { vec!["-Os"] } else { WHOLE_PROGRAM.to_vec() };
    flags.extend(["-Wall", "-Wextra", "-Werror"]);
    flags
}

/// Include path of every library: ours before upstream's, so that configuration headers win.
fn includes(trees: &Trees) -> Vec<PathBuf> {
    let ours = [
        "vendor/include",
        "vendor/freertos",
        "bsp/lx106/include",
        "vendor/lwip",
        "vendor/mbedtls",
        "vendor/paho",
    ];
    let root = env::current_dir().expect("cargo runs build scripts in the package's folder");
    let mut paths: Vec<PathBuf> = ours.iter().map(|path| root.join(path)).collect();
    paths.extend([
        trees.kernel.join("include"),
        trees.lwip.join("src/include"),
        trees.lwip.join("contrib/ports/freertos/include"),
        trees.mbedtls.join("include"),
        trees.paho.clone(),
    ]);
    paths
}

/// Folders of ours that any library reads.
const OWN_INPUTS: &[&str] = &[
    "vendor/include",
    "vendor/freertos",
    "vendor/lwip",
    "vendor/mbedtls",
    "vendor/paho",
    "bsp/lx106/include",
    "bsp/lx106/c",
];

/// Folders of ours whose change makes a library stale: each may use those below it.
fn own_inputs_of(library: &str) -> &'static [&'static str] {
    match library {
        "kernel" => &["vendor/include", "vendor/freertos", "bsp/lx106/include", "bsp/lx106/c"],
        "lwip" => &["vendor/include", "vendor/freertos", "bsp/lx106/include", "vendor/lwip"],
        "mbedtls" => &[
            "vendor/include",
            "vendor/freertos",
            "bsp/lx106/include",
            "vendor/lwip",
            "vendor/mbedtls",
        ],
        _ => OWN_INPUTS,
    }
}

/// Raw bindings of everything that the wrappers in `crates/` call, from one header.
///
/// clang 14 knows no xtensa target; arm-none-eabi has the same sizes and alignments for all
/// types of these libraries.
fn bindings(trees: &Trees, toolchain: &Toolchain, out: &Path) {
    println!("cargo::rerun-if-changed=vendor/include/bindings.h");
    let picolibc = toolchain.specs.parent().expect("a file lies in a folder");
    let mut arguments: Vec<String> = [
        "--target=arm-none-eabi",
        "-fshort-wchar",
        "-funsigned-char",
        "-nostdinc",
        "-U__arm__",
        "-D__XTENSA__",
        "-D__IEEE_LITTLE_ENDIAN",
        "-DFW_BINDGEN",
    ]
    .map(String::from)
    .to_vec();
    for include in includes(trees) {
        arguments.push(format!("-I{}", include.display()));
    }
    let clang = env::var("LIBCLANG_PATH").unwrap_or_default();
    for system in [PathBuf::from(clang).join("clang/14.0.6/include"), picolibc.join("include")] {
        arguments.push("-isystem".into());
        arguments.push(system.display().to_string());
    }
    let bindings = bindgen::Builder::default()
        .header("vendor/include/bindings.h")
        .clang_args(arguments)
        .use_core()
        .ctypes_prefix("core::ffi")
        .default_enum_style(bindgen::EnumVariation::ModuleConsts)
        .prepend_enum_name(false)
        .generate_comments(false)
        .derive_default(true)
        // The one of clang, which nobody uses.
        .blocklist_type("max_align_t")
        .layout_tests(true)
        .generate()
        .unwrap_or_else(|error| fail(&format!("bindgen: {error}. It needs libclang 14 (Debian's libclang-14-dev, `make setup`)").replace('\n', " ")));
    bindings.write_to_file(out.join("bindings.rs")).expect("OUT_DIR is writable");
    check_layouts(&bindings.to_string(), trees, toolchain, out);
}

/// Has the cross compiler confirm every size, alignment and offset in the bindings.
fn check_layouts(bindings: &str, trees: &Trees, toolchain: &Toolchain, out: &Path) {
    const HEADER: &str = "vendor/include/bindings.h";
    /// There are some hundreds; none would mean that bindgen words them differently now.
    const LEAST: usize = 500;
    let gcc = |arguments: &[&str], source: &Path| {
        let mut command = Command::new(&toolchain.gcc);
        command.args(toolchain.flags()).args(arguments).arg("-Ivendor/paho/include");
        for include in includes(trees) {
            command.arg("-I").arg(include);
        }
        command.arg(source).output().unwrap_or_else(|error| {
            fail(&format!("{} does not run: {error}", toolchain.gcc.display()))
        })
    };
    let preprocessed = gcc(&["-E", "-P"], Path::new(HEADER));
    let (text, count) =
        layout::assertions("bindings.h", bindings, &String::from_utf8_lossy(&preprocessed.stdout));
    let source = out.join("layout.c");
    fs::write(&source, text).expect("OUT_DIR is writable");
    let checked = gcc(&["-fsyntax-only", "-w"], &source);
    if !checked.status.success() || count < LEAST {
        let said = String::from_utf8_lossy(&checked.stderr);
        let wrong = said.lines().find(|line| line.contains("error:")).unwrap_or("no assertions");
        fail(&format!(
            "the bindings do not fit what the C compiler makes of {HEADER} ({count} facts): {wrong}"
        ));
    }
}
