//! Gives cargo's own shared library the name under which programs look it up.
//!
//! Version nodes are meson's part: it links the static library with virsnap.map. What else that link
//! has is here again: the library stays until the process ends, as threads run a destructor of its when they
//! end, and std registers that by itself (tools/build-staticlib says why).

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-cdylib-link-arg=-Wl,-soname,libvirsnap.so.0");
    println!("cargo::rustc-cdylib-link-arg=-Wl,-z,nodelete");
    println!(
        "cargo::rustc-cdylib-link-arg=-Wl,--defsym=__cxa_thread_atexit_impl=virsnap_thread_atexit"
    );
}
