// Compiles C and assembly of ours as the root build script compiles the libraries. Shared by
// the build scripts of boards and of test firmware, which `include!` it.

/// What the root build script tells its dependents: `vendor-sys` must be among the package's
/// dependencies.
fn told(key: &str) -> String {
    std::env::var(format!("DEP_ESP8266_{key}")).expect("vendor-sys tells its dependents")
}

/// A build with the compiler, the flags and the include path of the libraries.
fn own_c() -> cc::Build {
    let gcc = told("GCC");
    let mut build = cc::Build::new();
    build.compiler(&gcc).archiver(gcc.replace("gcc", "ar")).ranlib(gcc.replace("gcc", "ranlib"));
    build.no_default_flags(true).inherit_rustflags(false).cargo_metadata(false);
    build.flags(told("FLAGS").split(' ')).flags(["-Os", "-Wall", "-Wextra", "-Werror"]);
    build.includes(told("INCLUDES").split(':'));
    build
}

/// Compiles into an archive called `name` and links it.
fn link_own_c(build: &cc::Build, name: &str) {
    build.compile(name);
    let out = std::env::var("OUT_DIR").expect("cargo sets OUT_DIR");
    println!("cargo::rustc-link-search=native={out}");
    println!("cargo::rustc-link-lib=static:-bundle={name}");
}
