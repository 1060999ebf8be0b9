//! The commands room: one file or folder per subcommand; each prints, and returns an exit status.

pub mod demo;
