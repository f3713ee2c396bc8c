//! The journal of one domain: an intent, or a committed change that is being carried out.
