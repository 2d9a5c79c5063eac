//! Calls into OpenCL: platforms, devices, memory, programs, commands.
//!
//! This is the only module of the crate that may use `unsafe`. It calls the functions that
//! [`ocl`]'s bindings declare, without that crate's wrappers: these sleep for ten seconds where
//! there is no platform, and panic on statuses that only one vendor knows and on handles that a
//! lost device can't release. The functions are looked up when the first device is asked for, not
//! linked: a program starts without an OpenCL library, and asking it for a device is an error then.
#![allow(unsafe_code)]

mod failure;
mod functions;
mod handles;
mod platforms;
mod queue;

pub(crate) use failure::Failure;
pub(crate) use functions::load;
pub(crate) use handles::{Kernel, Mem, Program};
pub(crate) use platforms::{DeviceId, devices, info_number, info_text, platform_name, platforms};
pub(crate) use queue::{Arg, Queue};
