//! Build information of Go executables (`debug/buildinfo`).
