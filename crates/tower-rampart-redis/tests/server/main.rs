//! A fleet over a real Redis, which is killed, stopped, flushed, filled and lied about under load. Needs the program `redis-server`;
//! `./test redis` installs it.

mod away;
mod clock;
mod faults;
mod hints;
mod model;
mod node;
mod server;
mod shared;
mod strict;
