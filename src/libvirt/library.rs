//! Where libvirt is, and what can be done with it as a whole.

use std::ffi::{CStr, c_int, c_ulonglong, c_void};
use std::ptr::NonNull;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::functions::{ClassFunctions, ErrorFunctions, ErrorHandler, Opaque, Public, RawError};
use super::text;

/// The name under which programs load libvirt.
const NAME: &CStr = c"libvirt.so.0";

/// Only we export it: what has it is no libvirt.
const OURS: &CStr = c"virSnapGetVersion";

static FOUND: OnceLock<Option<Libvirt>> = OnceLock::new();

/// How many libraries the process had loaded when libvirt was last looked for in vain, and one.
static MISSED_AT: AtomicU64 = AtomicU64::new(0);

static IS_PREPARED: AtomicBool = AtomicBool::new(false);

/// libvirt, as the process has it. It is never unloaded again.
pub struct Libvirt {
    handle: Handle,
    pub(super) public: Public,
    errors: Option<ErrorFunctions>,
    classes: Option<Classes>,
}

struct Classes {
    functions: ClassFunctions,
    /// A variable of libvirt's: the class of its domains, once it is initialised.
    domain: NonNull<*mut Opaque>,
}

// SAFETY: functions and the address of a variable that libvirt sets once, in its initialisation.
unsafe impl Send for Libvirt {}
// SAFETY: as above.
unsafe impl Sync for Libvirt {}

/// libvirt, if an earlier call has found it.
pub fn known() -> Option<&'static Libvirt> {
    FOUND.get()?.as_ref()
}

/// libvirt, if the process has it loaded.
pub fn find() -> Option<&'static Libvirt> {
    if let Some(found) = FOUND.get() {
        return prepared(found.as_ref()?);
    }
    // dlopen() would look through the file system each time.
    let loads = loaded_so_far().wrapping_add(1);
    if MISSED_AT.load(Ordering::Relaxed) == loads {
        return None;
    }
    match Handle::open(libc::RTLD_NOW | libc::RTLD_NOLOAD) {
        Some(handle) => keep(handle),
        None => {
            MISSED_AT.store(loads, Ordering::Relaxed);
            None
        }
    }
}

/// libvirt, loaded if it is not yet; `None` if it is not installed.
pub fn load() -> Option<&'static Libvirt> {
    find().or_else(|| keep(Handle::open(libc::RTLD_NOW)?))
}

fn keep(handle: Handle) -> Option<&'static Libvirt> {
    prepared(FOUND.get_or_init(|| Libvirt::of(handle)).as_ref()?)
}

