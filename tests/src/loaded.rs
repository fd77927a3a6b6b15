//! What is loaded in the kernel: programs, maps, and the links that attach programs.

use anyhow::{Context, Result};
use aya::maps::loaded_maps;
use aya::programs::{loaded_links, loaded_programs};
use std::collections::BTreeSet;
use std::fs;

/// Things in the kernel by their ids.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Loaded {
    /// Programs.
    pub programs: BTreeSet<u32>,
    /// Maps.
    pub maps: BTreeSet<u32>,
    /// Links.
    pub links: BTreeSet<u32>,
}

impl Loaded {
    /// What a process has open.
    pub fn by(pid: i32) -> Result<Loaded> {
        let mut loaded = Loaded::default();
        let directory = format!("/proc/{pid}/fdinfo");
        for entry in fs::read_dir(&directory).with_context(|| format!("list {directory}"))? {
            let info = fs::read_to_string(entry?.path()).context("read what a descriptor is")?;
            for (name, ids) in [
                ("prog_id:", &mut loaded.programs),
                ("map_id:", &mut loaded.maps),
                ("link_id:", &mut loaded.links),
            ] {
                let id = info.lines().find_map(|line| line.strip_prefix(name));
                ids.extend(id.map(|id| id.trim().parse::<u32>()).transpose()?);
            }
        }
        Ok(loaded)
    }

    /// What all processes have. Something that goes between being listed and being looked at is left out.
    pub fn by_all() -> Loaded {
        Loaded {
            programs: loaded_programs().filter_map(|program| Some(program.ok()?.id())).collect(),
            maps: loaded_maps().filter_map(|map| Some(map.ok()?.id())).collect(),
            links: loaded_links().filter_map(|link| Some(link.ok()?.id())).collect(),
        }
    }

    /// The names of the programs, as far as the kernel keeps them: 15 bytes.
    pub fn names(&self) -> BTreeSet<String> {
        let programs = loaded_programs().filter_map(Result::ok);
        let ours = programs.filter(|program| self.programs.contains(&program.id()));
        ours.filter_map(|program| program.name_as_str().map(str::to_owned)).collect()
    }

    /// What both have.
    pub fn and(&self, other: &Loaded) -> Loaded {
        let both = |one: &BTreeSet<u32>, other| one.intersection(other).copied().collect();
        Loaded {
            programs: both(&self.programs, &other.programs),
            maps: both(&self.maps, &other.maps),
            links: both(&self.links, &other.links),
        }
    }

    /// There is nothing.
    pub fn is_empty(&self) -> bool {
        *self == Loaded::default()
    }
}
