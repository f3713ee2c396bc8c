//! A domain of libvirt's among the others of its connection: defined anew, started.

use std::ffi::c_uint;
use std::ptr::NonNull;

use super::domain::{Domain, XML_SECURE, c_text};
use super::functions::Opaque;
use super::saved::failed;
use crate::error::Result;

impl Domain {
    /// The definition that it runs with, with secrets; `None` if it is off.
    pub fn running_definition(&self) -> Result<Option<String>> {
        match self.is_active()? {
            true => self.xml(XML_SECURE).map(Some),
            false => Ok(None),
        }
    }

    /// Whether libvirt has the memory of its guest in a file, for the next start.
    pub fn has_managed_save(&self) -> Result<bool> {
        // SAFETY: held by this value.
        let result =
            unsafe { (self.libvirt.public.virDomainHasManagedSaveImage)(self.pointer(), 0) };
        self.checked(result).map(|has| has != 0)
    }

    /// Gives it the definition that it is started with from now on.
    pub fn define(&self, definition: &str) -> Result<()> {
        let definition = c_text(definition)?;
        // SAFETY: the connection is open as long as the domain is held, and the text is
        // NUL-terminated.
        let handle = unsafe {
            (self.libvirt.public.virDomainDefineXML)(self.connection(), definition.as_ptr())
        };
        let pointer = NonNull::new(handle).ok_or_else(|| failed(self.libvirt))?;
        drop(Domain {
            libvirt: self.libvirt,
            pointer,
        });
        Ok(())
    }

    /// virDomainCreateWithFlags().
    pub fn start(&self, flags: c_uint) -> Result<()> {
        // SAFETY: held by this value.
        let result =
            unsafe { (self.libvirt.public.virDomainCreateWithFlags)(self.pointer(), flags) };
        self.checked(result).map(|_| ())
    }

    /// All domains of its connection, itself among them.
    pub fn all_of_connection(&self) -> Result<Vec<Domain>> {
        let mut array: *mut *mut Opaque = std::ptr::null_mut();
        // SAFETY: the connection is open as long as the domain is held, and `array` is writable.
        let count = unsafe {
            (self.libvirt.public.virConnectListAllDomains)(self.connection(), &raw mut array, 0)
        };
        let count = usize::try_from(self.checked(count)?).unwrap_or_default();
        let domains = (0..count)
            .map(|place| array.wrapping_add(place))
            // SAFETY: libvirt's array has that many handles.
            .map(|slot| unsafe { slot.read() })
            .filter_map(NonNull::new)
            .map(|pointer| Domain {
                libvirt: self.libvirt,
                pointer,
            })
            .collect();
        // SAFETY: the array is from malloc and ours; the handles are in `domains`.
        unsafe { libc::free(array.cast()) };
        Ok(domains)
    }
}
