//! The examples as users run them: real binaries, real files.

mod exactly_once;