/// libvirt 9.0's error functions answer nonsense before its initialisation. Not done within the
/// look-up: libvirt's own code calls functions that we stand in front of.
fn prepared(libvirt: &'static Libvirt) -> Option<&'static Libvirt> {
    if !IS_PREPARED.swap(true, Ordering::AcqRel) {
        // SAFETY: may be called at any time, by any thread, as often as one likes.
        unsafe { (libvirt.public.virInitialize)() };
    }
    Some(libvirt)
}

/// How many libraries were ever loaded into the process.
fn loaded_so_far() -> u64 {
    /// # Safety
    ///
    /// `info` is readable and `data` points to a `c_ulonglong` that nobody else uses.
    unsafe extern "C" fn take(info: *mut libc::dl_phdr_info, _: usize, data: *mut c_void) -> c_int {
        // SAFETY: readable by this contract.
        let adds = unsafe { (*info).dlpi_adds };
        // SAFETY: writable by this contract.
        unsafe { data.cast::<c_ulonglong>().write(adds) };
        1
    }
    let mut adds: c_ulonglong = 0;
    // SAFETY: `take` keeps to the contract of the callback, and `adds` outlives the call.
    unsafe { libc::dl_iterate_phdr(Some(take), (&raw mut adds).cast()) };
    adds
}

/// What dlopen() gave.
struct Handle(NonNull<c_void>);

impl Handle {
    fn open(mode: c_int) -> Option<Handle> {
        // SAFETY: the name is NUL-terminated; what libvirt's constructors do, they do in every
        // program that uses it.
        NonNull::new(unsafe { libc::dlopen(NAME.as_ptr(), mode) }).map(Handle)
    }

    /// What libvirt calls by that name. The handle leads to libvirt and what it needs, and never
    /// to what stands in front of it.
    fn symbol(&self, name: &CStr) -> Option<NonNull<c_void>> {
        // SAFETY: a handle that is never closed, and a NUL-terminated name.
        NonNull::new(unsafe { libc::dlsym(self.0.as_ptr(), name.as_ptr()) })
            .filter(|address| !is_ours(*address))
    }
}

/// Whether an address is in the object that this code is in.
fn is_ours(address: NonNull<c_void>) -> bool {
    let here: fn(NonNull<c_void>) -> bool = is_ours;
    let here = NonNull::new(here as *mut c_void);
    here.and_then(object_of) == object_of(address)
}

fn object_of(address: NonNull<c_void>) -> Option<NonNull<c_void>> {
    let mut info = libc::Dl_info {
        dli_fname: std::ptr::null(),
        dli_fbase: std::ptr::null_mut(),
        dli_sname: std::ptr::null(),
        dli_saddr: std::ptr::null_mut(),
    };
    // SAFETY: any address may be asked about, and `info` is writable.
    let found = unsafe { libc::dladdr(address.as_ptr(), &raw mut info) };
    NonNull::new(info.dli_fbase).filter(|_| found != 0)
}

impl Libvirt {
    fn of(handle: Handle) -> Option<Libvirt> {
        if handle.symbol(OURS).is_some() {
            return None;
        }
        Some(Libvirt {
            public: Public::of(|name| handle.symbol(name))?,
            errors: ErrorFunctions::of(|name| handle.symbol(name)),
            classes: Classes::of(&handle),
            handle,
        })
    }

    /// The address of a function of libvirt's.
    pub fn function(&self, name: &CStr) -> Option<NonNull<c_void>> {
        self.handle.symbol(name)
    }

    /// Whether a pointer is a domain of libvirt's; `None` if this libvirt does not say.
    ///
    /// # Safety
    ///
    /// `pointer` is NULL or points to readable memory, as libvirt asks of each of its callers.
    pub unsafe fn is_domain(&self, pointer: *mut Opaque) -> Option<bool> {
        if pointer.is_null() {
            return Some(false);
        }
        let classes = self.classes.as_ref()?;
        // SAFETY: a variable of libvirt's, which is never unloaded.
        let class = unsafe { classes.domain.read() };
        // SAFETY: readable by this contract, and the class is libvirt's own.
        let is = unsafe { (classes.functions.virObjectIsClass)(pointer, class) };
        Some(is != 0)
    }

    /// Forgets the thread's last error.
    pub fn reset_last_error(&self) {
        // SAFETY: may be called at any time.
        unsafe { (self.public.virResetLastError)() };
    }

    /// The thread's last error, which may be NULL.
    pub fn last_error(&self) -> *mut RawError {
        // SAFETY: may be called at any time.
        unsafe { (self.public.virGetLastError)() }
    }

    /// Makes an error the thread's last one. `false` if this libvirt does not allow it.
    ///
    /// # Safety
    ///
    /// `error` is an initialised virError.
    pub unsafe fn set_error(&self, error: *mut RawError) -> bool {
        let Some(errors) = &self.errors else {
            return false;
        };
        // SAFETY: initialised by this contract; libvirt copies it.
        unsafe { (errors.virSetError)(error) };
        true
    }

    /// Tells the handler, or prints, the thread's last error.
    ///
    /// # Safety
    ///
    /// `connection` is NULL or a connection of libvirt's.
    pub unsafe fn dispatch_error(&self, connection: *mut Opaque) {
        if let Some(errors) = &self.errors {
            // SAFETY: by this contract.
            unsafe { (errors.virDispatchError)(connection) };
        }
    }

    /// Makes libvirt set and tell any error, for a libvirt that takes none of ours: what it says
    /// can then be overwritten in [`Libvirt::last_error`].
    pub fn provoke_error(&self) {
        // SAFETY: libvirt refuses NULL with an error.
        let text = unsafe { (self.public.virDomainGetXMLDesc)(std::ptr::null_mut(), 0) };
        // SAFETY: NULL, or a string of libvirt's that is nobody else's.
        unsafe { text::release(text) };
    }

    /// Sets the function that is told of errors in the process.
    ///
    /// # Safety
    ///
    /// The handler may be called with that data, in any thread, until there is another.
    pub unsafe fn set_error_handler(&self, user_data: *mut c_void, handler: ErrorHandler) {
        // SAFETY: by this contract.
        unsafe { (self.public.virSetErrorFunc)(user_data, handler) };
    }
}

impl Classes {
    fn of(handle: &Handle) -> Option<Classes> {
        Some(Classes {
            functions: ClassFunctions::of(|name| handle.symbol(name))?,
            domain: handle.symbol(c"virDomainClass")?.cast(),
        })
    }
}
