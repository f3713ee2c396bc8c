//! Strict, bounded reading of any document: no DTD, no entities of its own, limited size and depth.
