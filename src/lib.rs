//! lone64: one on-link IPv6 /64, every guest behind the host reachable.
//!
//! A proxy-NDP responder: it answers the Neighbor Solicitations that the provider's router sends for
//! the guests of this host (RFC 4861 §7.2.8), and keeps the kernel's routes to them.
//!
//! # The house
//!
//! | room | may touch | what it is |
//! |---|---|---|
//! | [`wire`] | nothing: pure | bytes to values and back: solicitation, advertisement, the socket's filter, the kernel's program |
//! | [`engine`] | nothing: pure | the decisions: ranges, targets, probing, answers, routes wanted |
//! | [`config`] | the files it is told to read | TOML text to a policy in which impossible states cannot be written |
//! | [`explanation`] | nothing | what a user reads of an error |
//! | [`import`] | nothing: text in, text out | other responders' configurations as a lone64.toml |
//! | [`kernel`] | the kernel | packet sockets, bpf(2), confinement, the process's own memory (the only `unsafe`), netlink, namespaces, sysctls |
//! | [`daemon`] | the clock, the control socket, the service manager, the kernel through its room | the one loop between them |
//! | [`trace`] | nothing: text in, values out | what entered an engine and left it, and the same again |
//! | [`doctor`] | the kernel and files, to read; with `--live` a namespace of its own | what is wrong with a host |
//! | [`commands`] | the terminal | one file for each subcommand: its options, and what it does |
//! | [`cli`] | nothing | the command line as a whole |
//! | [`columns`] | nothing: text in, text out | how wide a text is on a terminal, and how it is folded |
//!
//! The pure rooms read no clock, socket, file or environment, and the compiler's lints hold them to
//! it: time and randomness are arguments, so hours of protocol run in milliseconds of test.
//!
//! # The way of one solicitation
//!
//! ```text
//! kernel::packet  recv_batch       up to 64 frames that the filter passed
//!   daemon        frames           one turn of the loop
//!     wire        Message::parse   every check of RFC 4861 §7.1.1, each with its DropReason
//!     engine      look_ahead       a hint: the targets of the batch are read into the caches together
//!     engine      handle           one input, and the time
//!       desk      solicitation     the question on its way through the machines
//!         answers decide           range, mode, liveness: a decision, as a value
//!       desk      carry_out        answer, probe or drop
//!     wire        emit             a whole Ethernet frame to the asker
//! kernel::packet  send_batch       the answers to a batch leave together
//! ```
//!
//! The engine's machines, what each owns, and where a line belongs: see [`engine`].
//!
//! One thread, one call chain: no channel, no lock, no log line. Everything else (what the kernel
//! says of links, addresses and routes; timers; a new configuration; the end) enters through the same `handle`.

pub mod cli;
pub mod columns;
pub mod commands;
pub mod config;
pub mod daemon;
pub mod doctor;
pub mod engine;
pub mod explanation;
pub mod import;
pub mod kernel;
pub mod trace;
pub mod wire;
