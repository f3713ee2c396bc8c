//! Gives cargo's own shared library the name under which programs look it up.
//!
//! Version nodes are meson's part: it links the static library with virsnap.map.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-cdylib-link-arg=-Wl,-soname,libvirsnap.so.0");
}
