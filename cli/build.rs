//! Links the program with libvirsnap.so.0, unless it has the library in itself.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=VIRSNAP_LIBRARY_DIR");
    if std::env::var_os("CARGO_FEATURE_STATIC").is_none() {
        // Where it is not installed yet.
        if let Ok(directory) = std::env::var("VIRSNAP_LIBRARY_DIR") {
            println!("cargo::rustc-link-arg-bins=-L{directory}");
        }
        println!("cargo::rustc-link-arg-bins=-lvirsnap");
    }
}
