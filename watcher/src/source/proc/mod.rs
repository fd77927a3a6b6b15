//! Files below `/proc`.
