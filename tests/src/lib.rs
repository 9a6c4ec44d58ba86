//! The harness of the black-box tests: real servers and the real service binaries.
