//! The facts of a qcow2 image that snapshots need, read without starting a program.
